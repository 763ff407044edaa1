package dynamics

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/bits"
	"slices"
	"strings"
	"sync"
)

// An echoReader reads an answer that is used, and fails where it holds the token
// that it was asked with: rows, names and labels go to requesters as they are. Of
// a JWT only the signature is looked for; without it the rest opens nothing, and
// every JWT begins alike. A row may hold another one.
type echoReader struct {
	from  io.Reader
	op    string
	sign  string     // the only one; see inShort
	forms *echoIndex // nil: none is needed yet
	own   bool       // forms is this answer's alone
	wide  bool       // see echoIndex.wide; of the same tokens, whether or not there is an index
	seen  int        // what it has cost to do without forms, as bytes
	tail  []byte     // the end of what was read before
	space [2 * echoTail]byte
	whole *redaction
	all   []byte // for whole
	err   error

	elsewhere bool // who reads looks for the tokens himself
}

// echoReaders keeps readers of answers that were read.
var echoReaders = sync.Pool{New: func() any { return new(echoReader) }}

const (
	// echoExact is how many characters in a row of a token are an echo in an answer's
	// body, where separators count.
	echoExact = 16
	// echoTail is how much of one read is looked at again with the next: echoExact
	// characters that are written as \u00XX each, and a whole one before them.
	echoTail = 6 * (echoExact + 1)
	// echoLong is echoTail where a word with an escape reaches further: what is undone three
	// times, as [unescape] does, may be written with 6 · 6 · 6 characters for each.
	echoLong = 6 * 6 * echoTail
	// echoWhole bounds what is looked at as a whole, in bytes.
	echoWhole = 4 << 10
	// echoMost bounds how much of a token is looked for, from its end.
	echoMost = 1 << 10
)

var errEcho = errors.New("the answer repeats the access token")

// echoIndexes keeps the index of each token that is used often: to make one costs more
// than to read a small page.
type echoIndexes struct{ perToken[*echoIndex] }

// maxEchoIndexes bounds the indexes that are kept. One takes about 27 KB for a token of
// Entra's.
const maxEchoIndexes = 128

// without lets an answer to r through that holds no token.
func (k *echoIndexes) without(r *request, from io.Reader) io.Reader {
	if len(r.redact.tokens) == 0 {
		return from
	}
	use := r.redact.use(r.redact.tokens[0])
	if len(r.redact.tokens) == 1 && !r.strict {
		if kept, ok := k.kept(use); ok {
			e := newEchoReader(r, from)
			e.forms, e.wide = kept, kept.wide
			return e
		}
	}
	return k.search(r, use, from)
}

// search is without for an answer that no index is kept for, or that is searched in more
// than one way.
func (k *echoIndexes) search(r *request, use tokenUse, from io.Reader) io.Reader {
	var space [2]string
	signs := space[:0]
	for _, token := range r.redact.tokens {
		if sign := token[strings.LastIndexByte(token, '.')+1:]; len(sign) >= echoExact {
			signs = append(signs, sign[max(0, len(sign)-echoMost):])
		}
	}
	if len(signs) == 0 {
		return from
	}
	e := newEchoReader(r, from)
	e.wide = slices.ContainsFunc(signs, func(sign string) bool { return isWide([]byte(sign)) })
	if e.sign = signs[0]; len(r.redact.tokens) > 1 {
		use = useOf(strings.Join(signs, "."))
	}
	index := func() *echoIndex { return newEchoIndex(signs) }
	if len(signs) > 1 {
		e.forms = k.of(use, maxEchoIndexes, index)
	} else if kept, ok := k.often(use, maxEchoIndexes, index); ok {
		e.forms = kept
	}
	if r.strict {
		e.whole = &redaction{sieves: r.redact.sieves, tokens: slices.Clone(signs)}
	}
	return e
}

func newEchoReader(r *request, from io.Reader) *echoReader {
	e := echoReaders.Get().(*echoReader)
	e.from, e.op, e.tail = from, r.op, e.space[:0]
	return e
}

// release is called when nobody reads on. What was read is not kept.
func (e *echoReader) release() {
	if e.own {
		clear(e.forms.forms)
		ownIndexes.Put(e.forms)
	}
	*e = echoReader{}
	echoReaders.Put(e)
}

// Read reads, and looks at what it has read.
func (e *echoReader) Read(p []byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	n, err := e.from.Read(p)
	if e.elsewhere {
		return n, err
	}
	if n > 0 && e.found(p[:n]) || err == io.EOF && e.whole != nil && e.whole.echoes(string(e.all)) {
		return 0, e.fail()
	}
	return n, err
}

// fail is the error of an answer that holds a token. Nothing is read behind it.
func (e *echoReader) fail() error {
	e.err = &Error{Kind: Upstream, Op: e.op, Err: errEcho,
		Message: "the answer repeats the access token that it was asked with, and is not used"}
	return e.err
}

func (e *echoReader) found(read []byte) bool {
	if e.whole != nil && len(e.all) < echoWhole {
		e.all = append(e.all, read[:min(len(read), echoWhole-len(e.all))]...)
	}
	ahead := e.reach(len(read), func(i int) byte { return read[i] })
	border := append(e.tail, read[:ahead]...)
	if e.in(border, read) {
		return true
	}
	if ahead == len(read) {
		read = border // short reads one after another
	}
	back := e.reach(len(read), func(i int) byte { return read[len(read)-1-i] })
	e.tail = append(e.tail[:0], read[len(read)-back:]...)
	return false
}

// reach is how much of n characters at a border is looked at with what is beyond it: echoTail,
// or all of a word that has an escape. at(0) is the character at the border.
func (e *echoReader) reach(n int, at func(i int) byte) int {
	escaped, i := false, 0
	for ; i < min(n, echoLong); i++ {
		c := at(i)
		if !e.wide && !inWord(c) {
			break
		}
		escaped = escaped || c == '\\' || c == '%' || c == '&'
	}
	if escaped && i > echoTail {
		return i
	}
	return min(n, echoTail)
}

// An echoIndex finds forms of tokens in much text: every gram of them is in a hash
// table, so that of the text only each echoStep-th place is looked at. Cases do not
// count: all is compared with the bit set in which they differ.
type echoIndex struct {
	forms []byte
	table []uint16 // hash → place in forms, plus one; open addressing
	bits  [1 << 10]uint64
	wide  bool // a form has characters that no token should have; see inEscaped
}

const (
	// echoGram is how many characters are looked up at once.
	echoGram = 4
	// echoStep is how far apart two grams may be so that a run of echoExact characters
	// holds one of them whole.
	echoStep = echoExact - echoGram + 1
	// caseBits are those in which the cases of ASCII letters differ.
	caseBits = 0x20202020
)

func gramAt(s []byte, i int) uint32 { return binary.LittleEndian.Uint32(s[i:]) | caseBits }

// gramBits hashes a gram to two bits of one word of the table in front, at which most of
// what is in no form fails.
func gramBits(gram uint32) (word int, both uint64) {
	h := uint64(gram) * 0x9E3779B97F4A7C15
	return int(h >> 54), 1<<(h>>48&63) | 1<<(h>>42&63)
}

func newEchoIndex(tokens []string) *echoIndex {
	x := &echoIndex{}
	x.fill(tokens...)
	return x
}

// fill makes the index anew.
func (x *echoIndex) fill(tokens ...string) {
	x.forms = x.forms[:0]
	for _, token := range tokens {
		x.forms = appendForms(x.forms, token)
	}
	x.forms = x.forms[:min(len(x.forms), math.MaxUint16-1)]
	x.wide = isWide(x.forms)
	clear(x.bits[:])
	size := 1 << bits.Len(uint(2*len(x.forms)))
	x.table = slices.Grow(x.table[:0], size)[:size]
	clear(x.table)
	for i := 0; i+echoGram <= len(x.forms); i++ {
		if between(binary.LittleEndian.Uint32(x.forms[i:])) {
			continue
		}
		gram := gramAt(x.forms, i)
		word, both := gramBits(gram)
		x.bits[word] |= both
		at := x.place(gram)
		for x.table[at] != 0 {
			at = (at + 1) & (len(x.table) - 1)
		}
		x.table[at] = uint16(i + 1)
	}
}

func (x *echoIndex) place(gram uint32) int {
	return int(uint64(gram)*0xD6E8FEB86659FD93>>40) & (len(x.table) - 1)
}

// inAny looks for echoExact characters in a row of a form, as they are or in escapes.
func (x *echoIndex) inAny(text []byte) bool { return x.in(text) || x.inEscaped(text) }

// in looks for echoExact characters in a row of a form.
func (x *echoIndex) in(text []byte) bool {
	for i := 0; i+echoGram <= len(text); i += echoStep {
		gram := gramAt(text, i)
		if word, both := gramBits(gram); x.bits[word]&both != both {
			continue
		}
		for at := x.place(gram); x.table[at] != 0; at = (at + 1) & (len(x.table) - 1) {
			if j := int(x.table[at]) - 1; gramAt(x.forms, j) == gram && inCommon(text, i, x.forms, j) >= echoExact {
				return true
			}
		}
	}
	return false
}

// inEscaped looks into the words of a text in which letters may stand in escapes.
func (x *echoIndex) inEscaped(text []byte) bool { return escapedWords(text, x.wide, x.in) }

// escapedWords calls found with the words of a text in which letters may stand in the
// escapes of JSON, URLs or HTML, without them, until it returns true. Neither a form nor an
// escape reaches over the end of a word, and no escape is shorter than what it stands for.
func escapedWords(text []byte, wide bool, found func([]byte) bool) bool {
	percent, ampersand, slash := indexFrom(text, 0, '%'), indexFrom(text, 0, '&'), slashFrom(text, 0)
	for {
		begin := min(percent, ampersand, slash)
		if begin == len(text) {
			return false
		}
		end := begin + 1
		for begin > 0 && (wide || inWord(text[begin-1])) {
			begin--
		}
		for end < len(text) && (wide || inWord(text[end])) {
			end++
		}
		if end-begin >= echoExact && found([]byte(unescape(string(text[begin:end])))) {
			return true
		}
		if percent < end {
			percent = indexFrom(text, end, '%')
		}
		if ampersand < end {
			ampersand = indexFrom(text, end, '&')
		}
		if slash < end {
			slash = slashFrom(text, end)
		}
	}
}

// inWord reports whether a form or an escape may hold c.
func inWord(c byte) bool { return c > ' ' && c < 0x80 && c != '"' }

// indexFrom is where the first c stands from i on, the text's length where there is none.
func indexFrom(text []byte, i int, c byte) int {
	if k := bytes.IndexByte(text[i:], c); k >= 0 {
		return i + k
	}
	return len(text)
}

// slashFrom is indexFrom of a backslash that may begin an escape of a letter, or stand
// between letters.
func slashFrom(text []byte, i int) int {
	for {
		i = indexFrom(text, i, '\\')
		if i+1 >= len(text) || text[i+1] != '"' {
			return i
		}
		i += 2
	}
}
