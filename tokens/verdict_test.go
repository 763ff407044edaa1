package tokens_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/crmbridge/crmbridge/tokens"
)

var (
	farFuture = time.Now().Add(time.Hour)
	longAgo   = time.Now().Add(-24 * time.Hour)
)

// Each row is one answer to a refresh: what it becomes, and whether the
// connection is marked.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	const (
		reauth = tokens.CodeReauthorizationRequired
		config = tokens.CodeConfigurationError
		away   = tokens.CodeUnavailable
		slow   = tokens.CodeThrottled
		odd    = tokens.CodeUpstreamError
	)
	type row struct {
		status int
		err    string
		number int
		code   string
	}
	rows := []row{
		{400, "invalid_grant", 70000, reauth}, {400, "invalid_grant", 70008, reauth}, {400, "invalid_grant", 700082, reauth},
		{400, "invalid_grant", 700084, reauth}, {400, "invalid_grant", 70043, reauth}, {400, "invalid_grant", 50173, reauth},
		{400, "invalid_grant", 50076, reauth}, {400, "interaction_required", 50079, reauth}, {400, "invalid_grant", 50057, reauth},
		{400, "invalid_grant", 50055, reauth}, {400, "invalid_grant", 65001, reauth}, {400, "consent_required", 65001, reauth},
		{400, "interaction_required", 53003, reauth}, {400, "invalid_grant", 123456, reauth}, {400, "login_required", 0, reauth},
		{400, "invalid_request", 50105, reauth},
		{401, "invalid_client", 7000215, config}, {401, "invalid_client", 7000222, config}, {401, "invalid_client", 7000218, config},
		{401, "invalid_client", 700025, config}, {400, "unauthorized_client", 700016, config}, {400, "invalid_request", 50011, config},
		{400, "invalid_resource", 500011, config}, {400, "invalid_scope", 70011, config}, {400, "invalid_request", 90002, config},
		{400, "invalid_grant", 90038, config}, {400, "invalid_request", 0, config}, {401, "invalid_client", 70008, config},
		{400, "invalid_grant", 90033, away}, {400, "temporarily_unavailable", 90006, away}, {400, "server_error", 70000, away},
		{400, "invalid_grant", 50196, away}, {503, "invalid_grant", 70000, away}, {500, "server_error", 0, away},
		{429, "invalid_grant", 70000, slow}, {429, "", 0, slow},
		{400, "never_heard_of", 0, odd}, {403, "never_heard_of", 987654, odd},
	}
	b := newBench(t, client(t, miniredis.RunT(t).Addr()))
	for i, c := range rows {
		t.Run(fmt.Sprintf("%d %s %d", c.status, c.err, c.number), func(t *testing.T) {
			refreshMeets(t, b, fmt.Sprintf("c%d", i), c.code, func(w http.ResponseWriter) { refuse(w, c.status, c.err, c.number) })
		})
	}
	for i, body := range []string{"", "<html><title>Proxy " + canary, `{"error":`, `{"access_token":"` + canary, `[]`, `{"error":7}`, "null"} {
		for _, status := range []int{200, 302, 400, 403, 407, 502} {
			t.Run(fmt.Sprintf("%d body %d", status, i), func(t *testing.T) {
				refreshMeets(t, b, fmt.Sprintf("b%d-%d", i, status), away, func(w http.ResponseWriter) {
					w.Header().Set("Location", "/elsewhere")
					w.WriteHeader(status)
					fmt.Fprint(w, body)
				})
			})
		}
	}
}

// refreshMeets forces one refresh that gets this answer.
func refreshMeets(t *testing.T, b *bench, id, code string, say func(http.ResponseWriter)) {
	t.Helper()
	b.entra.set(func() { b.entra.answer = nil })
	b.connect(id, 3600)
	s := b.source()
	a, err := s.Access(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	b.entra.set(func() {
		b.entra.answer = func(w http.ResponseWriter, _ url.Values, _ int) bool { say(w); return true }
	})
	before := b.entra.count("refresh_token")
	_, err = s.Refused(t.Context(), id, a)
	wantCode(t, err, code)
	if n := b.entra.count("refresh_token") - before; n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
	c, err := b.store.Get(t.Context(), id)
	want := tokens.StatusActive
	if code == tokens.CodeReauthorizationRequired {
		want = tokens.StatusReauthorizationRequired
	}
	if err != nil || c.Status != want {
		t.Errorf("status %s, want %s (%v)", c.Status, want, err)
	}
	if code == tokens.CodeReauthorizationRequired {
		return
	}
	_, err = s.Refused(t.Context(), id, a) // at once again: Entra is not asked
	wantCode(t, err, code)
	if n := b.entra.count("refresh_token") - before; n != 1 {
		t.Errorf("%d token requests after a failure, want 1", n)
	}
}

func TestRetryAfterIsKept(t *testing.T) {
	t.Parallel()
	b := newBench(t, client(t, miniredis.RunT(t).Addr()))
	b.connect("acme", 3600)
	s := b.source()
	a, err := s.Access(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	b.entra.set(func() {
		b.entra.answer = func(w http.ResponseWriter, _ url.Values, _ int) bool {
			w.Header().Set("Retry-After", "120")
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}
	})
	for range 2 {
		_, err = s.Refused(t.Context(), "acme", a)
		e, _ := errors.AsType[*tokens.Error](err)
		if e == nil || !e.Retryable || e.RetryAfter < 110*time.Second || e.RetryAfter > 120*time.Second {
			t.Fatalf("%+v", e)
		}
	}
}

func TestEntraCannotBeReached(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	tls := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(tls.Close)
	for name, authority := range map[string]string{"refused": gone.URL, "untrusted certificate": tls.URL} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, client(t, miniredis.RunT(t).Addr()))
			b.connect("acme", 3600)
			e, err := tokens.NewEntra(tokens.EntraConfig{Authority: authority, ClientID: clientID, ClientSecret: clientSecret, AllowHTTP: true})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			s := tokens.NewSource(tokens.SourceConfig{Store: b.store, Entra: e, Log: b.log()})
			defer s.Close(t.Context())
			a, err := s.Access(t.Context(), "acme")
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Refused(t.Context(), "acme", a)
			wantCode(t, err, tokens.CodeUnavailable)
			if c, _ := b.store.Get(t.Context(), "acme"); c.Status != tokens.StatusActive {
				t.Error("marked")
			}
		})
	}
}
