package tokens_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
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
		{400, "invalid_grant", 50076, reauth}, {400, "interaction_required", 50079, reauth},
		{400, "invalid_grant", 50057, reauth},
		{400, "invalid_grant", 50055, reauth}, {400, "invalid_grant", 65001, reauth},
		{400, "consent_required", 65001, reauth},
		{400, "interaction_required", 53003, reauth}, {400, "invalid_grant", 123456, reauth},
		{400, "login_required", 0, reauth},
		{400, "invalid_request", 50105, reauth},
		{401, "invalid_client", 7000215, config}, {401, "invalid_client", 7000222, config},
		{401, "invalid_client", 7000218, config},
		{401, "invalid_client", 700025, config}, {400, "unauthorized_client", 700016, config},
		{400, "invalid_request", 50011, config},
		{400, "invalid_resource", 500011, config}, {400, "invalid_scope", 70011, config},
		{400, "invalid_request", 90002, config},
		{400, "invalid_grant", 90038, config}, {400, "invalid_request", 0, config}, {401, "invalid_client", 70008, config},
		{400, "invalid_grant", 90033, away}, {400, "temporarily_unavailable", 90006, away},
		{400, "server_error", 70000, away},
		{400, "invalid_grant", 50196, away}, {503, "invalid_grant", 70000, away}, {500, "server_error", 0, away},
		{429, "invalid_grant", 70000, slow}, {429, "", 0, slow},
		{400, "never_heard_of", 0, odd}, {403, "never_heard_of", 987654, odd},
	}
	b := newBench(t, client(t, miniredis.RunT(t).Addr()))
	for i, c := range rows {
		t.Run(fmt.Sprintf("%d %s %d", c.status, c.err, c.number), func(t *testing.T) {
			_ = refreshMeets(t, b, fmt.Sprintf("c%d", i), c.code, func(w http.ResponseWriter) {
				refuse(w, c.status, c.err,
					c.number)
			})
		})
	}
	for i, body := range []string{"", "<html><title>Proxy " + canary, `{"error":`, `{"access_token":"` + canary, `[]`,
		`{"error":7}`, "null"} {
		for _, status := range []int{200, 302, 400, 403, 407, 502} {
			t.Run(fmt.Sprintf("%d body %d", status, i), func(t *testing.T) {
				_ = refreshMeets(t, b, fmt.Sprintf("b%d-%d", i, status), away, func(w http.ResponseWriter) {
					w.Header().Set("Location", "/elsewhere")
					w.WriteHeader(status)
					fmt.Fprint(w, body)
				})
			})
		}
	}
}

// Answers in full: what each means for the connection, and what the requester is
// told to do about it.
func TestVerdictsSayWhatToDo(t *testing.T) {
	t.Parallel()
	const (
		reauth = tokens.CodeReauthorizationRequired
		config = tokens.CodeConfigurationError
		away   = tokens.CodeUnavailable
		again  = "a person must connect again"
	)
	json := "application/json"
	for i, c := range []struct {
		name, kind string
		status     int
		body, code string
		says       []string
	}{
		{"revoked", json, 400, `{"error":"invalid_grant","error_codes":[50173],"suberror":"bad_token"}`, reauth,
			[]string{again, "revoked", "AADSTS50173"}},
		{"unused for 90 days", json, 400, `{"error":"invalid_grant","error_codes":[700082]}`, reauth,
			[]string{again, "not used for too long"}},
		{"consent withdrawn", json, 400, `{"error":"invalid_grant","error_codes":[65001],"suberror":"consent_required"}`,
			reauth, []string{again, "must consent"}},
		{"MFA policy, with claims", json, 400, `{"error":"invalid_grant","error_codes":[50076],"suberror":"basic_action","claims":"{\"access_token\":{\"capolids\":{\"essential\":true,\"values\":[\"` + canary + `\"]}}}"}`, reauth, []string{again, "multi-factor"}},
		{"password expired", json, 400, `{"error":"invalid_grant","error_codes":[50055],"suberror":"user_password_expired"}`,
			reauth, []string{again, "password has expired"}},
		{"user disabled", json, 400, `{"error":"invalid_grant","error_codes":[50057]}`, reauth,
			[]string{again, "enable it", "allow_user_change"}},
		{"user deleted", json, 400, `{"error":"invalid_grant","error_codes":[50034]}`, reauth,
			[]string{again, "does not exist"}},
		{"policy", json, 400, `{"error":"interaction_required","error_codes":[53003],"suberror":"message_only"}`, reauth,
			[]string{again, "Conditional Access"}},
		{"unknown number, known suberror", json, 400, `{"error":"invalid_grant","error_codes":[5399999],"suberror":"additional_action"}`, reauth, []string{again, "outside the sign-in page", "AADSTS5399999"}},
		{"suberror alone", json, 400, `{"error":"interaction_required","suberror":"token_expired"}`, reauth,
			[]string{again, "expired"}},
		{"number in the description only", json, 400, `{"error":"invalid_grant","error_description":"AADSTS50173: revoked ` + canary + `"}`, reauth, []string{"AADSTS50173"}},
		{"the error alone", json, 400, `{"error":"invalid_grant"}`, reauth, []string{again, "invalid_grant"}},
		{"another client's grant", json, 400, `{"error":"invalid_grant","error_codes":[70000],"suberror":"client_mismatch"}`,
			config, []string{"ENTRA_CLIENT_ID"}},
		{"wrong secret", json, 401, `{"error":"invalid_client","error_codes":[7000215]}`, config,
			[]string{"ENTRA_CLIENT_SECRET is wrong", "operator"}},
		{"expired secret", json, 401, `{"error":"invalid_client","error_codes":[7000222]}`, config,
			[]string{"make a new one"}},
		{"unregistered certificate", json, 401, `{"error":"invalid_client","error_codes":[700027]}`, config,
			[]string{"ENTRA_CLIENT_CERTIFICATE_FILE"}},
		{"assertion refused as a grant", json, 400, `{"error":"invalid_grant","error_codes":[50013]}`, config,
			[]string{"client assertion"}},
		{"no federated credential", json, 401, `{"error":"invalid_client","error_codes":[700213]}`, config,
			[]string{"issuer, subject and audience"}},
		{"assertion out of time", json, 401, `{"error":"invalid_client","error_codes":[700024]}`, config, []string{"clock"}},
		{"assertion out of time, as a grant", json, 400, `{"error":"invalid_grant","error_codes":[500133]}`, config,
			[]string{"clock"}},
		{"application removed", json, 400, `{"error":"unauthorized_client","error_codes":[700016]}`, config,
			[]string{"ENTRA_CLIENT_ID"}},
		{"another cloud", json, 400, `{"error":"invalid_request","error_codes":[90038]}`, config,
			[]string{"ENTRA_AUTHORITY_URL"}},
		{"environment gone", json, 400, `{"error":"invalid_resource","error_codes":[500011]}`, config,
			[]string{"check environment URL"}},
		{"outage with a verdict in it", json, 503, `{"error":"invalid_grant","error_codes":[50173]}`, away,
			[]string{"try again"}},
		{"gateway with a verdict in it", json, 502, `{"error":"invalid_grant","error_codes":[700082],"suberror":"bad_token"}`, away, []string{"try again"}},
		{"proxy's JSON", json, 403, `{"error":"access_denied"}`, away, []string{"try again"}},
		{"proxy's JSON with a grant's error", json, 407, `{"error":"invalid_grant"}`, away, []string{"try again"}},
		{"proxy's JSON with OAuth's status", json, 400, `{"error":"access_denied","message":"` + canary + `"}`, away,
			[]string{"try again"}},
		{"proxy's HTML", "text/html", 400, `<html>invalid_grant AADSTS50173 ` + canary, away, []string{"try again"}},
		{"captive portal", "text/html", 200, `<html>sign in to the wireless network ` + canary, away, []string{"try again"}},
		{"captive portal as text", "text/plain", 200, "welcome=" + canary, away, []string{"try again"}},
		{"success with an error in it", json, 200, `{"error":"invalid_grant","error_codes":[50173]}`, away,
			[]string{"try again"}},
		{"truncated success", json, 200, `{"token_type":"Bearer","access_token":"` + canary, away, []string{"try again"}},
		{"truncated error", json, 400, `{"error":"invalid_grant","error_codes":[501`, away, []string{"try again"}},
		{"an error of a wrong type", json, 400, `{"error":{"code":"invalid_grant"}}`, away, []string{"try again"}},
		{"two errors", json, 400, `{"error":"invalid_grant","error":"server_error"}`, away, []string{"try again"}},
		{"redirect", "text/html", 307, ``, away, []string{"try again"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, client(t, miniredis.RunT(t).Addr()))
			err := refreshMeets(t, b, fmt.Sprintf("c%d", i), c.code, func(w http.ResponseWriter) {
				w.Header().Set("Content-Type", c.kind)
				w.Header().Set("Location", "https://elsewhere.example/")
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.body)
			})
			got, _ := b.store.Get(t.Context(), fmt.Sprintf("c%d", i))
			for _, words := range c.says {
				if !strings.Contains(err.Error(), words) || c.code == reauth && !strings.Contains(got.LastError, words) {
					t.Errorf("%q, last error %q: do not say %q", err, got.LastError, words)
				}
			}
			if strings.Contains(fmt.Sprintf("%v %+v %#v", got, got, got), canary) {
				t.Error("the connection tells what Entra's answer held")
			}
		})
	}
}

// A date is a Retry-After too.
func TestRetryAfterADate(t *testing.T) {
	t.Parallel()
	b := newBench(t, client(t, miniredis.RunT(t).Addr()))
	err := refreshMeets(t, b, "acme", tokens.CodeThrottled, func(w http.ResponseWriter) {
		w.Header().Set("Retry-After", time.Now().Add(90*time.Second).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusTooManyRequests)
	})
	if e, _ := errors.AsType[*tokens.Error](err); e == nil || !e.Retryable || e.RetryAfter < 80*time.Second ||
		e.RetryAfter > 90*time.Second {
		t.Errorf("%+v", e)
	}
}

// refreshMeets forces one refresh that gets this answer, and returns its error.
func refreshMeets(t *testing.T, b *bench, id, code string, say func(http.ResponseWriter)) error {
	t.Helper()
	b.entra.set(func() { b.entra.answer = nil })
	b.connect(id, 3600)
	s := b.source()
	defer s.Close(t.Context()) // or the sources of 80 rows keep the machine busy
	a, err := s.Access(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	b.entra.set(func() {
		b.entra.answer = func(w http.ResponseWriter, _ url.Values, _ int) bool { say(w); return true }
	})
	before, begun := b.entra.count("refresh_token"), time.Now()
	_, verdict := s.Refused(t.Context(), id, a)
	wantCode(t, verdict, code)
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
		return verdict
	}
	// At once again: Entra is not asked. It may be after a pause, which doubles with
	// every failure, so that a machine which stalled for longer gets another chance.
	for pause := time.Second; ; pause *= 2 {
		before, again := b.entra.count("refresh_token"), time.Now()
		_, err = s.Refused(t.Context(), id, a)
		wantCode(t, err, code)
		if b.entra.count("refresh_token") == before {
			return verdict
		}
		if took := time.Since(begun); took < pause || pause > time.Minute {
			t.Fatalf("Entra was asked again within %v after a failure, want a pause of %v", took, pause)
		}
		begun = again
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
			e, err := tokens.NewEntra(tokens.EntraConfig{Authority: authority, ClientID: clientID, ClientSecret: clientSecret,
				AllowHTTP: true})
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
