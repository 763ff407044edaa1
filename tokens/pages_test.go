package tokens_test

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/crmbridge/crmbridge/tokens"
	"github.com/redis/go-redis/v9"
)

// visit asks the pages as a browser with this cookie would.
func visit(t *testing.T, h http.Handler, method, target, cookie string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	res := w.Result()
	body, _ := io.ReadAll(res.Body)
	if strings.Contains(string(body), canary) || strings.Contains(strings.Join(res.Header["Location"], ""), canary) {
		t.Errorf("%s %s shows a secret", method, target)
	}
	if res.StatusCode != http.StatusNotFound && res.StatusCode/100 != 3 {
		for k, want := range map[string]string{
			"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
			"Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'sha256-",
		} {
			if !strings.HasPrefix(res.Header.Get(k), want) {
				t.Errorf("%s %s: %s is %q", method, target, k, res.Header.Get(k))
			}
		}
		if _, after, ok := strings.Cut(string(body), "<style>"); ok {
			style, _, _ := strings.Cut(after, "</style>")
			sum := sha256.Sum256([]byte(style))
			if !strings.Contains(res.Header.Get("Content-Security-Policy"), base64.StdEncoding.EncodeToString(sum[:])) {
				t.Errorf("%s %s: the policy does not allow the page's style", method, target)
			}
		}
		if !strings.Contains(res.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") ||
			strings.Contains(string(body), "<script") {
			t.Errorf("%s %s: frames or scripts", method, target)
		}
	}
	return res, string(body)
}

// goOn presses the button of a connect page and returns where it leads.
func goOn(t *testing.T, h http.Handler, connectURL, cookie string) string {
	t.Helper()
	res, body := visit(t, h, "POST", connectURL, cookie)
	if res.StatusCode != http.StatusSeeOther {
		t.Fatal(res.Status, body)
	}
	return res.Header.Get("Location")
}

const button = `<form method="post"><button class="go">Continue to Microsoft</button></form>`

func TestConnectInABrowser(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		h := b.auth.Handler()
		begun, err := b.auth.Begin(t.Context(), tokens.Request{Connection: "acme", EnvironmentURL: envA,
			LoginHint: `"><b>ann</b>`})
		if err != nil || begun.State != "" || begun.AuthorizationURL != "" {
			t.Fatalf("%+v %v", begun, err)
		}
		for range 30 { // mail scanners and previewers
			if res, _ := visit(t, h, "HEAD", begun.ConnectURL, ""); res.StatusCode != 200 || len(res.Cookies()) != 0 {
				t.Fatal("HEAD", res.Status)
			}
			if res, _ := visit(t, h, "GET", begun.ConnectURL, ""); res.StatusCode != 200 || len(res.Cookies()) != 1 {
				t.Fatal("GET", res.Status)
			}
		}
		res, body := visit(t, h, "GET", begun.ConnectURL, "")
		if res.StatusCode != 200 || len(res.Cookies()) != 1 || strings.Count(body, button) != 1 {
			t.Fatal(res.Status, body)
		}
		for _, want := range []string{"acme", envA, "&lt;b&gt;ann"} {
			if !strings.Contains(body, want) {
				t.Errorf("the page does not show %q", want)
			}
		}
		cookie := res.Cookies()[0]
		if cookie.Name != "crmbridge" || !cookie.HttpOnly || cookie.Secure || cookie.SameSite != http.SameSiteLaxMode ||
			cookie.Path != "/" {
			t.Errorf("cookie %v", cookie)
		}
		mine := "crmbridge=" + cookie.Value
		if again, _ := visit(t, h, "GET", begun.ConnectURL, mine); again.Cookies()[0].Value != cookie.Value {
			t.Error("a browser with a cookie got another one")
		}
		if res, _ := visit(t, h, "POST", begun.ConnectURL, ""); res.StatusCode != 400 {
			t.Error("the button without the page's cookie, as of another site:", res.Status)
		}
		authorization := goOn(t, h, begun.ConnectURL, mine)
		u, err := url.Parse(authorization)
		if err != nil || !strings.HasPrefix(authorization, b.entra.URL+"/"+tenantA+"/oauth2/v2.0/authorize?") {
			t.Fatal(authorization, err)
		}
		back := "http://localhost:8080/oauth/callback?" + url.Values{
			"state": {u.Query().Get("state")}, "code": {b.code(authorization).Reveal()}, "session_state": {"x"}}.Encode()
		for name, c := range map[string]string{"none": "", "foreign": "crmbridge=" + strings.Repeat("A", 43),
			"two": mine + "; crmbridge=" + strings.Repeat("A", 43), "other name": "__Host-" + mine} {
			if res, _ := visit(t, h, "GET", back, c); res.StatusCode != 400 {
				t.Errorf("callback with cookie %q: %s", name, res.Status)
			}
		}
		if res, _ := visit(t, h, "HEAD", back, mine); res.StatusCode != 200 || b.entra.count("authorization_code") != 0 {
			t.Error("HEAD or a foreign cookie redeemed the code")
		}
		res, body = visit(t, h, "GET", back, mine)
		if res.StatusCode != 200 || !strings.Contains(body, userA) || !strings.Contains(body, orgA) {
			t.Fatal(res.Status, body)
		}
		if res, _ := visit(t, h, "GET", begun.ConnectURL, mine); res.StatusCode != 400 {
			t.Error("the link was not used up", res.Status)
		}
		if res, _ := visit(t, h, "HEAD", begun.ConnectURL, mine); res.StatusCode != 400 {
			t.Error("HEAD of a used link", res.Status)
		}
	})
}

func TestSecureCookie(t *testing.T) {
	t.Parallel()
	b := newBench(t, client(t, miniredis.RunT(t).Addr()))
	a, err := tokens.NewAuthorizer(tokens.AuthorizerConfig{Store: b.store, Entra: b.app(),
		PublicURL: "https://crm.example.com/",
		Discover:  tokensDiscover, Identify: tokensIdentify})
	if err != nil {
		t.Fatal(err)
	}
	begun, err := a.Begin(t.Context(), tokens.Request{Connection: "acme", EnvironmentURL: envA})
	if err != nil {
		t.Fatal(err)
	}
	res, body := visit(t, a.Handler(), "GET", begun.ConnectURL, "")
	c := res.Cookies()[0]
	if strings.Count(body, button) != 1 || !strings.Contains(res.Header.Get("Content-Security-Policy"),
		"form-action 'self' https: ") {
		t.Error(res.Header, body)
	}
	if c.Name != "__Host-crmbridge" || !c.Secure || c.Path != "/" || c.Domain != "" ||
		res.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("cookie %v", c)
	}
	if !strings.Contains(goOn(t, a.Handler(), begun.ConnectURL, c.Name+"="+c.Value),
		"redirect_uri="+url.QueryEscape("https://crm.example.com/oauth/callback")) {
		t.Error("redirect URL")
	}
}

func TestPagesThatRefuse(t *testing.T) {
	t.Parallel()
	b := newBench(t, client(t, miniredis.RunT(t).Addr()))
	h := b.auth.Handler()
	for _, c := range []struct {
		method, target string
		status         int
	}{
		{"POST", "/oauth/callback?state=x&code=y", 405},
		{"DELETE", "/connect/x", 405},
		{"POST", "/connect/x", 400},
		{"POST", "/operator/logo", 404},
		{"GET", "/operator/logo", 404},
		{"GET", "/connect/x", 400},
		{"GET", "/connect/" + strings.Repeat("A", 43), 400},
		{"GET", "/connect/" + strings.Repeat("%41", 43) + "x", 400},
		{"GET", "/connect/a/b", 404},
		{"GET", "/", 404},
		{"GET", "/oauth/callback", 400},
		{"GET", "/oauth/callback?state=" + strings.Repeat("A", 43) + "&code=" + canary, 400},
		{"GET", "/oauth/callback?state=a&state=b&code=c", 400},
		{"GET", "/oauth/callback?code=a&error=b&state=c", 400},
		{"GET", "/oauth/callback?state=%zz", 400},
		{"GET", "/oauth/callback?x=" + strings.Repeat("y", 17<<10), 414},
		{"GET", "/oauth/callback?admin_consent=True&tenant=" + tenantB + "&state=x", 200},
	} {
		if res, _ := visit(t, h, c.method, c.target, ""); res.StatusCode != c.status {
			t.Errorf("%s %.60s: %s, want %d", c.method, c.target, res.Status, c.status)
		}
	}
	if n := b.entra.count("authorization_code"); n != 0 {
		t.Errorf("%d redemptions", n)
	}
}

func TestConsentPage(t *testing.T) {
	t.Parallel()
	b := newBench(t, client(t, miniredis.RunT(t).Addr()))
	b.discover = ""
	h := b.auth.Handler()
	begun, err := b.auth.Begin(t.Context(), tokens.Request{Connection: "acme", EnvironmentURL: envA, Tenant: "common"})
	if err != nil {
		t.Fatal(err)
	}
	res, _ := visit(t, h, "GET", begun.ConnectURL, "")
	u, _ := url.Parse(goOn(t, h, begun.ConnectURL, "crmbridge="+res.Cookies()[0].Value))
	res, body := visit(t, h, "GET", "/oauth/callback?"+url.Values{"state": {u.Query().Get("state")},
		"error":             {"access_denied"},
		"error_description": {"AADSTS65004: <script>" + canary}}.Encode(), "crmbridge="+res.Cookies()[0].Value)
	if res.StatusCode != 403 || !strings.Contains(body, b.entra.URL+"/organizations/v2.0/adminconsent?") ||
		!strings.Contains(body, "AADSTS65004") {
		t.Error(res.Status, body)
	}
}

func FuzzPages(f *testing.F) {
	f.Add("/connect/"+strings.Repeat("A", 43), "")
	f.Add("/oauth/callback?state=x&code=y", "crmbridge=x")
	f.Add("/oauth/callback?error=%22%3Cscript%3E&state="+strings.Repeat("A", 43), "crmbridge="+strings.Repeat("A", 43))
	f.Fuzz(func(t *testing.T, target, cookie string) {
		if _, err := url.ParseRequestURI(target); err != nil || !strings.HasPrefix(target, "/") ||
			strings.ContainsAny(target, " \r\n\x00") {
			t.Skip("no request line that an HTTP server passes on")
		}
		rdb := client(t, miniredis.RunT(t).Addr())
		raw, _ := tokens.GenerateKeyset()
		keys, _ := tokens.ReadKeyset(raw)
		e, err := tokens.NewEntra(tokens.EntraConfig{ClientID: clientID, ClientSecret: clientSecret})
		if err != nil {
			t.Fatal(err)
		}
		a, err := tokens.NewAuthorizer(tokens.AuthorizerConfig{Store: tokens.NewStore(rdb, keys), Entra: e,
			PublicURL: "http://localhost:8080",
			Discover:  tokensDiscover, Identify: tokensIdentify})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("GET", "/", nil)
		u, err := url.ParseRequestURI(target)
		if err != nil {
			t.Fatal("parsed a moment ago:", err)
		}
		r.URL = u
		r.Header.Set("Cookie", cookie)
		w := httptest.NewRecorder()
		a.Handler().ServeHTTP(w, r)
		if w.Code == 200 && !strings.EqualFold(u.Query().Get("admin_consent"), "true") || w.Code >= 500 {
			t.Errorf("%q: %d", target, w.Code)
		}
	})
}
