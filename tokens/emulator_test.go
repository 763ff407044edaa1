package tokens_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/tokens"
	"github.com/redis/go-redis/v9"
)

var challenged = regexp.MustCompile(`authorization_uri=[^ ,]*//[^/]+/([^/]+)/`)

// world is Entra and Dataverse emulated, with what the package needs of them.
type world struct {
	*httptest.Server
	control emulator.Control
}

func newWorld(t *testing.T, redirect string) *world {
	t.Helper()
	e, err := emulator.New(emulator.Options{Accounts: -1, AutoConsent: true, RedirectURIs: []string{redirect}})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Server: httptest.NewServer(e), control: e.Control()}
	t.Cleanup(w.Close)
	return w
}

func (w *world) whoAmI(ctx context.Context, environment, token string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, "GET", environment+"/api/data/v9.2/WhoAmI", nil)
	if err != nil {
		return nil, err
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return w.Client().Do(r)
}

func (w *world) discover(ctx context.Context, environment string) (string, error) {
	res, err := w.whoAmI(ctx, environment, "")
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	m := challenged.FindStringSubmatch(res.Header.Get("WWW-Authenticate"))
	if m == nil {
		return "", errors.New("no challenge")
	}
	return m[1], nil
}

func (w *world) identify(ctx context.Context, environment, token string) (string, string, error) {
	res, err := w.whoAmI(ctx, environment, token)
	if err != nil {
		return "", "", err
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
		var who map[string]string
		err := json.NewDecoder(res.Body).Decode(&who)
		return who["UserId"], who["OrganizationId"], err
	case http.StatusUnauthorized, http.StatusForbidden:
		return "", "", &tokens.Error{Code: tokens.CodePermissionDenied, Message: "Dataverse refuses the user"}
	}
	return "", "", fmt.Errorf("HTTP %d", res.StatusCode)
}

// A person with a browser connects; the grant is used, renewed and revoked.
func TestAgainstTheEmulator(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		var pages http.Handler
		public := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { pages.ServeHTTP(w, r) }))
		defer public.Close()
		w := newWorld(t, public.URL+"/oauth/callback")
		raw, _ := tokens.GenerateKeyset()
		keys, _ := tokens.ReadKeyset(raw)
		store := tokens.NewStore(rdb, keys)
		app, err := tokens.NewEntra(tokens.EntraConfig{Authority: w.URL, AllowHTTP: true,
			ClientID: emulator.DefaultClientID, ClientSecret: emulator.DefaultClientSecret})
		if err != nil {
			t.Fatal(err)
		}
		defer app.Close()
		auth, err := tokens.NewAuthorizer(tokens.AuthorizerConfig{Store: store, Entra: app, PublicURL: public.URL,
			Discover: w.discover, Identify: w.identify})
		if err != nil {
			t.Fatal(err)
		}
		defer auth.Close(t.Context())
		pages = auth.Handler()

		begun, err := auth.Begin(t.Context(), tokens.Request{Connection: "demo", EnvironmentURL: w.URL})
		if err != nil {
			t.Fatal(err)
		}
		jar, _ := cookiejar.New(nil)
		browser := &http.Client{Jar: jar, Timeout: time.Minute}
		defer browser.CloseIdleConnections()
		ask := func(method, url string) string {
			t.Helper()
			r, _ := http.NewRequestWithContext(t.Context(), method, url, nil)
			res, err := browser.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, _ := io.ReadAll(res.Body)
			if res.StatusCode != 200 {
				t.Fatalf("%s\n%s", res.Status, body)
			}
			return string(body)
		}
		if page := ask("GET", begun.ConnectURL); !strings.Contains(page, button) {
			t.Fatal(page)
		}
		done := ask("POST", begun.ConnectURL)
		c, err := store.Get(t.Context(), "demo")
		if err != nil || c.Status != tokens.StatusActive || c.TenantID != emulator.DefaultTenantID ||
			!strings.Contains(done, c.UserID) {
			t.Fatalf("%+v %v\n%s", c, err, done)
		}

		source := tokens.NewSource(tokens.SourceConfig{Store: store, Entra: app})
		defer source.Close(t.Context())
		works := func(a tokens.Access) bool {
			t.Helper()
			res, err := w.whoAmI(t.Context(), a.Environment, a.Token.Reveal())
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			return res.StatusCode == 200
		}
		a, err := source.Access(t.Context(), "demo")
		if err != nil || !works(a) {
			t.Fatal("the token does not work", err)
		}
		w.control.ExpireAccessTokens()
		if works(a) {
			t.Fatal("an expired token works")
		}
		b, err := source.Refused(t.Context(), "demo", a)
		if err != nil || !works(b) {
			t.Fatal("the forced refresh's token does not work", err)
		}
		if n := w.control.Counts().Tokens["refresh_token"]; n != 1 {
			t.Errorf("%d refreshes, want 1", n)
		}

		// The grant is revoked: a second source refreshes for a token that it has
		// seen refused, and the connection says that a person is needed. The pause
		// after a forced refresh is the store's, so the person connects again first.
		again, err := auth.Begin(t.Context(), tokens.Request{Connection: "demo", EnvironmentURL: w.URL})
		if err != nil {
			t.Fatal(err)
		}
		ask("GET", again.ConnectURL)
		ask("POST", again.ConnectURL)
		a, err = source.Access(t.Context(), "demo")
		if err != nil || !works(a) {
			t.Fatal("the second grant does not work", err)
		}
		if n := w.control.RevokeRefreshTokens(emulator.DefaultUser); n == 0 {
			t.Fatal("nothing was revoked")
		}
		_, err = source.Refused(t.Context(), "demo", a)
		wantCode(t, err, tokens.CodeReauthorizationRequired)
		if c, err := store.Get(t.Context(), "demo"); err != nil || c.Status != tokens.StatusReauthorizationRequired ||
			!strings.Contains(c.LastError, "AADSTS") {
			t.Errorf("%+v %v", c, err)
		}
	})
}
