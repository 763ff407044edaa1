package tokens_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/tokens"
	"github.com/redis/go-redis/v9"
)

const (
	envA     = "https://contoso.crm4.dynamics.com"
	envB     = "https://fabrikam.crm4.dynamics.com"
	tenantA  = "11111111-2222-3333-4444-555555555555"
	tenantB  = "99999999-2222-3333-4444-555555555555"
	userA    = "aaaaaaaa-0000-0000-0000-000000000001"
	userB    = "aaaaaaaa-0000-0000-0000-000000000002"
	orgA     = "bbbbbbbb-0000-0000-0000-000000000001"
	clientID = "cccccccc-0000-0000-0000-000000000001"
	// canary is part of everything secret, so that one search finds any leak.
	canary       = "CANARY"
	clientSecret = canary + "-client-secret"
)

// fakeEntra is a token endpoint that checks every form it gets.
type fakeEntra struct {
	t testing.TB
	*httptest.Server

	mu         sync.Mutex
	challenges map[string]string // code → PKCE challenge
	lifetimes  []int             // expires_in, the last stays
	serial     int
	forms      []url.Values
	paths      []string
	tenant     string
	// answer, when set, may answer a request itself (true) or leave it.
	answer func(w http.ResponseWriter, form url.Values, n int) bool
	change func(body map[string]any)
	// proves checks how the application proves itself at a token endpoint; nil: by its secret.
	proves func(form url.Values, endpoint string) error
}

func provesBySecret(form url.Values, _ string) error {
	if form.Get("client_secret") != clientSecret || form.Has("client_assertion") || form.Has("client_assertion_type") {
		return errors.New("not by the secret alone")
	}
	return nil
}

func newFakeEntra(t testing.TB) *fakeEntra {
	f := &fakeEntra{t: t, challenges: map[string]string{}, lifetimes: []int{3600}, tenant: tenantA}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *fakeEntra) set(change func()) { f.mu.Lock(); defer f.mu.Unlock(); change() }

// count returns how many requests of a grant came.
func (f *fakeEntra) count(grant string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, form := range f.forms {
		if form.Get("grant_type") == grant {
			n++
		}
	}
	return n
}

func (f *fakeEntra) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil || r.Method != http.MethodPost ||
		!strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/token") || r.URL.RawQuery != "" {
		f.t.Errorf("token endpoint got %s %s (%v)", r.Method, r.URL, err)
	}
	f.mu.Lock()
	proves := f.proves
	f.mu.Unlock()
	if proves == nil {
		proves = provesBySecret
	}
	if _, _, basic := r.BasicAuth(); basic || r.PostForm.Get("client_id") != clientID {
		f.t.Errorf("client authentication is not in the form's parameters")
	}
	if err := proves(r.PostForm, f.URL+r.URL.Path); err != nil {
		f.t.Errorf("client authentication: %v", err)
	}
	want := "/user_impersonation offline_access openid profile"
	if r.PostForm.Get("grant_type") == "client_credentials" {
		want = "/.default"
	}
	if got := r.PostForm.Get("scope"); !strings.HasSuffix(got, want) || strings.Count(got, "://") != 1 {
		f.t.Errorf("scope %q", got)
	}
	f.mu.Lock()
	f.forms, f.paths = append(f.forms, r.PostForm), append(f.paths, r.URL.Path)
	n, answer, change := len(f.forms), f.answer, f.change
	f.mu.Unlock()
	if answer != nil && answer(w, r.PostForm, n) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch r.PostForm.Get("grant_type") {
	case "authorization_code":
		sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
		challenge, ok := f.challenges[r.PostForm.Get("code")]
		if !ok {
			refuse(w, 400, "invalid_grant", 54005)
			return
		}
		if challenge != base64.RawURLEncoding.EncodeToString(sum[:]) {
			f.t.Error("code_verifier does not match the challenge")
		}
		if got := r.PostForm.Get("redirect_uri"); got != "http://localhost:8080/oauth/callback" {
			f.t.Errorf("redirect_uri %q", got)
		}
		delete(f.challenges, r.PostForm.Get("code"))
	case "refresh_token":
		if !strings.HasPrefix(r.PostForm.Get("refresh_token"), canary+"-refresh-") {
			f.t.Errorf("refresh_token is not one of ours")
		}
	case "client_credentials":
		if !strings.HasPrefix(r.URL.Path, "/"+tenantA+"/") {
			f.t.Errorf("client_credentials at %s, which is not one directory", r.URL.Path)
		}
	default:
		f.t.Errorf("grant_type %q", r.PostForm.Get("grant_type"))
	}
	f.serial++
	life := f.lifetimes[0]
	if len(f.lifetimes) > 1 {
		f.lifetimes = f.lifetimes[1:]
	}
	body := map[string]any{
		"token_type": "Bearer", "expires_in": life, "ext_expires_in": life, "scope": envA + "/user_impersonation",
		"access_token":  fmt.Sprintf("%s-access-%d", canary, f.serial),
		"refresh_token": fmt.Sprintf("%s-refresh-%d", canary, f.serial),
		"id_token":      idToken(f.tenant, clientID, time.Now().Add(time.Hour)),
	}
	if r.PostForm.Get("grant_type") == "client_credentials" {
		for _, name := range []string{"scope", "refresh_token", "id_token"} {
			delete(body, name)
		}
	}
	if change != nil {
		change(body)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(body)
}

func idToken(tenant, audience string, expires time.Time) string {
	b, _ := json.Marshal(map[string]any{"aud": audience, "tid": tenant, "exp": expires.Unix(), "name": canary + " person"})
	return "e30." + base64.RawURLEncoding.EncodeToString(b) + ".c2ln"
}

func refuse(w http.ResponseWriter, status int, code string, number int) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"error": code, "error_description": fmt.Sprintf("AADSTS%d: %s in a description\r\nTrace ID: x", number, canary),
		"error_codes": []int{number},
	})
}

// bench is everything around the package under test.
type bench struct {
	t     testing.TB
	rdb   redis.UniversalClient
	keys  *tokens.Keyset
	entra *fakeEntra
	store *tokens.Store
	auth  *tokens.Authorizer
	logs  *syncBuffer

	mu       sync.Mutex
	user     string
	identify func() error
	discover string
	whoamis  int
	// tune changes the configuration of every Entra made afterwards.
	tune func(*tokens.EntraConfig)
	// serves are the tables of every authorizer made afterwards.
	serves []string
	// leftovers is what every authorizer made afterwards has removed before a connection.
	leftovers func(context.Context, string) error
}

type syncBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func newBench(t testing.TB, rdb redis.UniversalClient) *bench {
	t.Helper()
	raw, err := tokens.GenerateKeyset()
	if err != nil {
		t.Fatal(err)
	}
	return newBenchWith(t, rdb, raw)
}

func newBenchWith(t testing.TB, rdb redis.UniversalClient, keyset []byte) *bench {
	t.Helper()
	keys, err := tokens.ReadKeyset(keyset)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, rdb: rdb, keys: keys, entra: newFakeEntra(t), store: tokens.NewStore(rdb, keys),
		logs: &syncBuffer{}, user: userA, discover: tenantA}
	b.auth = b.authorizer()
	t.Cleanup(func() {
		b.logs.mu.Lock()
		defer b.logs.mu.Unlock()
		if strings.Contains(b.logs.String(), canary) {
			t.Errorf("the log holds a secret:\n%s", b.logs.String())
		}
	})
	return b
}

func (b *bench) app() *tokens.Entra {
	e, err := b.newApp()
	if err != nil {
		b.t.Fatal(err)
	}
	return e
}

func (b *bench) newApp() (*tokens.Entra, error) {
	c := tokens.EntraConfig{Authority: b.entra.URL, ClientID: clientID, ClientSecret: clientSecret, AllowHTTP: true,
		Log:  b.log(),
		Apps: map[string]string{"app": envA, "other": envA, "moved": envB}}
	if b.tune != nil {
		b.tune(&c)
	}
	e, err := tokens.NewEntra(c)
	if err == nil {
		b.t.Cleanup(e.Close)
	}
	return e, err
}

func (b *bench) log() *slog.Logger {
	return slog.New(slog.NewTextHandler(b.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (b *bench) authorizer() *tokens.Authorizer {
	serves := b.serves
	a, err := tokens.NewAuthorizer(tokens.AuthorizerConfig{
		Store: b.store, Entra: b.app(), PublicURL: "http://localhost:8080", Log: b.log(),
		Tables: serves, Reads: []string{"columns"}, Leftovers: b.leftovers,
		Describe: func(table string) string {
			if !slices.Contains(serves, table) {
				return ""
			}
			return "rows of " + table
		},
		Discover: func(context.Context, string) (string, error) {
			if b.discover == "" {
				return "", errors.New("no challenge")
			}
			return b.discover, nil
		},
		Identify: func(_ context.Context, environment, token string) (string, string, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.whoamis++
			if !strings.HasPrefix(token, canary+"-access-") {
				b.t.Errorf("WhoAmI at %s with a token that is not ours", environment)
			}
			if b.identify != nil {
				if err := b.identify(); err != nil {
					return "", "", err
				}
			}
			return b.user, orgA, nil
		},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { a.Close(context.Background()) })
	return a
}

func (b *bench) source() *tokens.Source {
	return b.sourceOf(b.app())
}

func (b *bench) sourceOf(e *tokens.Entra) *tokens.Source {
	s := tokens.NewSource(tokens.SourceConfig{Store: b.store, Entra: e, Log: b.log()})
	b.t.Cleanup(func() { s.Close(context.Background()) })
	return s
}

// signIn begins over the bus and returns what Microsoft would send back.
func (b *bench) signIn(q tokens.Request) tokens.Callback {
	b.t.Helper()
	q.Bus = true
	if q.EnvironmentURL == "" {
		q.EnvironmentURL = envA
	}
	begun, err := b.auth.Begin(b.t.Context(), q)
	if err != nil {
		b.t.Fatal(err)
	}
	return tokens.Callback{State: begun.State, Code: b.code(begun.AuthorizationURL), Bus: true}
}

// code lets Microsoft issue a code for an authorization URL.
func (b *bench) code(authorization string) tokens.Secret {
	b.t.Helper()
	u, err := url.Parse(authorization)
	if err != nil {
		b.t.Fatal(err)
	}
	q := u.Query()
	if q.Get("code_challenge_method") != "S256" || q.Get("response_type") != "code" || q.Get("client_id") != clientID {
		b.t.Errorf("authorization URL lacks something: %v", q)
	}
	code := fmt.Sprintf("%s-code-%s", canary, q.Get("state")[:8])
	b.entra.set(func() { b.entra.challenges[code] = q.Get("code_challenge") })
	return tokens.Secret(code)
}

// connect makes a connection whose first token lives for so many seconds.
func (b *bench) connect(id string, life int) tokens.Connection {
	b.t.Helper()
	b.entra.set(func() { b.entra.lifetimes = []int{life, 3600} })
	c, err := b.auth.Complete(b.t.Context(), b.signIn(tokens.Request{Connection: id}))
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// look is one easy step: a look at Redis.
func (b *bench) look() { _, _ = b.store.Get(context.Background(), "nobody") }

// expired makes a connection and waits until its token has ended.
func (b *bench) expired(id string) tokens.Connection {
	b.t.Helper()
	c := b.connect(id, 1)
	b.expiredNow(c)
	return c
}

// expiredNow waits until a connection's token has ended.
func (b *bench) expiredNow(c tokens.Connection) {
	b.t.Helper()
	await(b.t, "end of the token", func() bool { return time.Now().After(c.AccessTokenExpiresAt) })
}

func wantCode(t testing.TB, err error, code string) {
	t.Helper()
	if got := tokens.CodeOf(err); got != code {
		t.Fatalf("error %v, want code %q", err, code)
	}
	if err != nil && strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), canary) {
		t.Fatalf("the error holds a secret")
	}
}
