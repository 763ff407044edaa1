package dynamics

import "encoding/binary"

// A page is searched for the token while it is scanned: most of its bytes are the names of
// members, row after row the same, of which each is looked at once an answer. What stands
// between two of them is most often too short to hold an echo. All that is not such a name
// is looked at, whether or not it is used, and nothing of a page is given out before.
//
// No form of a token that is searched for so has a quotation mark, and no escape has: an
// echo that stands in a name, or reaches into one, does not reach out of it.

// searched leaves the search to who reads the body, and returns what it is for; nil where
// the body is not searched, or has to be searched as it is read: a token that has no index
// yet is not worth one for a short answer.
func (b *body) searched() *echoReader {
	e := b.echoes
	if e == nil || e.elsewhere || e.forms == nil || e.whole != nil || e.forms.wide || b.read > 0 {
		return nil
	}
	e.elsewhere = true
	return e
}

// echoed is the error of an answer that holds a token, whatever else is wrong with it.
func (w *window) echoed() error {
	w.body.err = w.echoes.fail()
	return w.body.err
}

// look looks at all that has been read.
func (w *window) look() error {
	if w.echoes == nil || w.echoes.err != nil || !w.echoes.forms.inAny(w.buf[w.looked:w.n]) {
		return nil
	}
	return w.echoed()
}

// lookBefore looks at what stands in front of a name that has been looked at, which begins
// at w.buf[begin]; end is behind its last quotation mark.
func (w *window) lookBefore(begin, end int) error {
	if begin < w.looked { // the member is scanned again
		return nil
	}
	if w.echoes.forms.inPart(w.buf[w.looked:begin]) {
		return w.echoed()
	}
	w.looked = end
	return nil
}

// behind returns from where on the window has to keep what it has, to be looked at with what
// is read next.
func (w *window) behind() (int, error) {
	if w.echoes == nil || w.looked >= w.at {
		return w.at, nil
	}
	if w.at-w.looked > 2*echoTail {
		if w.echoes.forms.inAny(w.buf[w.looked:w.at]) {
			return 0, w.echoed()
		}
		w.looked = w.at - echoTail
	}
	return w.looked, nil
}

// inPart is inAny for what stands between two names of a row.
func (x *echoIndex) inPart(text []byte) bool {
	n := len(text)
	if n < echoExact {
		return false
	}
	if text[1] == '"' && text[n-2] == '"' { // a text with its colon and comma
		if text = text[2 : n-2]; len(text) < echoExact {
			return false
		}
	}
	return x.in(text) || hasEscape(text) && hasWord(text) && x.inEscaped(text)
}

// hasEscape reports whether a text of at least 8 bytes may have what inEscaped looks for.
func hasEscape(text []byte) bool {
	const eachDollar, eachFour = '$' * eachByte, 4 * eachByte
	found, last := uint64(0), len(text)-8
	for i := 0; ; i += 8 {
		x := binary.LittleEndian.Uint64(text[min(i, last):])
		four := x ^ eachDollar // of $, %, & and ' this is less than 4
		slash := x ^ eachEscape
		found |= (four-eachFour)&^four | (slash-eachByte)&^slash
		if i >= last {
			return found&eachHigh != 0
		}
	}
}

// hasWord reports whether a text has a word in which an escape may hide an echo.
func hasWord(text []byte) bool {
	for end := echoExact; end <= len(text); {
		at := end
		for at > end-echoExact && inWord(text[at-1]) {
			at--
		}
		if at == end-echoExact {
			return true
		}
		end = at + echoExact
	}
	return false
}
