package route

import (
	"strings"
	"testing"
)

func TestPeek(t *testing.T) {
	for body, want := range map[string]string{
		"":                                 "",
		"[]":                               "",
		"null":                             "",
		`{"connection":1}`:                 "",
		`{"connection":"not valid"}`:       "",
		`{"where":{"connection":"inner"}}`: "",
		`{"connection":"acme"`:             "acme",
		`{"where":{"a":[1,2]},"connection":"acme"}`:                               "acme",
		`{"connection":"acme","connection":"x"}`:                                  "acme", // decoding refuses it later
		`{"where":{"a":[1,2`:                                                      "",
		"\xff":                                                                    "",
		`{"a":"\"","connection":"acme"}`:                                          "acme",
		`{"a":"\\","connection":"acme"}`:                                          "acme",
		`{"a":"}\"{","b":{"c":"\\\"]"},"connection":"acme"}`:                      "acme",
		`{"a":"connection","connection":"acme"}`:                                  "acme",
		`{"a":"connection","b":"acme"}`:                                           "",
		`{"a":"` + strings.Repeat("x", peekedBytes) + `","connection":"acme"}`:    "",
		`{"a":"` + strings.Repeat("x", peekedBytes-40) + `","connection":"acme"}`: "acme",
	} {
		if got := PeekConnection([]byte(body)); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}
