package dynamics

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"sync"
)

// in looks for the token in two texts. For a short answer with a token that is used now and
// then no index is made.
func (e *echoReader) in(border, read []byte) bool {
	if e.seen += shortLook + len(border) + len(read); e.forms == nil && e.seen <= shortMost {
		if found, ok := inShort(e.sign, border, read); ok {
			return found
		}
	}
	if e.forms == nil {
		e.forms, e.own = ownIndexes.Get().(*echoIndex), true
		e.forms.fill(e.sign)
	}
	return e.forms.inAny(border) || e.forms.inAny(read)
}

// ownIndexes keeps the memory of indexes that were made for one answer.
var ownIndexes = sync.Pool{New: func() any { return new(echoIndex) }}

// A shortEcho looks for forms of one token in a short answer without an index of the
// token: it makes a table of the answer, which is smaller, and looks each gram of the forms
// up there. It finds what an [echoIndex] finds, since it compares the same places.
type shortEcho struct {
	forms []byte
	runs  [][]byte // what is searched
	grams []runGram
	table [shortSlots]uint16 // hash → number of a gram, plus one; open addressing
}

// A runGram is one that the answer has.
type runGram struct {
	gram    uint32
	run, at uint16 // where it stands: which run, and the place in it
	next    uint16 // the number of another one that is equal, plus one
}

const (
	// shortMost is how much of an answer is searched so, in bytes: to make an index
	// costs as much as to search about that much.
	shortMost = 8 << 10
	// shortLook is what it costs besides: an answer may come in many pieces.
	shortLook = 1 << 10
	// shortGrams bounds the grams of an answer, which has more than a step's only in
	// escapes.
	shortGrams = 2048
	shortSlots = 2 * shortGrams
)

var shortEchoes = sync.Pool{New: func() any { return new(shortEcho) }}

// shortSeed is not known to the other side, which may write grams of one hash.
var shortSeed = rand.Uint64() | 1

func shortSlot(gram uint32) int { return int(uint64(gram) * shortSeed >> 40 & (shortSlots - 1)) }

// inShort is [echoIndex.inAny] of several texts; ok says that it has been looked at all.
func inShort(token string, texts ...[]byte) (found, ok bool) {
	s := shortEchoes.Get().(*shortEcho)
	defer s.release()
	s.forms = appendForms(s.forms[:0], token)
	wide := isWide(s.forms)
	for _, text := range texts {
		if !s.add(text) {
			return false, false
		}
		tooMany := escapedWords(text, wide, func(word []byte) bool { return !s.add(word) })
		if tooMany {
			return false, false
		}
	}
	return s.found(), true
}

// release leaves nothing of the token and of the answer.
func (s *shortEcho) release() {
	clear(s.forms)
	clear(s.runs)
	s.runs, s.grams = s.runs[:0], s.grams[:0]
	clear(s.table[:])
	shortEchoes.Put(s)
}

// add notes the grams of a run, false where there are too many.
func (s *shortEcho) add(run []byte) bool {
	if len(run) > 2*shortMost || len(s.grams)+len(run)/echoStep >= shortGrams {
		return false
	}
	number := uint16(len(s.runs))
	s.runs = append(s.runs, run)
	for i := 0; i+echoGram <= len(run); i += echoStep {
		g := runGram{gram: gramAt(run, i), run: number, at: uint16(i)}
		at := shortSlot(g.gram)
		for s.table[at] != 0 && s.grams[s.table[at]-1].gram != g.gram {
			at = (at + 1) & (shortSlots - 1)
		}
		g.next = s.table[at]
		s.grams = append(s.grams, g)
		s.table[at] = uint16(len(s.grams))
	}
	return true
}

// found looks the forms up.
func (s *shortEcho) found() bool {
	for j := 0; j+echoGram <= len(s.forms); j++ {
		raw := binary.LittleEndian.Uint32(s.forms[j:])
		gram := raw | caseBits
		at := shortSlot(gram)
		if s.table[at] == 0 || between(raw) {
			continue
		}
		for s.table[at] != 0 && s.grams[s.table[at]-1].gram != gram {
			at = (at + 1) & (shortSlots - 1)
		}
		for next := s.table[at]; next != 0; {
			g := &s.grams[next-1]
			if inCommon(s.runs[g.run], int(g.at), s.forms, j) >= echoExact {
				return true
			}
			next = g.next
		}
	}
	return false
}

// appendForms appends the forms of a token that are looked for in answers.
func appendForms(to []byte, token string) []byte {
	next := func() { to = append(to, make([]byte, echoChunk)...) } // nothing runs from one into the next
	begin := len(to)
	to = append(to, token...)
	next()
	for i := len(token) - 1; i >= 0; i-- {
		to = append(to, token[i])
	}
	next()
	plain := to[begin : begin+len(token)]
	to = hex.AppendEncode(to, plain)
	next()
	for offset := range 3 {
		to = base64.RawStdEncoding.AppendEncode(to, plain[offset:])
		next()
	}
	return to
}

// between reports whether one of four bytes is zero: they are not all of one form.
func between(raw uint32) bool { return (raw-0x01010101)&^raw&0x80808080 != 0 }

// isWide reports whether a form has characters that no token should have.
func isWide(forms []byte) bool {
	return slices.ContainsFunc(forms, func(c byte) bool { return c != 0 && !inWord(c) })
}
