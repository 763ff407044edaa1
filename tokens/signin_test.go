package tokens_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/tokens"
)

// opened is a browser that went on from a connect link, with what Microsoft sends it back with.
func (b *bench) opened(connectURL string) tokens.Callback {
	b.t.Helper()
	_, secret, _ := strings.Cut(connectURL, "/connect/")
	o, err := b.auth.Ticket(b.t.Context(), secret, "")
	if err != nil {
		b.t.Fatal(err)
	}
	u, err := url.Parse(o.AuthorizationURL)
	if err != nil {
		b.t.Fatal(err)
	}
	return tokens.Callback{State: u.Query().Get("state"), Code: b.code(o.AuthorizationURL), BrowserCookie: o.Cookie}
}

func declined(cb tokens.Callback, description string) tokens.Callback {
	cb.Code, cb.Error, cb.ErrorDescription = "", "access_denied", description
	return cb
}

// Whoever has the connect link learns how its sign-in ended, and only the browser that went on from
// it says so.
func TestSignIn(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		ask := func(id string) tokens.Begun {
			t.Helper()
			begun, err := b.auth.Begin(t.Context(), tokens.Request{Connection: id, EnvironmentURL: envA})
			if err != nil {
				t.Fatal(err)
			}
			return begun
		}
		is := func(id string, begun tokens.Begun, phase, code string) *tokens.Error {
			t.Helper()
			s, err := b.auth.SignIn(t.Context(), id, begun.ConnectURL)
			have := ""
			if s.Err != nil {
				have = s.Err.Code
			}
			if err != nil || s.Phase != phase || have != code {
				t.Errorf("%+v %v, want %s %s", s, err, phase, code)
			}
			return s.Err
		}
		complete := func(cb tokens.Callback, code string) {
			t.Helper()
			if _, err := b.auth.Complete(t.Context(), cb); tokens.CodeOf(err) != code {
				t.Errorf("%v, want %s", err, code)
			}
		}
		first, other := ask("acme"), ask("acme")
		is("acme", first, tokens.SignInWaiting, "")
		cb := b.opened(first.ConnectURL)
		is("acme", first, tokens.SignInWaiting, "")

		// Others end nobody's waiting: without the state, in another browser, or over the bus.
		stranger := b.opened(other.ConnectURL)
		for _, foreign := range []tokens.Callback{
			{State: cb.State, Error: "access_denied", BrowserCookie: stranger.BrowserCookie},
			{State: cb.State, Error: "access_denied"}, {State: cb.State, Error: "access_denied", Bus: true},
			{State: strings.Repeat("A", 43), Error: "access_denied", BrowserCookie: cb.BrowserCookie},
		} {
			complete(foreign, tokens.CodeInvalidState)
		}
		is("acme", first, tokens.SignInWaiting, "")
		complete(declined(stranger, "AADSTS65004: declined"), tokens.CodeConsentRequired)
		is("acme", other, tokens.SignInFailed, tokens.CodeConsentRequired)
		is("acme", first, tokens.SignInWaiting, "")

		complete(declined(cb, "AADSTS90094: an administrator "+canary), tokens.CodeConsentRequired)
		why := is("acme", first, tokens.SignInFailed, tokens.CodeConsentRequired)
		if why == nil || why.AADSTS != 90094 || !strings.Contains(why.AdminConsentURL, "/adminconsent?") {
			t.Errorf("%+v", why)
		}
		// Opened again, a sign-in is under way, and the earlier one does not count any more.
		early, late := b.opened(first.ConnectURL), b.opened(first.ConnectURL)
		is("acme", first, tokens.SignInWaiting, "")
		complete(declined(early, ""), tokens.CodeConsentRequired)
		is("acme", first, tokens.SignInWaiting, "")
		b.identify = func() error { return &tokens.Error{Code: tokens.CodePermissionDenied, Message: "no user"} }
		complete(late, tokens.CodePermissionDenied)
		is("acme", first, tokens.SignInFailed, tokens.CodePermissionDenied)
		b.identify = nil
		// An outage may pass: it is no end.
		again := b.opened(first.ConnectURL)
		complete(declined(again, ""), tokens.CodeConsentRequired)
		trouble := b.opened(first.ConnectURL)
		trouble.Code, trouble.Error = "", "server_error"
		complete(trouble, tokens.CodeUnavailable)
		is("acme", first, tokens.SignInWaiting, "")
		good := b.opened(first.ConnectURL)
		complete(good, "")
		is("acme", first, tokens.SignInConnected, "")
		// A link that has made the connection stays so, whatever comes late.
		if _, err := b.auth.Complete(t.Context(), declined(good, "")); tokens.CodeOf(err) != tokens.CodeInvalidState {
			t.Error(err)
		}
		is("acme", first, tokens.SignInConnected, "")

		// Nobody learns anything of another connection's link, or of what is none.
		ask("globex")
		for _, link := range []string{first.ConnectURL, "", "x", "https://crm.example/connect/" + strings.Repeat("A", 43),
			strings.TrimSuffix(first.ConnectURL, "A") + "AAA"} {
			if _, err := b.auth.SignIn(t.Context(), "globex", link); tokens.CodeOf(err) != tokens.CodeInvalidRequest {
				t.Errorf("%q: %v", link, err)
			}
		}
		// A connection that was deleted and made again is not the link's.
		if _, err := b.store.DeleteIfThere(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
		if _, err := b.auth.SignIn(t.Context(), "acme", first.ConnectURL); tokens.CodeOf(err) != tokens.CodeConnectionNotFound {
			t.Error(err)
		}
		ask("acme")
		is("acme", first, tokens.SignInExpired, "")
	})
}

// A link that made the connection stays connected whatever becomes of the connection, and the other
// links of the connection are what they are.
func TestSignInOfSeveralLinks(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		ask := func(environment string) string {
			t.Helper()
			begun, err := b.auth.Begin(t.Context(), tokens.Request{Connection: "acme", EnvironmentURL: environment})
			if err != nil {
				t.Fatal(err)
			}
			return begun.ConnectURL
		}
		are := func(when string, want map[string]string) {
			t.Helper()
			for link, phase := range want {
				if s, err := b.auth.SignIn(t.Context(), "acme", link); err != nil || s.Phase != phase ||
					(s.Err != nil) != (phase == tokens.SignInFailed) {
					t.Errorf("%s: %+v %v, want %s", when, s, err, phase)
				}
			}
		}
		complete := func(cb tokens.Callback, code string) {
			t.Helper()
			if _, err := b.auth.Complete(t.Context(), cb); tokens.CodeOf(err) != code {
				t.Errorf("%v, want %s", err, code)
			}
		}
		const waiting, connected, failed, expired = tokens.SignInWaiting, tokens.SignInConnected, tokens.SignInFailed,
			tokens.SignInExpired

		// Nobody has connected yet, and another environment is asked for.
		replaced := ask(envB)
		first, second, third := ask(envA), ask(envA), ask(envA)
		are("replaced", map[string]string{replaced: expired, first: waiting, second: waiting})
		complete(declined(b.opened(second), "AADSTS65004: declined"), tokens.CodeConsentRequired)
		early := b.opened(first)
		complete(declined(b.opened(first), ""), tokens.CodeConsentRequired)
		are("two browsers", map[string]string{first: failed, second: failed, third: waiting})
		complete(early, "")
		are("one connects", map[string]string{first: connected, second: failed, third: waiting})

		later := b.opened(third)
		complete(b.opened(second), "")
		are("another one, opened again", map[string]string{first: connected, second: connected, third: waiting})
		complete(later, "")
		are("and a third", map[string]string{first: connected, second: connected, third: connected})
		complete(b.signIn(tokens.Request{Connection: "acme"}), "")
		are("over the bus", map[string]string{first: connected, second: connected, third: connected})
		if _, err := b.store.DeleteIfThere(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
		anew := ask(envA)
		complete(b.opened(anew), "")
		are("deleted and made again", map[string]string{first: expired, second: expired, third: expired, anew: connected})
	})
}

// What became of a link is known as long as the link is.
func TestSignInIsKnownAsLongAsItsLink(t *testing.T) {
	t.Parallel()
	redis := miniredis.RunT(t)
	b := newBench(t, client(t, redis.Addr()))
	first, err := b.auth.Begin(t.Context(), tokens.Request{Connection: "acme", EnvironmentURL: envA})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.auth.Complete(t.Context(), b.opened(first.ConnectURL)); err != nil {
		t.Fatal(err)
	}
	b.connect("acme", 3600)
	redis.FastForward(20 * time.Minute)
	if s, err := b.auth.SignIn(t.Context(), "acme", first.ConnectURL); err != nil || s.Phase != tokens.SignInConnected {
		t.Errorf("%+v %v", s, err)
	}
	redis.FastForward(2 * time.Minute)
	if _, err := b.auth.SignIn(t.Context(), "acme", first.ConnectURL); tokens.CodeOf(err) != tokens.CodeInvalidRequest {
		t.Error(err)
	}
}
