package emulator

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// guid holds a GUID's bytes in the order of its text.
type guid [16]byte

// parseGUID reads the form 8-4-4-4-12, in any case.
func parseGUID(s string) (guid, bool) {
	var g guid
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return g, false
	}
	var digits [32]byte
	n := copy(digits[:], s[:8])
	n += copy(digits[n:], s[9:13])
	n += copy(digits[n:], s[14:18])
	n += copy(digits[n:], s[19:23])
	copy(digits[n:], s[24:])
	_, err := hex.Decode(g[:], digits[:])
	return g, err == nil
}

func (g guid) appendTo(dst []byte) []byte {
	dst = hex.AppendEncode(dst, g[:4])
	for _, part := range [][]byte{g[4:6], g[6:8], g[8:10], g[10:]} {
		dst = append(dst, '-')
		dst = hex.AppendEncode(dst, part)
	}
	return dst
}

func (g guid) String() string { return string(g.appendTo(make([]byte, 0, 36))) }

// braced is the form of paging cookies: upper case in braces.
func (g guid) braced() string { return "{" + strings.ToUpper(g.String()) + "}" }

// compare orders as SQL Server does: last group first, and the three leading groups by their stored
// (little-endian) bytes. The real cookie in the fact sheet (7.1) shows it: {CDCFA450-…} comes
// before {9FD4A450-…}.
func (g guid) compare(o guid) int {
	if c := bytes.Compare(g[10:], o[10:]); c != 0 {
		return c
	}
	if c := bytes.Compare(g[8:10], o[8:10]); c != 0 {
		return c
	}
	for _, i := range [...]int{7, 6, 5, 4, 3, 2, 1, 0} {
		if g[i] != o[i] {
			if g[i] < o[i] {
				return -1
			}
			return 1
		}
	}
	return 0
}

// namedGUID derives the same GUID from the same words.
func namedGUID(words ...string) guid {
	sum := sha256.Sum256([]byte(strings.Join(words, "\x00")))
	return stamped(guid(sum[:16]), 4)
}

func randomGUID() guid {
	var g guid
	_, _ = rand.Read(g[:]) // never fails, by crypto/rand's promise
	return stamped(g, 4)
}

func stamped(g guid, version byte) guid {
	g[6] = g[6]&0x0f | version<<4
	g[8] = g[8]&0x3f | 0x80
	return g
}
