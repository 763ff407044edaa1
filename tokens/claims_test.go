package tokens_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/tokens"
	"github.com/redis/go-redis/v9"
)

const challenge = `{"access_token":{"acrs":{"essential":true,"value":"` + canary + `"}}}`

// claimsOf is what a sign-in that begins now is asked for.
func (b *bench) claimsOf(id string) string {
	b.t.Helper()
	begun, err := b.auth.Begin(b.t.Context(), tokens.Request{Connection: id, EnvironmentURL: envA, Bus: true})
	if err != nil {
		b.t.Fatal(err)
	}
	u, err := url.Parse(begun.AuthorizationURL)
	if err != nil {
		b.t.Fatal(err)
	}
	return u.Query().Get("claims")
}

// refreshed are the claims that the last refresh asked for.
func (b *bench) refreshed() (claims string, n int) {
	b.entra.set(func() {
		for _, form := range b.entra.forms {
			if form.Get("grant_type") == "refresh_token" {
				claims, n = form.Get("claims"), n+1
			}
		}
	})
	return claims, n
}

// A challenge goes along with the forced refresh. If that brings a token which is
// refused as well, the next sign-in is asked for it; once somebody has signed in,
// it is over.
func TestAClaimsChallengeIsPassedOn(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		b.connect("acme", 3600)
		s := b.source()
		a, err := s.Access(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		a.Claims = tokens.Secret(base64.StdEncoding.EncodeToString([]byte(challenge)))
		fresh, err := s.Refused(t.Context(), "acme", a)
		if err != nil || fresh.Token == a.Token || fresh.Claims != "" {
			t.Fatal(fresh, err)
		}
		if sent, n := b.refreshed(); sent != challenge || n != 1 {
			t.Errorf("%d refreshes, the last asked for %q", n, sent)
		}
		if got := b.claimsOf("acme"); got != "" {
			t.Errorf("the challenge was answered, and yet a sign-in is asked for %q", got)
		}
		fresh.Claims = a.Claims
		_, err = s.Refused(t.Context(), "acme", fresh)
		wantCode(t, err, tokens.CodeUnavailable)
		if !strings.Contains(err.Error(), "connections.check") {
			t.Errorf("%v does not say what to do", err)
		}
		if _, n := b.refreshed(); n != 1 {
			t.Errorf("%d refreshes, want 1", n)
		}
		c, err := b.store.Get(t.Context(), "acme")
		if err != nil || c.Status != tokens.StatusActive || strings.Contains(fmt.Sprintf("%+v", c), canary) {
			t.Errorf("%+v %v", c, err)
		}
		if got := b.claimsOf("acme"); got != challenge {
			t.Errorf("a sign-in is asked for %q", got)
		}
		if strings.Contains(dump(t, rdb), canary) {
			t.Error("Redis holds the challenge in clear")
		}
		b.connect("acme", 3600)
		if got := b.claimsOf("acme"); got != "" {
			t.Errorf("after a sign-in, another one is asked for %q", got)
		}
	})
}

// Entra's own challenge, or the one that a refresh could not answer, is what the
// person must answer who connects again.
func TestAClaimsChallengeThatOnlyAPersonCanAnswer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ answer, want string }{
		"Entra's own": {`,"claims":"{\"access_token\":{\"polids\":\"` + canary + `\"}}"`, `{"access_token":{"polids":"` +
			canary + `"}}`},
		"Dataverse's":   {``, challenge},
		"an empty one":  {`,"claims":""`, challenge},
		"a useless one": {`,"claims":"<script>"`, challenge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
				b := newBench(t, rdb)
				b.connect("acme", 3600)
				s := b.source()
				a, err := s.Access(t.Context(), "acme")
				if err != nil {
					t.Fatal(err)
				}
				b.entra.set(func() {
					b.entra.answer = func(w http.ResponseWriter, form url.Values, _ int) bool {
						w.Header().Set("Content-Type", "application/json")
						w.WriteHeader(400)
						fmt.Fprint(w, `{"error":"interaction_required","error_codes":[50076]`+c.answer+`}`)
						return true
					}
				})
				a.Claims = tokens.Secret(base64.RawURLEncoding.EncodeToString([]byte(challenge)))
				_, err = s.Refused(t.Context(), "acme", a)
				wantCode(t, err, tokens.CodeReauthorizationRequired)
				if got := b.claimsOf("acme"); got != c.want {
					t.Errorf("a sign-in is asked for %q, want %q", got, c.want)
				}
				b.entra.set(func() { b.entra.answer = nil })
				if _, err := b.auth.Complete(t.Context(), b.signIn(tokens.Request{Connection: "acme"})); err != nil ||
					b.claimsOf("acme") != "" {
					t.Errorf("%v, and the next sign-in is asked for %q", err, b.claimsOf("acme"))
				}
			})
		})
	}
}

// Claims with the refusal of a code are for the next sign-in. A connection that
// works meanwhile goes on as it is: its refreshes are not asked for them.
func TestClaimsOfARefusedSignIn(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		b.connect("acme", 3600)
		for _, id := range []string{"acme", "new"} {
			callback := b.signIn(tokens.Request{Connection: id})
			b.entra.set(func() {
				b.entra.answer = func(w http.ResponseWriter, form url.Values, _ int) bool {
					if form.Get("grant_type") != "authorization_code" {
						return false
					}
					w.Header().Set("Content-Type", "application/json")
					w.WriteHeader(400)
					fmt.Fprintf(w, `{"error":"interaction_required","error_codes":[50076],"claims":%q}`, challenge)
					return true
				}
			})
			_, err := b.auth.Complete(t.Context(), callback)
			wantCode(t, err, tokens.CodeReauthorizationRequired)
			b.entra.set(func() { b.entra.answer = nil })
			if got := b.claimsOf(id); got != challenge {
				t.Errorf("%s: a sign-in is asked for %q", id, got)
			}
		}
		if ttl := rdb.PTTL(t.Context(), "crmbridge:{new}:grant").Val(); ttl <= 0 {
			t.Errorf("a connection that nobody made stays for ever (time to live %s)", ttl)
		}
		s := b.source()
		a, err := s.Access(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Refused(t.Context(), "acme", a); err != nil {
			t.Fatal(err)
		}
		if sent, n := b.refreshed(); sent != "" || n != 1 {
			t.Errorf("%d refreshes, the last asked for %q", n, sent)
		}
	})
}
