package tokens_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/crmbridge/crmbridge/tokens"
	"github.com/redis/go-redis/v9"
)

func TestBeginRefusals(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		b.connect("acme", 3600)
		for name, c := range map[string]struct {
			q    tokens.Request
			code string
		}{
			"no id":             {tokens.Request{EnvironmentURL: envA}, tokens.CodeInvalidRequest},
			"subject in the id": {tokens.Request{Connection: "a.b", EnvironmentURL: envA}, tokens.CodeInvalidRequest},
			"no environment":    {tokens.Request{Connection: "x"}, tokens.CodeInvalidRequest},
			"path":              {tokens.Request{Connection: "x", EnvironmentURL: envA + "/api"}, tokens.CodeInvalidRequest},
			"plain http": {tokens.Request{Connection: "x", EnvironmentURL: "http://contoso.crm4.dynamics.com"},
				tokens.CodeInvalidRequest},
			"tenant path": {tokens.Request{Connection: "x", EnvironmentURL: envA, Tenant: "../evil"},
				tokens.CodeInvalidRequest},
			"tenant word": {tokens.Request{Connection: "x", EnvironmentURL: envA, Tenant: "consumers"},
				tokens.CodeInvalidRequest},
			"prompt": {tokens.Request{Connection: "x", EnvironmentURL: envA, Prompt: "please"},
				tokens.CodeInvalidRequest},
			"login hint": {tokens.Request{Connection: "x", EnvironmentURL: envA, LoginHint: "a\r\nb"},
				tokens.CodeInvalidRequest},
			"other environment": {tokens.Request{Connection: "acme", EnvironmentURL: envB}, tokens.CodeConnectionExists},
			"other tenant": {tokens.Request{Connection: "x", EnvironmentURL: envA, Tenant: tenantB},
				tokens.CodeIdentityMismatch},
		} {
			t.Run(name, func(t *testing.T) {
				_, err := b.auth.Begin(t.Context(), c.q)
				wantCode(t, err, c.code)
			})
		}
	})
}

func TestConnectOverTheBus(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		cb := b.signIn(tokens.Request{Connection: "acme", LoginHint: "ann@contoso.example", Prompt: "select_account"})
		pending, err := b.store.Get(t.Context(), "acme")
		if err != nil || pending.Status != tokens.StatusPending {
			t.Fatalf("%v %v", pending, err)
		}
		c, err := b.auth.Complete(t.Context(), cb)
		if err != nil {
			t.Fatal(err)
		}
		if c.ID != "acme" || c.Status != tokens.StatusActive || c.TenantID != tenantA || c.UserID != userA ||
			c.OrganizationID != orgA ||
			c.EnvironmentURL != envA || c.Grant != "authorization_code" || len(c.Scopes) != 1 ||
			c.Incarnation != pending.Incarnation {
			t.Errorf("connection %+v", c)
		}
		if ttl := rdb.PTTL(t.Context(), "crmbridge:{acme}:grant").Val(); ttl != -1 {
			t.Errorf("an active connection has a time to live: %v", ttl)
		}
		again, err := b.auth.Complete(t.Context(), cb)
		if err != nil || again.Version != c.Version {
			t.Errorf("the same callback again: %v %v", again, err)
		}
		other := cb
		other.Code += "x"
		_, err = b.auth.Complete(t.Context(), other)
		wantCode(t, err, tokens.CodeInvalidState)
		if n := b.entra.count("authorization_code"); n != 1 || b.whoamis != 1 {
			t.Errorf("%d redemptions and %d WhoAmI, want 1 and 1", n, b.whoamis)
		}
		if got := b.entra.paths[0]; got != "/"+tenantA+"/oauth2/v2.0/token" {
			t.Errorf("token path %s", got)
		}
	})
}

func TestConcurrentCompleteRedeemsOnce(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		other := b.authorizer()
		cb := b.signIn(tokens.Request{Connection: "acme"})
		var wait sync.WaitGroup
		for i := range 20 {
			a := []*tokens.Authorizer{b.auth, other}[i%2]
			wait.Go(func() {
				if c, err := a.Complete(t.Context(), cb); err != nil || c.Status != tokens.StatusActive {
					t.Errorf("%v %v", c, err)
				}
			})
		}
		wait.Wait()
		if n := b.entra.count("authorization_code"); n != 1 {
			t.Errorf("%d redemptions, want 1", n)
		}
	})
}

func TestStateIsBoundToItsWay(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		ctx := t.Context()
		begun, err := b.auth.Begin(ctx, tokens.Request{Connection: "acme", EnvironmentURL: envA})
		if err != nil {
			t.Fatal(err)
		}
		ticket := strings.TrimPrefix(begun.ConnectURL, "http://localhost:8080/connect/")
		mine, err := b.auth.Ticket(ctx, ticket, "")
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := b.auth.Ticket(ctx, ticket, "")
		if err != nil || theirs.Cookie == mine.Cookie {
			t.Fatal("two browsers must have two cookies", err)
		}
		u, _ := url.Parse(mine.AuthorizationURL)
		good := tokens.Callback{State: u.Query().Get("state"), Code: b.code(mine.AuthorizationURL),
			BrowserCookie: mine.Cookie}
		for name, change := range map[string]func(*tokens.Callback){
			"no cookie":            func(c *tokens.Callback) { c.BrowserCookie = "" },
			"other browser":        func(c *tokens.Callback) { c.BrowserCookie = theirs.Cookie },
			"over the bus":         func(c *tokens.Callback) { c.Bus = true },
			"unknown state":        func(c *tokens.Callback) { c.State = strings.Repeat("A", 43) },
			"malformed state":      func(c *tokens.Callback) { c.State = "*" },
			"bus without a cookie": func(c *tokens.Callback) { c.Bus, c.BrowserCookie = true, "" },
		} {
			bad := good
			change(&bad)
			if _, err := b.auth.Complete(ctx, bad); tokens.CodeOf(err) != tokens.CodeInvalidState {
				t.Errorf("%s: %v", name, err)
			}
		}
		scoped := good
		scoped.Connection = "other"
		_, err = b.auth.Complete(ctx, scoped)
		wantCode(t, err, tokens.CodeInvalidRequest)
		if n := b.entra.count("authorization_code"); n != 0 {
			t.Fatalf("%d redemptions, want none", n)
		}
		if _, err := b.auth.Complete(ctx, good); err != nil {
			t.Fatal("the right browser afterwards:", err)
		}
		// The link is used up, also for states that it gave out before.
		_, err = b.auth.Ticket(ctx, ticket, mine.Cookie)
		wantCode(t, err, tokens.CodeInvalidState)
		u, _ = url.Parse(theirs.AuthorizationURL)
		_, err = b.auth.Complete(ctx, tokens.Callback{State: u.Query().Get("state"), Code: b.code(theirs.AuthorizationURL),
			BrowserCookie: theirs.Cookie})
		wantCode(t, err, tokens.CodeInvalidState)
	})
}

func TestTicketOpensTwentyTimes(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		begun, err := b.auth.Begin(t.Context(), tokens.Request{Connection: "acme", EnvironmentURL: envA})
		if err != nil {
			t.Fatal(err)
		}
		ticket := strings.TrimPrefix(begun.ConnectURL, "http://localhost:8080/connect/")
		for range 20 {
			if _, err := b.auth.Ticket(t.Context(), ticket, ""); err != nil {
				t.Fatal(err)
			}
		}
		_, err = b.auth.Ticket(t.Context(), ticket, "")
		wantCode(t, err, tokens.CodeInvalidState)
	})
}

// What Entra says at the redemption, and whether the state may be used again.
func TestRedemptionFailures(t *testing.T) {
	t.Parallel()
	text := func(status int, body string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { w.WriteHeader(status); fmt.Fprint(w, body) }
	}
	said := func(status int, code string, number int) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { refuse(w, status, code, number) }
	}
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		for i, c := range []struct {
			name  string
			say   func(http.ResponseWriter)
			code  string
			again bool
		}{
			{"5xx", text(503, "<html>"+canary), tokens.CodeUnavailable, true},
			{"429", text(429, ""), tokens.CodeThrottled, true},
			{"html", text(200, "<html>"+canary), tokens.CodeUnavailable, true},
			{"cut off", func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, tokens.CodeUnavailable, true},
			{"used code", said(400, "invalid_grant", 54005), tokens.CodeInvalidState, false},
			{"bad secret", said(401, "invalid_client", 7000215), tokens.CodeConfigurationError, false},
			{"consent", said(400, "invalid_grant", 65001), tokens.CodeConsentRequired, false},
			{"not assigned", said(400, "invalid_grant", 50105), tokens.CodeReauthorizationRequired, false},
		} {
			t.Run(c.name, func(t *testing.T) {
				id := fmt.Sprintf("c%d", i)
				cb := b.signIn(tokens.Request{Connection: id})
				b.entra.set(func() {
					b.entra.answer = func(w http.ResponseWriter, _ url.Values, _ int) bool { c.say(w); return true }
				})
				_, err := b.auth.Complete(t.Context(), cb)
				wantCode(t, err, c.code)
				e, _ := errors.AsType[*tokens.Error](err)
				if e.Retryable != c.again || (e.AdminConsentURL != "") != (c.code == tokens.CodeConsentRequired) {
					t.Errorf("%+v", e)
				}
				b.entra.set(func() { b.entra.answer = nil })
				_, err = b.auth.Complete(t.Context(), cb)
				if c.again {
					wantCode(t, err, "")
					return
				}
				wantCode(t, err, c.code) // the same answer
				if now, err := b.store.Get(t.Context(), id); err != nil || now.Status != tokens.StatusPending {
					t.Errorf("%v %v", now, err)
				}
			})
		}
	})
}

func TestTokensThatDoNotFit(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		for name, c := range map[string]struct {
			change func(map[string]any)
			code   string
		}{
			"other directory": {func(m map[string]any) { m["id_token"] = idToken(tenantB, clientID, farFuture) },
				tokens.CodeIdentityMismatch},
			"other app": {func(m map[string]any) { m["id_token"] = idToken(tenantA, userA, farFuture) },
				tokens.CodeUpstreamError},
			"old id token": {func(m map[string]any) { m["id_token"] = idToken(tenantA, clientID, longAgo) },
				tokens.CodeUpstreamError},
			"broken id token":  {func(m map[string]any) { m["id_token"] = "a.b.c" }, tokens.CodeUpstreamError},
			"no refresh token": {func(m map[string]any) { delete(m, "refresh_token") }, tokens.CodeUpstreamError},
			"no bearer token":  {func(m map[string]any) { m["token_type"] = "mac" }, tokens.CodeUpstreamError},
		} {
			t.Run(name, func(t *testing.T) {
				b.entra.set(func() { b.entra.change = c.change })
				_, err := b.auth.Complete(t.Context(), b.signIn(tokens.Request{Connection: "acme"}))
				wantCode(t, err, c.code)
			})
		}
		if b.whoamis != 0 {
			t.Errorf("%d tokens were sent to Dataverse", b.whoamis)
		}
	})
}

// An authority that sends no id token is taken at its address, and refused where
// that does not tell what the environment's directory must be compared with.
func TestNoIDToken(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		for name, c := range map[string]struct {
			discover, tenant string
			code, want       string
		}{
			"the environment's directory":  {tenantA, "", "", tenantA},
			"nobody says":                  {"", "organizations", "", ""},
			"asked for a directory":        {"", tenantA, "", tenantA},
			"asked for by another address": {tenantA, "organizations", tokens.CodeUpstreamError, ""},
		} {
			t.Run(name, func(t *testing.T) {
				b := newBench(t, rdb)
				b.discover = c.discover
				b.entra.set(func() { b.entra.change = func(m map[string]any) { delete(m, "id_token") } })
				got, err := b.auth.Complete(t.Context(), b.signIn(tokens.Request{Connection: "acme", Tenant: c.tenant}))
				wantCode(t, err, c.code)
				if got.TenantID != c.want {
					t.Errorf("tenant %q, want %q", got.TenantID, c.want)
				}
				if err := b.store.Delete(t.Context(), "acme"); err != nil {
					t.Fatal(err)
				}
			})
		}
	})
}

func TestLifetimes(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		for name, c := range map[string]struct {
			value   any
			seconds float64
		}{"number": {1234, 1234}, "numeric string": {"1234", 1234}, "missing": {nil, 300}, "negative": {-5, 300},
			"too long": {99999999, 28 * 3600}} {
			b.entra.set(func() {
				b.entra.change = func(m map[string]any) {
					m["expires_in"] = c.value
					if c.value == nil {
						delete(m, "expires_in")
					}
				}
			})
			got, err := b.auth.Complete(t.Context(), b.signIn(tokens.Request{Connection: "acme"}))
			if err != nil || got.AccessTokenExpiresAt.Sub(got.RefreshedAt).Seconds() != c.seconds {
				t.Errorf("%s: %v (%v)", name, got.AccessTokenExpiresAt.Sub(got.RefreshedAt), err)
			}
		}
	})
}

func TestDataverseRefusesOrIsAway(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		b.identify = func() error {
			return &tokens.Error{Code: tokens.CodePermissionDenied, Message: "the user is disabled"}
		}
		_, err := b.auth.Complete(t.Context(), b.signIn(tokens.Request{Connection: "acme"}))
		wantCode(t, err, tokens.CodePermissionDenied)
		if c, err := b.store.Get(t.Context(), "acme"); err != nil || c.Status != tokens.StatusPending {
			t.Errorf("%v %v", c, err)
		}
		b.identify = func() error { return errors.New("connection refused") }
		cb := b.signIn(tokens.Request{Connection: "acme"})
		_, err = b.auth.Complete(t.Context(), cb)
		wantCode(t, err, tokens.CodeUnavailable)
		b.identify = nil
		before := b.entra.count("authorization_code")
		if _, err := b.auth.Complete(t.Context(), cb); err != nil {
			t.Error(err)
		}
		if n := b.entra.count("authorization_code"); n != before {
			t.Error("the code was redeemed again")
		}
	})
}

func TestReauthorization(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		first := b.connect("acme", 3600)
		cb := b.signIn(tokens.Request{Connection: "acme"})
		if now, _ := b.store.Get(t.Context(), "acme"); now.Version != first.Version || now.Status != tokens.StatusActive {
			t.Error("authorizing changed an active connection")
		}
		b.user = userB
		_, err := b.auth.Complete(t.Context(), cb)
		wantCode(t, err, tokens.CodeIdentityMismatch)
		if a, err := b.source().Access(t.Context(), "acme"); err != nil || a.Token.Reveal() != canary+"-access-1" {
			t.Error("the old grant was touched", err)
		}
		c, err := b.auth.Complete(t.Context(), b.signIn(tokens.Request{Connection: "acme", AllowUserChange: true}))
		if err != nil || c.UserID != userB || c.Incarnation != first.Incarnation {
			t.Errorf("%v %v", c, err)
		}
	})
}

func TestDeletionEndsSignIns(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		cb := b.signIn(tokens.Request{Connection: "acme"})
		if err := errors.Join(b.store.Delete(t.Context(), "acme"), b.store.Delete(t.Context(), "acme")); err != nil {
			t.Fatal(err)
		}
		b.signIn(tokens.Request{Connection: "other"})
		for id, want := range map[string]bool{"acme": false, "other": true, "nobody": false} {
			if there, err := b.store.DeleteIfThere(t.Context(), id); err != nil || there != want {
				t.Errorf("%s: there was one: %t, %v", id, there, err)
			}
		}
		b.signIn(tokens.Request{Connection: "acme"}) // made again: another incarnation
		_, err := b.auth.Complete(t.Context(), cb)
		wantCode(t, err, tokens.CodeInvalidState)
		// A pending connection may be begun again for another environment.
		cb = b.signIn(tokens.Request{Connection: "acme"})
		b.signIn(tokens.Request{Connection: "acme", EnvironmentURL: envB})
		_, err = b.auth.Complete(t.Context(), cb)
		wantCode(t, err, tokens.CodeInvalidState)
	})
}

func TestMicrosoftSaysNo(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		for name, c := range map[string]struct{ err, text, code string }{
			"cancelled":    {"access_denied", "AADSTS65004: User declined to consent", tokens.CodeConsentRequired},
			"admin needed": {"access_denied", "AADSTS90094: An administrator …", tokens.CodeConsentRequired},
			"redirect url": {"invalid_request", "AADSTS50011: …", tokens.CodeConfigurationError},
			"trouble":      {"server_error", "", tokens.CodeUnavailable},
			"sign in":      {"login_required", "", tokens.CodeReauthorizationRequired},
			"odd":          {"what_is_this", "<script>", tokens.CodeUpstreamError},
			// Only the token endpoint says that the secret is wrong; this is whoever holds the link.
			"forged client": {"invalid_client", "", tokens.CodeUpstreamError},
			"forged proof":  {"what_is_this", "AADSTS7000222: the secret has expired", tokens.CodeUpstreamError},
		} {
			t.Run(name, func(t *testing.T) {
				cb := b.signIn(tokens.Request{Connection: "acme"})
				cb.Code, cb.Error, cb.ErrorDescription = "", c.err, c.text+" "+canary
				_, err := b.auth.Complete(t.Context(), cb)
				wantCode(t, err, c.code)
				e, _ := errors.AsType[*tokens.Error](err)
				if c.code != tokens.CodeConsentRequired {
					return
				}
				u, err := url.Parse(e.AdminConsentURL)
				if err != nil || u.Path != "/"+tenantA+"/v2.0/adminconsent" || u.Query().Get("client_id") != clientID ||
					u.Query().Get("redirect_uri") != "http://localhost:8080/oauth/callback" ||
					u.Query().Get("scope") != envA+"/user_impersonation" {
					t.Errorf("admin consent URL %s (%v)", e.AdminConsentURL, err)
				}
			})
		}
	})
}

func TestImpatientCompleteGoesOn(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		cb := b.signIn(tokens.Request{Connection: "acme"})
		ctx, cancel := context.WithCancel(t.Context())
		b.identify = func() error { cancel(); return nil }
		if _, err := b.auth.Complete(ctx, cb); err != nil {
			wantCode(t, err, tokens.CodeDeadlineExceeded)
		}
		if c, err := b.auth.Complete(t.Context(), cb); err != nil || c.Status != tokens.StatusActive {
			t.Errorf("%v %v", c, err)
		}
		if n := b.entra.count("authorization_code"); n != 1 {
			t.Errorf("%d redemptions, want 1", n)
		}
	})
}
