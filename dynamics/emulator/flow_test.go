package emulator_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

// rig is a running server and a client that follows no redirects.
type rig struct {
	*testing.T
	s   *emulator.Server
	url string
	web *http.Client
	// stop closes the server, after every handler has returned.
	stop func()
}

func start(t *testing.T, o emulator.Options) *rig {
	t.Helper()
	s, err := emulator.New(o)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	web := srv.Client()
	web.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &rig{t, s, srv.URL, web, srv.Close}
}

// reply is an answer read to its end.
type reply struct {
	status int
	header http.Header
	body   string
}

func (g *rig) do(method, target, token string, body io.Reader, header ...string) reply {
	g.Helper()
	if strings.HasPrefix(target, "/") {
		target = g.url + target
	}
	req, err := http.NewRequestWithContext(g.Context(), method, target, body)
	if err != nil {
		g.Error(err)
		return reply{} // goroutines of a test ask too, which cannot end it
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	res, err := g.web.Do(req)
	if err != nil {
		g.Error(err)
		return reply{}
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		g.Error(err)
		return reply{}
	}
	return reply{res.StatusCode, res.Header, string(b)}
}

// api reads below /api/data/v9.2/.
func (g *rig) api(token, path string, header ...string) reply {
	g.Helper()
	return g.do("GET", "/api/data/v9.2/"+path, token, nil, header...)
}

func (g *rig) config() *oauth2.Config {
	return &oauth2.Config{ClientID: emulator.DefaultClientID, ClientSecret: emulator.DefaultClientSecret,
		RedirectURL: emulator.DefaultRedirectURI,
		Scopes:      []string{g.url + "/user_impersonation", "offline_access", "openid"},
		Endpoint: oauth2.Endpoint{AuthStyle: oauth2.AuthStyleInParams,
			AuthURL: g.url + "/organizations/oauth2/v2.0/authorize", TokenURL: g.url + "/organizations/oauth2/v2.0/token"}}
}

// code signs in (the server has AutoConsent) and returns the authorization code.
func (g *rig) code(user, verifier string) string {
	g.Helper()
	u := g.config().AuthCodeURL("the state", oauth2.S256ChallengeOption(verifier),
		oauth2.SetAuthURLParam("login_hint", user))
	r := g.do("GET", u, "", nil)
	back, err := url.Parse(r.header.Get("Location"))
	if err != nil || r.status != http.StatusFound || back.Query().Get("state") != "the state" ||
		back.Query().Get("code") == "" {
		g.Fatalf("authorize answered %d %q", r.status, r.header.Get("Location"))
	}
	return back.Query().Get("code")
}

func (g *rig) signIn(user string) *oauth2.Token {
	g.Helper()
	v := oauth2.GenerateVerifier()
	tok, err := g.config().Exchange(context.WithValue(g.Context(), oauth2.HTTPClient, g.web), g.code(user, v),
		oauth2.VerifierOption(v))
	if err != nil {
		g.Fatal(err)
	}
	return tok
}

func TestCodeWithPKCEThenRefreshThenData(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 100})
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, g.web)
	first := g.signIn(emulator.DefaultUser)
	if first.RefreshToken == "" || first.Extra("id_token") == nil || first.ExpiresIn != 3599 {
		t.Fatalf("token answer lacks a member: expires_in %d", first.ExpiresIn)
	}
	if r := g.api(first.AccessToken, "WhoAmI"); r.status != 200 || !strings.Contains(r.body, `"UserId":"`) {
		t.Fatalf("WhoAmI: %d %s", r.status, r.body)
	}
	g.s.Control().ExpireAccessTokens()
	if r := g.api(first.AccessToken, "WhoAmI"); r.status != 401 {
		t.Fatalf("an expired token got %d", r.status)
	}
	second, err := g.config().TokenSource(ctx, &oauth2.Token{RefreshToken: first.RefreshToken}).Token()
	if err != nil {
		t.Fatal(err)
	}
	if second.RefreshToken == first.RefreshToken || second.AccessToken == first.AccessToken {
		t.Error("a refresh must bring new tokens")
	}
	if r := g.api(second.AccessToken, "WhoAmI()"); r.status != 200 {
		t.Errorf("the refreshed token got %d", r.status)
	}
	if _, err := g.config().TokenSource(ctx, &oauth2.Token{RefreshToken: first.RefreshToken}).Token(); err != nil {
		t.Error("the older refresh token stays valid:", err)
	}
	if n := g.s.Control().RevokeRefreshTokens(emulator.DefaultUser); n < 3 {
		t.Errorf("revoked %d refresh tokens, want at least 3", n)
	}
	_, err = g.config().TokenSource(ctx, &oauth2.Token{RefreshToken: second.RefreshToken}).Token()
	if e, ok := errors.AsType[*oauth2.RetrieveError](err); !ok || e.ErrorCode != "invalid_grant" ||
		!strings.HasPrefix(e.ErrorDescription, "AADSTS50173: ") {
		t.Errorf("after revocation: %v", err)
	}
	if c := g.s.Control().Counts(); c.Tokens["authorization_code"] != 1 || c.Tokens["refresh_token"] != 3 ||
		c.TokenErrors["invalid_grant"] != 1 || c.Authorize != 1 || c.Unauthorized != 1 {
		t.Errorf("counts: %+v", c)
	}
}
