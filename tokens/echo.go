package tokens

import (
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Of what Entra answers little goes further: numbers, its own tokens, the ids and
// scopes that have a form of their own, and a claims challenge, which becomes part
// of a sign-in's URL. The last is free text, and an authority that is not to be
// trusted could put into it what it was sent.

const (
	echoPiece = 12 // so many letters and digits in a row of a secret are an echo
	echoShort = 6  // a shorter secret is not looked for
)

// echoes reports whether text holds a piece of a secret: as it is, reversed, in
// base64 or in hexadecimal, whatever stands between the characters. JSON may have
// it escaped.
func echoes(text Secret, secrets ...Secret) bool {
	plain := jsontext.Value(text.Reveal())
	if plain.Canonicalize() != nil {
		plain = jsontext.Value(text.Reveal())
	}
	said := alphanumeric(string(plain))
	windows := map[string]struct{}{}
	for i := 0; i+echoPiece <= len(said); i++ {
		windows[said[i:i+echoPiece]] = struct{}{}
	}
	for _, secret := range secrets {
		for _, form := range formsOf(secret.Reveal()) {
			form = alphanumeric(form)
			if short := len(form) >= echoShort && len(form) < echoPiece; short && strings.Contains(said, form) {
				return true
			}
			for i := 0; i+echoPiece <= len(form); i++ {
				if _, found := windows[form[i:i+echoPiece]]; found {
					return true
				}
			}
		}
	}
	return false
}

func formsOf(secret string) []string {
	back := []byte(secret)
	slices.Reverse(back)
	var forms []string
	for _, text := range []string{secret, string(back)} {
		forms = append(forms, text, hex.EncodeToString([]byte(text)))
		for offset := range min(3, len(text)) {
			forms = append(forms, base64.RawStdEncoding.EncodeToString([]byte(text[offset:])))
		}
	}
	return forms
}

// alphanumeric keeps letters and digits, in lower case.
func alphanumeric(s string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			return c
		case 'A' <= c && c <= 'Z':
			return c + 'a' - 'A'
		}
		return -1
	}, s)
}

// challenged is r with the claims that the next sign-in is asked for, unless they
// repeat what r holds.
func (r record) challenged(claims Secret) record {
	if !echoes(claims, r.access, r.refresh) {
		r.claims = claims
	}
	return r
}

// ownScopes are those of said that were asked for: what else an answer names is
// nothing that crmbridge uses.
func ownScopes(said []string, environment string) []string {
	var own []string
	for _, scope := range said {
		for _, asked := range append(scopes(environment), environment+"/.default", "email") {
			if strings.EqualFold(strings.Replace(scope, "//user_", "/user_", 1), asked) {
				own = append(own, asked)
			}
		}
	}
	return own
}
