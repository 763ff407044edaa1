package dynamics

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"html"
	"slices"
	"strings"
)

// The other side holds the access token, since it is sent there, and may say it
// again: in an error's text, an id, a privilege's name, a row. What it says reaches
// requesters, who may not have the token, and the log. So everything that is
// repeated goes through [redaction.pass] or [redaction.clean], and answers that are used
// go through an [echoReader].

const (
	// echoPiece is how many letters and digits in a row, of any form of a token, are
	// an echo: fewer are of no use to anybody, and other texts have them by chance.
	echoPiece = 12
	// echoChunk is what is looked up at once; a piece of echoPiece characters holds a
	// whole chunk that begins at a multiple of echoStride.
	echoChunk  = 8
	echoStride = echoPiece - echoChunk + 1
	// echoShort is the shortest token that is looked for in encoded forms.
	echoShort = 6
)

// echoes reports whether text holds a token, or a piece of it, in any form in
// which it could be used again: as it is, reversed, in base64 (either alphabet, at
// any offset), in hexadecimal, escaped for a URL, HTML or JSON, in other cases, cut
// into pieces.
func (h redaction) echoes(text string) bool {
	if text == "" || len(h.tokens) == 0 {
		return false
	}
	if len(h.tokens) == 1 && h.sieves != nil && len(text) <= idLength && !strings.ContainsAny(text, escapeMarks) {
		// Of the ids that answers have, all but one of 400 end here.
		var space [idLength]byte
		if token := h.tokens[0]; len(token) <= maxSieved && !h.idMayHold(appendSqueezed(space[:0], text), token) {
			return false
		}
	}
	said := []string{squeeze(text)}
	if other := unescape(text); other != text {
		said = append(said, squeeze(other))
	}
	for _, token := range h.tokens {
		if h.sieves != nil && len(token) <= maxSieved && !slices.ContainsFunc(said, h.sieve(token).may) {
			continue
		}
		if echoesOf(token, said) {
			return true
		}
	}
	return false
}

// idMayHold looks an id up in the sieve of a token that is used often, or else in its forms.
func (h redaction) idMayHold(id []byte, token string) bool {
	sieve, ok := h.sieves.often(h.use(token), maxEchoSieves, func() *echoSieve { return newEchoSieve(token) })
	if !ok {
		return idMayHold(id, token)
	}
	return sieve.mayHold(id)
}

// escapeMarks are what the escapes that unescape undoes begin with.
const escapeMarks = `%&\`

// sieve is the token's.
func (h redaction) sieve(token string) *echoSieve {
	return h.sieves.of(h.use(token), maxEchoSieves, func() *echoSieve { return newEchoSieve(token) })
}

// echoesOf looks for each form of a token in squeezed texts.
func echoesOf(token string, said []string) bool {
	texts := make([]*echoText, len(said))
	for i, text := range said {
		texts[i] = newEchoText(text)
	}
	for _, form := range formsOf(token) {
		form := []byte(squeeze(form))
		if len(form) >= echoShort && slices.ContainsFunc(texts, func(t *echoText) bool {
			return t.holds(form, min(echoPiece, len(form)))
		}) {
			return true
		}
	}
	return false
}

// pass returns text, or nothing where it is an echo.
func (h redaction) pass(text string) string {
	if h.echoes(text) {
		return ""
	}
	return text
}

// passClaims returns a claims challenge, which becomes part of a sign-in's URL, or
// nothing where there is an echo in it. It is base64 of JSON, as a token's parts are,
// and may have names in common with them: what is looked at is what it encodes.
func (h redaction) passClaims(claims string) string {
	text := strings.NewReplacer("-", "+", "_", "/", "=", "").Replace(claims)
	plain, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return h.pass(claims)
	}
	if h.echoes(string(plain)) {
		return ""
	}
	return claims
}

// know notes that the other side is sent one more token. The ones before are still
// known to it.
func (r *request) know(token string) {
	h := &r.redact
	switch {
	case token == "" || slices.Contains(h.tokens, token):
	case len(h.tokens) == 0:
		r.known[0] = token
		h.tokens, h.first = r.known[:], r.useOf(token)
	default:
		h.tokens = append(slices.Clone(h.tokens), token)
	}
}

// useOf is r's use of a token, as of now where r knows the time.
func (r *request) useOf(token string) tokenUse {
	if r.now.IsZero() {
		return useOf(token)
	}
	return tokenUse{sumOf(token), r.now}
}

// use is the token's.
func (h *redaction) use(token string) tokenUse {
	if !h.first.at.IsZero() && token == h.tokens[0] {
		return h.first
	}
	return useOf(token)
}

// formsOf is a token in the encodings that texts are commonly put in. The two
// alphabets of base64 differ in characters that squeeze drops.
func formsOf(token string) []string {
	var forms []string
	for _, text := range []string{token, reversed(token)} {
		forms = append(forms, text)
		coded := []string{hex.EncodeToString([]byte(text))}
		for offset := range min(3, len(text)) {
			coded = append(coded, base64.RawStdEncoding.EncodeToString([]byte(text[offset:])))
		}
		for _, form := range coded {
			forms = append(forms, form, reversed(form))
		}
	}
	return forms
}

func reversed(s string) string {
	b := []byte(s)
	slices.Reverse(b)
	return string(b)
}

// squeeze keeps letters and digits, in lower case: what was put between the pieces
// of a token does not count.
func squeeze(s string) string { return string(appendSqueezed(make([]byte, 0, len(s)), s)) }

func appendSqueezed(b []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			b = append(b, c)
		case 'A' <= c && c <= 'Z':
			b = append(b, c+'a'-'A')
		}
	}
	return b
}

// unescape undoes the escapes of URLs, HTML and JSON, also one in another.
func unescape(s string) string {
	for range 3 {
		plain := unescapeJSON(html.UnescapeString(lenientUnescape(s)))
		if plain == s {
			break
		}
		s = plain
	}
	return s
}

// unescapeJSON undoes \u00XX and \xXX, and drops other backslashes.
func unescapeJSON(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b = append(b, s[i])
			continue
		}
		rest, digits := s[i+1:], ""
		switch {
		case len(rest) >= 5 && strings.HasPrefix(rest, "u00"):
			digits = rest[3:5]
		case len(rest) >= 3 && rest[0] == 'x':
			digits = rest[1:3]
		}
		if c, err := hex.DecodeString(digits); err == nil && len(c) == 1 {
			b = append(b, c[0])
			i += strings.Index(rest, digits) + len(digits)
		}
	}
	return string(b)
}

// echoText is a text of the other side that is searched for forms of tokens.
type echoText struct {
	text []byte
	sieve
}

func newEchoText(text string) *echoText {
	t := &echoText{text: []byte(text)}
	for i := 0; i+echoChunk <= len(t.text); i += echoStride {
		t.add(chunkAt(t.text, i))
	}
	return t
}

// holds reports whether the text has length characters in a row of form.
func (t *echoText) holds(form []byte, length int) bool {
	if length < echoPiece {
		return bytes.Contains(t.text, form)
	}
	for i := 0; i+echoChunk <= len(form); i++ {
		chunk := chunkAt(form, i)
		if !t.may(chunk) || !t.has(chunk) {
			continue
		}
		for at := 0; at+echoChunk <= len(t.text); at += echoStride {
			if chunkAt(t.text, at) == chunk && inCommon(t.text, at, form, i) >= length {
				return true
			}
		}
	}
	return false
}

func chunkAt(s []byte, i int) uint64 { return binary.LittleEndian.Uint64(s[i:]) }

// inCommon is how long the run is that a at i and b at j are part of, whatever the
// cases.
func inCommon(a []byte, i int, b []byte, j int) int {
	low, high := 0, 0
	for i-low > 0 && j-low > 0 && a[i-low-1]|0x20 == b[j-low-1]|0x20 {
		low++
	}
	for i+high < len(a) && j+high < len(b) && a[i+high]|0x20 == b[j+high]|0x20 {
		high++
	}
	return low + high
}

// sieve is a set of chunks of echoChunk bytes, with a small table in front at which
// most of what is not in it fails.
type sieve struct {
	bits   [1 << 10]uint64
	chunks map[uint64]struct{}
}

// sieveBit hashes a chunk (Fibonacci hashing) to a place in the table.
func sieveBit(chunk uint64) (word int, bit uint64) {
	h := chunk * 0x9E3779B97F4A7C15 >> 48
	return int(h >> 6), 1 << (h & 63)
}

func (s *sieve) add(chunk uint64) {
	if s.chunks == nil {
		s.chunks = map[uint64]struct{}{}
	}
	word, bit := sieveBit(chunk)
	s.bits[word] |= bit
	s.chunks[chunk] = struct{}{}
}

// may reports whether the chunk can be in the set: most that are not fail here.
func (s *sieve) may(chunk uint64) bool {
	word, bit := sieveBit(chunk)
	return s.bits[word]&bit != 0
}

func (s *sieve) has(chunk uint64) bool {
	_, ok := s.chunks[chunk]
	return ok
}
