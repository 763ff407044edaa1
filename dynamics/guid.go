package dynamics

import (
	"encoding/binary"
	"slices"
)

// putGUID makes room for a GUID behind dst.
func putGUID(dst []byte) ([]byte, *[idLength]byte) {
	n := len(dst)
	dst = slices.Grow(dst, idLength)[:n+idLength]
	return dst, (*[idLength]byte)(dst[n:])
}

// lowerGUID writes a GUID, which stands in quotation marks, in lower case. It reports
// false where raw is none, and what it has written then is none either.
func lowerGUID(to *[idLength]byte, raw []byte) bool {
	if len(raw) != idLength+2 || raw[0] != '"' || raw[idLength+1] != '"' {
		return false
	}
	g := raw[1 : idLength+1]
	if g[8] != '-' || g[13] != '-' || g[18] != '-' || g[23] != '-' {
		return false
	}
	// 78914942-34cb-ed11-b596-0022481d68cd: the digits, eight at a time.
	a := binary.LittleEndian.Uint64(g)
	b := uint64(binary.LittleEndian.Uint32(g[9:])) | uint64(binary.LittleEndian.Uint32(g[14:]))<<32
	c := uint64(binary.LittleEndian.Uint32(g[19:])) | uint64(binary.LittleEndian.Uint32(g[24:]))<<32
	d := binary.LittleEndian.Uint64(g[28:])
	if notHex(a)|notHex(b)|notHex(c)|notHex(d) != 0 {
		return false
	}
	copy(to[:], g)
	binary.LittleEndian.PutUint64(to[:], a|lowerCase)
	binary.LittleEndian.PutUint32(to[9:], uint32(b|lowerCase))
	binary.LittleEndian.PutUint32(to[14:], uint32((b|lowerCase)>>32))
	binary.LittleEndian.PutUint32(to[19:], uint32(c|lowerCase))
	binary.LittleEndian.PutUint32(to[24:], uint32((c|lowerCase)>>32))
	binary.LittleEndian.PutUint64(to[28:], d|lowerCase)
	return true
}

// lowerCase is the bit that lower-case letters have and capitals have not. Digits have it.
const lowerCase = 0x20 * eachByte

// notHex has the high bit of each byte of x that is no hexadecimal digit.
func notHex(x uint64) uint64 {
	digit := x ^ '0'*eachByte                 // 0 to 9, less than 0x80 where x is ASCII
	letter := (x | lowerCase) ^ 0x60*eachByte // 1 to 6
	notDigit := digit + (0x7f-9)*eachByte
	notLetter := letter + (0x7f-6)*eachByte | ^((letter | eachHigh) - eachByte)
	return (notDigit&notLetter | x) & eachHigh
}
