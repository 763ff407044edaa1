package dynamics

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"math/bits"
	"strings"
)

// An echoReader reads an answer that is used, and fails where it holds the token
// that it was asked with: rows, names and labels go to requesters as they are. Of
// a JWT only the signature is looked for; without it the rest opens nothing, and
// every JWT begins alike. A row may hold another one.
type echoReader struct {
	from  io.Reader
	op    string
	forms *echoIndex
	tail  []byte // the end of what was read before
	space [2 * echoTail]byte
	whole *redaction
	all   []byte // for whole
	err   error
}

const (
	// echoExact is how many characters in a row of a token are an echo in an answer's
	// body, where separators count.
	echoExact = 16
	// echoTail is how much of one read is looked at again with the next: echoExact
	// characters that are written as \u00XX each, and a whole one before them.
	echoTail = 6 * (echoExact + 1)
	// echoWhole bounds what is looked at as a whole, in bytes.
	echoWhole = 4 << 10
	// echoMost bounds how much of a token is looked for, from its end.
	echoMost = 1 << 10
)

var errEcho = errors.New("the answer repeats the access token")

// echoIndexes keeps the index of each token that is in use: to make one costs more
// than to read a small page.
type echoIndexes struct{ perToken[*echoIndex] }

// maxEchoIndexes bounds the indexes that are kept. One takes about 27 KB for a token of
// Entra's.
const maxEchoIndexes = 128

// without lets an answer to r through that holds no token.
func (k *echoIndexes) without(r *request, from io.Reader) io.Reader {
	proof := redaction{sieves: r.redact.sieves}
	for _, token := range r.redact.tokens {
		if sign := token[strings.LastIndexByte(token, '.')+1:]; len(sign) >= echoExact {
			proof.tokens = append(proof.tokens, sign[max(0, len(sign)-echoMost):])
		}
	}
	if len(proof.tokens) == 0 {
		return from
	}
	forms := k.of(strings.Join(proof.tokens, "."), maxEchoIndexes, func() *echoIndex { return newEchoIndex(proof.tokens) })
	e := &echoReader{from: from, op: r.op, forms: forms}
	e.tail = e.space[:0]
	if r.strict {
		e.whole = &proof
	}
	return e
}

// Read reads, and looks at what it has read.
func (e *echoReader) Read(p []byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	n, err := e.from.Read(p)
	if n > 0 && e.found(p[:n]) || err == io.EOF && e.whole != nil && e.whole.echoes(string(e.all)) {
		e.err = &Error{Kind: Upstream, Op: e.op, Err: errEcho,
			Message: "the answer repeats the access token that it was asked with, and is not used"}
		return 0, e.err
	}
	return n, err
}

func (e *echoReader) found(read []byte) bool {
	if e.whole != nil && len(e.all) < echoWhole {
		e.all = append(e.all, read[:min(len(read), echoWhole-len(e.all))]...)
	}
	border := append(e.tail, read[:min(len(read), echoTail)]...)
	if e.forms.in(border) || e.forms.in(read) {
		return true
	}
	if escaped(border) || escaped(read) {
		if e.forms.in([]byte(unescape(string(border)))) || e.forms.in([]byte(unescape(string(read)))) {
			return true
		}
	}
	if len(read) < echoTail {
		read = border // short reads one after another
	}
	e.tail = append(e.tail[:0], read[max(0, len(read)-echoTail):]...)
	return false
}

// escaped reports whether letters may stand in the escapes of JSON, URLs or HTML.
func escaped(text []byte) bool {
	return bytes.IndexByte(text, '%') >= 0 || bytes.Contains(text, []byte(`\u00`)) || bytes.Contains(text, []byte("&#"))
}

// An echoIndex finds forms of tokens in much text: every chunk of them is in a hash
// table, so that of the text only each echoStep-th place is looked at. Cases do not
// count: all is compared with the bit set in which they differ.
type echoIndex struct {
	forms []byte
	table []uint16 // hash → place in forms, plus one; open addressing
	bits  [1 << 10]uint64
}

// caseBits are those in which the cases of eight ASCII letters differ.
const caseBits = 0x2020202020202020

// echoStep is how far apart two chunks may be so that a run of echoExact characters
// holds one of them whole.
const echoStep = echoExact - echoChunk + 1

func newEchoIndex(tokens []string) *echoIndex {
	x := &echoIndex{}
	for _, token := range tokens {
		coded := []string{token, reversed(token), hex.EncodeToString([]byte(token))}
		for offset := range 3 {
			coded = append(coded, base64.RawStdEncoding.EncodeToString([]byte(token[offset:])))
		}
		for _, form := range coded {
			x.forms = append(append(x.forms, form...), make([]byte, echoChunk)...) // nothing runs from one into the next
		}
	}
	x.forms = x.forms[:min(len(x.forms), math.MaxUint16-1)]
	x.table = make([]uint16, 1<<bits.Len(uint(2*len(x.forms))))
	for i := 0; i+echoChunk <= len(x.forms); i++ {
		chunk := chunkAt(x.forms, i) | caseBits
		word, bit := sieveBit(chunk)
		x.bits[word] |= bit
		at := x.place(chunk)
		for x.table[at] != 0 {
			at = (at + 1) & (len(x.table) - 1)
		}
		x.table[at] = uint16(i + 1)
	}
	return x
}

func (x *echoIndex) place(chunk uint64) int {
	return int(chunk*0xD6E8FEB86659FD93>>40) & (len(x.table) - 1)
}

// in looks for echoExact characters in a row of a form.
func (x *echoIndex) in(text []byte) bool {
	for i := 0; i+echoChunk <= len(text); i += echoStep {
		chunk := chunkAt(text, i) | caseBits
		if word, bit := sieveBit(chunk); x.bits[word]&bit == 0 {
			continue
		}
		for at := x.place(chunk); x.table[at] != 0; at = (at + 1) & (len(x.table) - 1) {
			if j := int(x.table[at]) - 1; chunkAt(x.forms, j)|caseBits == chunk &&
				inCommon(text, i, x.forms, j) >= echoExact {
				return true
			}
		}
	}
	return false
}
