package tokens

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

// A claims challenge that repeats what Entra was sent or has given is dropped; it
// would stand in a sign-in's URL.
func TestClaimsAreNoEcho(t *testing.T) {
	const secret = Secret("0.AXkA-q0Zt7uXw2nBxYkD8mLhVfRrC5sJpEeTgWaQiOo9K1yHl3vN")
	s := secret.Reveal()
	for _, form := range []string{s, strings.ToUpper(s), s[20:36], hex.EncodeToString([]byte(s)),
		base64.StdEncoding.EncodeToString([]byte("xx" + s)),
		s[:16] + " " + s[16:], fmt.Sprintf(`\u%04x`, s[10]) + s[11:26]} {
		claims := Secret(`{"access_token":{"nbf":{"value":"` + form + `"}}}`)
		if !echoes(claims, "another-secret-of-this-request", secret) {
			t.Errorf("%s passes", form)
		}
		r := record{refresh: secret, claims: "{}"}
		if got := r.challenged(claims); got.claims != "{}" {
			t.Errorf("%s is kept", form)
		}
	}
	for _, claims := range []Secret{"", `{"access_token":{"nbf":{"essential":true,"value":"1604106651"},"acrs":{"essential":true,"value":"c1"},"capolids":{"essential":true,"values":["5e0fbd9e-3a7c-4ef7-9d0d-6ce0e10b5cd8"]}}}`} {
		if echoes(claims, secret, "", "x") || (record{refresh: secret}).challenged(claims).claims != claims {
			t.Errorf("%q is taken for an echo", claims.Reveal())
		}
	}
}

// Of an answer's scopes those count that were asked for.
func TestScopesAreThoseAskedFor(t *testing.T) {
	const environment = "https://contoso.crm4.dynamics.com"
	said := []string{"openid", environment + "/user_impersonation",
		"https://CONTOSO.crm4.dynamics.com//user_impersonation", "the-refresh-token", environment + "/the-refresh-token",
		"offline_access"}
	want := fmt.Sprint([]string{"openid", environment + "/user_impersonation", environment + "/user_impersonation",
		"offline_access"})
	if got := fmt.Sprint(ownScopes(said, environment)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
