package emulator

import "strings"

// The characters that stay bare in the two layers of a nextLink (7.1): the link itself, and what
// .NET's UrlEncode leaves alone.
const (
	linkBare   = "-_.~$,=/()':@!*;"
	cookieBare = "-_.!*()"
	upperHex   = "0123456789ABCDEF"
	lowerHex   = "0123456789abcdef"
)

// escape percent-encodes every byte but letters, digits and the bare ones.
func escape(s, bare, hex string) string {
	var b strings.Builder
	b.Grow(len(s) + len(s)/4)
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte(bare, c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}
