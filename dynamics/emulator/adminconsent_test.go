package emulator_test

import (
	"html"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

func TestAdminConsent(t *testing.T) {
	g := start(t, emulator.Options{Accounts: -1, AdminConsentRequired: true})
	scope := g.url + "/user_impersonation"
	ask := func(path string, pairs ...string) reply {
		q := url.Values{"client_id": {emulator.DefaultClientID}, "redirect_uri": {emulator.DefaultRedirectURI},
			"state": {"s&s"}, "scope": {scope}}
		for i := 0; i < len(pairs); i += 2 {
			q.Set(pairs[i], pairs[i+1])
		}
		return g.do("GET", path+"?"+q.Encode(), "", nil)
	}
	const v1, v2 = "/" + emulator.DefaultTenantID + "/adminconsent", "/" + emulator.DefaultTenantID + "/v2.0/adminconsent"
	for name, r := range map[string]reply{
		"common":           ask("/common/v2.0/adminconsent"),
		"tenant":           ask("/nobody.example/v2.0/adminconsent"),
		"client":           ask(v2, "client_id", "x"),
		"redirect":         ask(v2, "redirect_uri", "https://evil.example/"),
		"no scope":         ask(v2, "scope", ""),
		"unknown resource": ask(v2, "scope", "https://x.example/.default"),
		"POST":             g.post(v2, nil),
	} {
		if r.status != 400 || r.header.Get("Location") != "" || !strings.Contains(r.body, "AADSTS") {
			t.Errorf("%s: %d %s", name, r.status, r.header.Get("Location"))
		}
	}
	answer := func(page reply, action string) url.Values {
		t.Helper()
		m := formAction.FindStringSubmatch(page.body)
		if page.status != 200 || m == nil {
			t.Fatalf("page: %d %s", page.status, page.body)
		}
		r := g.post(html.UnescapeString(m[1]), url.Values{"action": {action}})
		back, err := url.Parse(r.header.Get("Location"))
		if err != nil || !strings.HasPrefix(back.String(), emulator.DefaultRedirectURI+"?") ||
			back.Query().Get("state") != "s&s" {
			t.Fatalf("%d %s", r.status, r.header.Get("Location"))
		}
		return back.Query()
	}
	signIn := func() reply {
		page := g.do("GET", g.config().AuthCodeURL("st"), "", nil)
		return g.post(html.UnescapeString(formAction.FindStringSubmatch(page.body)[1]),
			url.Values{"user": {other}, "action": {"accept"}})
	}
	if q := answer(ask(v2), "cancel"); q.Get("admin_consent") != "True" || q.Get("error") != "consent_required" ||
		!strings.HasPrefix(q.Get("error_description"), "AADSTS65004: ") || q.Get("tenant") != "" {
		t.Errorf("v2 refusal: %v", q)
	}
	if q := answer(ask(v1, "scope", ""), "cancel"); q.Get("error") != "permission_denied" ||
		q.Get("error_description") == "" || q.Get("admin_consent") != "" {
		t.Errorf("v1 refusal: %v", q)
	}
	expectBack(t, signIn(), "consent_required", "AADSTS90094: ")
	if q := answer(ask(v2), "accept"); q.Get("admin_consent") != "True" || q.Get("tenant") != emulator.DefaultTenantID ||
		q.Get("scope") != scope || q.Get("error") != "" {
		t.Errorf("v2: %v", q)
	}
	if r := signIn(); !strings.Contains(r.header.Get("Location"), "code=") {
		t.Errorf("after consent: %d %s", r.status, r.header.Get("Location"))
	}
	g.s.Control().RequireAdminConsent(true) // and forgets
	expectBack(t, signIn(), "consent_required", "AADSTS90094: ")
	if q := answer(ask(v1, "scope", ""), "accept"); q.Get("admin_consent") != "True" ||
		q.Get("tenant") != emulator.DefaultTenantID || q.Has("scope") {
		t.Errorf("v1: %v", q)
	}
	if r := signIn(); !strings.Contains(r.header.Get("Location"), "code=") {
		t.Errorf("after consent by v1: %d", r.status)
	}
	if n := g.s.Control().Counts().AdminConsent; n != 11 {
		t.Errorf("%d admin-consent requests counted", n)
	}
}

func TestAdminConsentAtOnce(t *testing.T) {
	g := start(t, emulator.Options{Accounts: -1, AutoConsent: true, AdminConsentRequired: true})
	authorize := func() reply {
		return g.do("GET", g.config().AuthCodeURL("st", oauth2.SetAuthURLParam("login_hint", other)), "", nil)
	}
	expectBack(t, authorize(), "consent_required", "AADSTS90094: ")
	q := url.Values{"client_id": {emulator.DefaultClientID}, "redirect_uri": {emulator.DefaultRedirectURI},
		"scope": {g.url + "/.default"}}
	if r := g.do("GET", "/organizations/v2.0/adminconsent?"+q.Encode(), "", nil); !strings.Contains(r.header.Get("Location"), "admin_consent=True&") {
		t.Errorf("%d %s", r.status, r.header.Get("Location"))
	}
	if r := authorize(); !strings.Contains(r.header.Get("Location"), "code=") {
		t.Errorf("after consent: %d", r.status)
	}
}
