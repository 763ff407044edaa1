package dynamics

import (
	"encoding/binary"
	"math/bits"
)

// The functions of this file say where a token of JSON ends. They are given what has been
// read of an answer, with scanPad zero bytes behind it: no token holds such a byte, so
// that a scan ends there without a bound of its own. Each returns where its token ends,
// or one of the codes below.
const (
	scanMore = -1 - iota // the token, or what was read, ends there
	scanBad              // it is no JSON
	scanLong             // a text or number is longer than maxValue
	scanDeep             // arrays and objects stand in each other too deep
)

// scanPad is how many bytes may be read behind what was read: a text is looked at eight
// bytes at a time, and short values are copied with what follows them.
const scanPad = putAtOnce

// maxNesting is how deep arrays and objects may stand in each other, as jsontext has it.
const maxNesting = 10_000

const (
	eachByte   = 0x0101010101010101
	eachHigh   = 0x80 * eachByte
	eachSpace  = ' ' * eachByte
	eachQuote  = '"' * eachByte
	eachEscape = '\\' * eachByte
)

// marks say what is to be looked at in a text that was scanned.
type marks uint8

const (
	markWide  marks = 1 << iota // characters that are not ASCII
	markHalf                    // what may be an escape of half a surrogate pair
	markCoded                   // escapes
)

// scanText scans the text that begins at w[begin], a quotation mark. Its bytes need not be
// UTF-8.
func scanText(w []byte, begin int) (end int, found marks) {
	i := begin + 1
	high := uint64(0)
	for i+8 <= len(w) {
		x := binary.LittleEndian.Uint64(w[i:])
		// The lowest bit that is set belongs to the first byte that is a control character, a
		// quotation mark or a backslash: subtracting borrows from bytes behind it only.
		hit := ((x - eachSpace) | ((x ^ eachQuote) - eachByte) | ((x ^ eachEscape) - eachByte)) &^ x & eachHigh
		if hit == 0 {
			high |= x
			i += 8
			continue
		}
		at := bits.TrailingZeros64(hit) &^ 7
		high |= x & (1<<at - 1)
		i += at >> 3
		switch w[i] {
		case '"':
			if high&eachHigh != 0 {
				found |= markWide
			}
			if i-begin >= maxValue {
				return scanLong, found
			}
			return i + 1, found
		case '\\':
			n, half := scanEscape(w, i)
			if n <= 0 {
				return n, found
			}
			if found |= markCoded; half {
				found |= markHalf
			}
			i += n
		default:
			return stopped(w, i, begin), found
		}
	}
	return stopped(w, i, begin), found
}

// stopped is the code of a text or number that cannot go on at w[i].
func stopped(w []byte, i, begin int) int {
	switch {
	case i-begin > maxValue:
		return scanLong
	case i >= len(w)-scanPad:
		return scanMore
	}
	return scanBad
}

// scanEscape is how long the escape at w[i] is, or a code. half says that it may be one of
// half a surrogate pair, or looks like one to who does not read texts from their beginning.
func scanEscape(w []byte, i int) (n int, half bool) {
	rest := w[i+1:] // the pad is as long as the longest escape
	switch rest[0] {
	case '\\':
		return 2, rest[1] == 'u' && rest[2]|0x20 == 'd'
	case '"', '/', 'b', 'f', 'n', 'r', 't':
		return 2, false
	case 'u':
		for k := 1; k < 5; k++ {
			switch c := rest[k] | 0x20; {
			case rest[k] >= '0' && rest[k] <= '9', c >= 'a' && c <= 'f':
			default:
				return ends(w, i+1+k), false
			}
		}
		return 6, rest[1]|0x20 == 'd'
	}
	return ends(w, i+1), false
}

// ends tells the end of what was read from a byte that may not stand at w[i].
func ends(w []byte, i int) int {
	if i >= len(w)-scanPad {
		return scanMore
	}
	return scanBad
}

func isDigit(c byte) bool { return c-'0' <= 9 }

// scanNumber scans the number that begins at w[begin]. One at the end of what was read may
// go on.
func scanNumber(w []byte, begin int) int {
	i := begin
	if w[i] == '-' {
		i++
	}
	switch {
	case w[i] == '0':
		i++
	case isDigit(w[i]):
		i = scanDigits(w, i)
	default:
		return ends(w, i)
	}
	if w[i] == '.' {
		if i++; !isDigit(w[i]) {
			return ends(w, i)
		}
		i = scanDigits(w, i)
	}
	if w[i]|0x20 == 'e' {
		if i++; w[i] == '+' || w[i] == '-' {
			i++
		}
		if !isDigit(w[i]) {
			return ends(w, i)
		}
		i = scanDigits(w, i)
	}
	switch {
	case i-begin > maxValue:
		return scanLong
	case i >= len(w)-scanPad:
		return scanMore
	}
	return i
}

func scanDigits(w []byte, i int) int {
	for isDigit(w[i]) {
		i++
	}
	return i
}

// scanWord scans null, true or false.
func scanWord(w []byte, begin int, word string) int {
	for k := range len(word) {
		if w[begin+k] != word[k] {
			return ends(w, begin+k)
		}
	}
	return begin + len(word)
}

// scanPlain scans a value that is no array or object.
func scanPlain(w []byte, i int) (end int, found marks) {
	switch c := w[i]; c {
	case '"':
		return scanText(w, i)
	case 'n':
		return scanWord(w, i, "null"), 0
	case 't':
		return scanWord(w, i, "true"), 0
	case 'f':
		return scanWord(w, i, "false"), 0
	default:
		if c == '-' || isDigit(c) {
			return scanNumber(w, i), 0
		}
		return ends(w, i), 0
	}
}

func scanSpace(w []byte, i int) int {
	for w[i] == ' ' || w[i] == '\n' || w[i] == '\r' || w[i] == '\t' {
		i++
	}
	return i
}

// A nesting tells of each array or object that is open whether it is an object.
type nesting [(maxNesting + 63) / 64]uint64

// skip scans a value of any form that stands in depth arrays and objects.
func (n *nesting) skip(w []byte, i, depth int) int {
	outside := depth
	for {
		i = scanSpace(w, i)
		switch c := w[i]; c {
		case '{', '[':
			if depth == maxNesting {
				return scanDeep
			}
			word, bit := &n[depth>>6], uint64(1)<<(depth&63)
			depth++
			if *word &^= bit; c == '{' {
				*word |= bit
			}
			i = scanSpace(w, i+1)
			if w[i] != c+2 { // the bracket that closes it
				if i = n.name(w, i, depth); i < 0 {
					return i
				}
				continue
			}
			i, depth = i+1, depth-1
		default:
			if i, _ = scanPlain(w, i); i < 0 {
				return i
			}
		}
		for { // what comes behind a value
			if depth == outside {
				return i
			}
			if i = scanSpace(w, i); w[i] == ',' {
				if i = n.name(w, scanSpace(w, i+1), depth); i < 0 {
					return i
				}
				break
			}
			closing := byte(']')
			if n.object(depth) {
				closing = '}'
			}
			if w[i] != closing {
				return ends(w, i)
			}
			i, depth = i+1, depth-1
		}
	}
}

func (n *nesting) object(depth int) bool { return n[(depth-1)>>6]>>((depth-1)&63)&1 != 0 }

// name scans a member's name and its colon, where an object is open.
func (n *nesting) name(w []byte, i, depth int) int {
	if !n.object(depth) {
		return i
	}
	if w[i] != '"' {
		return ends(w, i)
	}
	if i, _ = scanText(w, i); i < 0 {
		return i
	}
	if i = scanSpace(w, i); w[i] != ':' {
		return ends(w, i)
	}
	return i + 1
}
