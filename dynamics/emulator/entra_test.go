package emulator_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

const tokenPath = "/" + emulator.DefaultTenantID + "/oauth2/v2.0/token"

func (g *rig) post(path string, form url.Values, header ...string) reply {
	g.Helper()
	return g.do("POST", path, "", strings.NewReader(form.Encode()),
		append(header, "Content-Type", "application/x-www-form-urlencoded")...)
}

// form is a token request that is right but for the pairs that are given; an empty value removes the field.
func form(base url.Values, pairs ...string) url.Values {
	out := url.Values{"client_id": {emulator.DefaultClientID}, "client_secret": {emulator.DefaultClientSecret}}
	for k, v := range base {
		out[k] = v
	}
	for i := 0; i < len(pairs); i += 2 {
		out.Set(pairs[i], pairs[i+1])
		if pairs[i+1] == "" {
			out.Del(pairs[i])
		}
	}
	return out
}

func TestTokenErrors(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: -1})
	verifier := oauth2.GenerateVerifier()
	code := url.Values{"grant_type": {"authorization_code"}, "code": {g.code("", verifier)},
		"redirect_uri": {emulator.DefaultRedirectURI}, "code_verifier": {verifier}}
	app := url.Values{"grant_type": {"client_credentials"}, "scope": {g.url + "/.default"}}
	for _, c := range []struct {
		name, path string
		form       url.Values
		status     int
		kind       string
		number     int
	}{
		{"no grant type", tokenPath, form(code, "grant_type", ""), 400, "invalid_request", 900144},
		{"unknown grant type", tokenPath, form(code, "grant_type", "password"), 400, "unsupported_grant_type", 70003},
		{"no client", tokenPath, form(code, "client_id", ""), 400, "invalid_request", 900144},
		{"unknown client", tokenPath, form(code, "client_id", "x"), 400, "unauthorized_client", 700016},
		{"no secret", tokenPath, form(code, "client_secret", ""), 401, "invalid_client", 7000218},
		{"an application without secret", tokenPath, form(app, "client_secret", ""), 401, "invalid_client", 7000216},
		{"wrong secret", tokenPath, form(code, "client_secret", "x"), 401, "invalid_client", 7000215},
		{"an assertion without its type", tokenPath, form(code, "client_assertion", "x"), 400, "invalid_request", 900144},
		{"no code", tokenPath, form(code, "code", ""), 400, "invalid_request", 900144},
		{"unknown code", tokenPath, form(code, "code", "x"), 400, "invalid_grant", 70000},
		{"other redirect", tokenPath, form(code, "redirect_uri", "http://x/"), 400, "invalid_grant", 500112},
		{"no verifier", tokenPath, form(code, "code_verifier", ""), 400, "invalid_grant", 501481},
		{"wrong verifier", tokenPath, form(code, "code_verifier", oauth2.GenerateVerifier()), 400, "invalid_grant", 501481},
		{"unknown tenant", "/fabrikam.example/oauth2/v2.0/token", form(code), 400, "invalid_request", 90002},
		{"no refresh token", tokenPath, form(url.Values{"grant_type": {"refresh_token"}}), 400, "invalid_request", 900144},
		{"unknown refresh token", tokenPath, form(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}}), 400, "invalid_grant", 70000},
		{"app at common", "/common/oauth2/v2.0/token", form(app), 400, "invalid_request", 9001023},
		{"app without scope", tokenPath, form(app, "scope", ""), 400, "invalid_request", 900144},
		{"app with a named scope", tokenPath, form(app, "scope", g.url+"/user_impersonation"), 400, "invalid_scope", 1002012},
		{"another environment", tokenPath, form(app, "scope", "https://other.crm4.dynamics.com/.default"), 400, "invalid_resource", 500011},
		{"mixed default", tokenPath, form(app, "scope", g.url+"/.default "+g.url+"/user_impersonation"), 400, "invalid_scope", 70011},
		{"two resources", tokenPath, form(app, "scope", g.url+"/user_impersonation https://x.example/read"), 400, "invalid_scope", 700022},
		{"unknown scope name", tokenPath, form(app, "scope", g.url+"/admin"), 401, "invalid_client", 650053},
	} {
		checkEntraError(t, c.name, g.post(c.path, c.form), c.status, c.kind, c.number)
	}
	if r := g.post(tokenPath, form(code)); r.status != 200 {
		t.Fatalf("none of the above used the code up: %d %s", r.status, r.body)
	}
	checkEntraError(t, "a code used twice", g.post(tokenPath, form(code)), 400, "invalid_grant", 54005)
	checkEntraError(t, "GET", g.do("GET", tokenPath, "", nil), 405, "invalid_request", 900561)
	public := start(t, emulator.Options{PublicClient: true, Accounts: -1})
	checkEntraError(t, "a public client's secret", public.post(tokenPath, form(code)), 401, "invalid_client", 700025)
}

var described = regexp.MustCompile(`^AADSTS(\d+): [^\r\n]+\r\nTrace ID: [0-9a-f-]{36}\r\nCorrelation ID: [0-9a-f-]{36}\r\nTimestamp: \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ$`)

func checkEntraError(t *testing.T, name string, r reply, status int, kind string, number int) {
	t.Helper()
	var b struct {
		Error, Error_description, Timestamp, Trace_id, Correlation_id, Error_uri string
		Error_codes                                                              []int
	}
	if err := json.Unmarshal([]byte(r.body), &b); err != nil {
		t.Errorf("%s: %d %s", name, r.status, r.body)
		return
	}
	if r.status != status || b.Error != kind || len(b.Error_codes) != 1 || b.Error_codes[0] != number ||
		!described.MatchString(b.Error_description) {
		t.Errorf("%s: got %d %s, want %d %s AADSTS%d", name, r.status, r.body, status, kind, number)
	}
	if r.header.Get("Cache-Control") != "no-store, no-cache" || r.header.Get("x-ms-request-id") != b.Trace_id ||
		!strings.Contains(b.Error_description, b.Timestamp) {
		t.Errorf("%s: headers %v", name, r.header)
	}
}

func TestAuthorizeErrors(t *testing.T) {
	g := start(t, emulator.Options{Accounts: -1})
	right := url.Values{"client_id": {emulator.DefaultClientID}, "response_type": {"code"},
		"redirect_uri": {emulator.DefaultRedirectURI},
		"scope":        {g.url + "/.default offline_access"}, "state": {"s&s"}}
	ask := func(path string, pairs ...string) reply {
		q := form(right, pairs...)
		q.Del("client_secret")
		return g.do("GET", path+"?"+q.Encode(), "", nil)
	}
	const path = "/organizations/oauth2/v2.0/authorize"
	for name, r := range map[string]reply{
		"client":   ask(path, "client_id", "x"),
		"redirect": ask(path, "redirect_uri", emulator.DefaultRedirectURI+"/"),
		"tenant":   ask("/nobody/oauth2/v2.0/authorize"),
		"no uri":   ask(path, "redirect_uri", ""),
	} {
		if r.status != 400 || r.header.Get("Location") != "" || !strings.Contains(r.body, "AADSTS") {
			t.Errorf("%s: an error before the redirect URI is known must be a page: %d %s", name, r.status,
				r.header.Get("Location"))
		}
	}
	for want, r := range map[string]reply{
		"unsupported_response_type": ask(path, "response_type", "token"),
		"invalid_resource":          ask(path, "scope", "https://other.example/.default"),
		"invalid_scope":             ask(path, "scope", g.url+"/.default "+g.url+"/user_impersonation"),
		"invalid_request":           ask(path, "code_challenge", "short", "code_challenge_method", "S256"),
		"login_required":            ask(path, "prompt", "none"),
	} {
		back, err := url.Parse(r.header.Get("Location"))
		if err != nil || r.status != 302 || back.Query().Get("error") != want || back.Query().Get("state") != "s&s" ||
			back.Query().Get("code") != "" ||
			!described.MatchString(back.Query().Get("error_description")) {
			t.Errorf("%s: %d %s", want, r.status, r.header.Get("Location"))
		}
	}
}

var formAction = regexp.MustCompile(`action="([^"]+)"`)

func TestSignInPage(t *testing.T) {
	g := start(t, emulator.Options{Accounts: -1})
	cfg := g.config()
	ask := func(mode string) string {
		r := g.do("GET", cfg.AuthCodeURL("st", oauth2.SetAuthURLParam("response_mode", mode)), "", nil)
		if r.status != 200 || !strings.Contains(r.body, "Tomás Ferreira") ||
			strings.Contains(r.body, "crmbridge integration") {
			t.Fatalf("page: %d %s", r.status, r.body)
		}
		return html.UnescapeString(formAction.FindStringSubmatch(r.body)[1])
	}
	choose := func(mode, action string) reply {
		return g.post(ask(mode), url.Values{"user": {"tomas.ferreira@contoso.example"}, "action": {action}})
	}
	back, err := url.Parse(choose("query", "cancel").header.Get("Location"))
	if err != nil || back.Query().Get("error") != "access_denied" ||
		!strings.HasPrefix(back.Query().Get("error_description"), "AADSTS65004: ") || back.Query().Get("state") != "st" {
		t.Errorf("cancel: %v", back)
	}
	if r := choose("fragment", "accept"); !strings.HasPrefix(r.header.Get("Location"), emulator.DefaultRedirectURI+"#code=") {
		t.Errorf("fragment: %s", r.header.Get("Location"))
	}
	if r := choose("form_post", "accept"); r.status != 200 ||
		!strings.Contains(r.body, `action="http://localhost:8080/oauth/callback"`) ||
		!strings.Contains(r.body, `name="code"`) {
		t.Errorf("form_post: %d %s", r.status, r.body)
	}
	back, _ = url.Parse(choose("query", "accept").header.Get("Location"))
	r := g.post(tokenPath, form(url.Values{"grant_type": {"authorization_code"}, "code": {back.Query().Get("code")},
		"redirect_uri": {emulator.DefaultRedirectURI}, "client_info": {"1"}}))
	var tok struct {
		IDToken    string `json:"id_token"`
		ClientInfo string `json:"client_info"`
		ExpiresIn  int    `json:"expires_in"`
		Scope      string `json:"scope"`
	}
	if err := json.Unmarshal([]byte(r.body), &tok); err != nil || r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	body, err := base64.RawURLEncoding.DecodeString(strings.Split(tok.IDToken, ".")[1])
	if err != nil || !strings.Contains(string(body), `"preferred_username":"tomas.ferreira@contoso.example"`) ||
		!strings.Contains(string(body), `"aud":"`+emulator.DefaultClientID+`"`) {
		t.Errorf("id_token: %s", body)
	}
	info, err := base64.RawURLEncoding.DecodeString(tok.ClientInfo)
	if err != nil || !strings.Contains(string(info), `"utid":"`+emulator.DefaultTenantID+`"`) || tok.Scope != g.url+
		"/user_impersonation openid" {
		t.Errorf("client_info %s, scope %s", info, tok.Scope)
	}
	if r := g.api(tok.IDToken, "WhoAmI"); r.status != 401 {
		t.Errorf("an id_token opened the data service: %d", r.status)
	}
}

func TestClientCredentialsAndBasicAndDoubledSlash(t *testing.T) {
	g := start(t, emulator.Options{Accounts: -1})
	basic := base64.StdEncoding.EncodeToString([]byte(emulator.DefaultClientID + ":" +
		url.QueryEscape(emulator.DefaultClientSecret)))
	for _, scope := range []string{"/.default", "//.default"} {
		r := g.post(tokenPath, url.Values{"grant_type": {"client_credentials"}, "scope": {g.url + scope}}, "Authorization",
			"Basic "+basic)
		var tok map[string]any
		if err := json.Unmarshal([]byte(r.body), &tok); err != nil || r.status != 200 || tok["refresh_token"] != nil ||
			tok["scope"] != nil {
			t.Fatalf("%d %s", r.status, r.body)
		}
		if r := g.api(tok["access_token"].(string), "WhoAmI"); r.status != 200 {
			t.Errorf("%s: %d", scope, r.status)
		}
		claims, err := base64.RawURLEncoding.DecodeString(strings.Split(tok["access_token"].(string), ".")[1])
		for _, want := range []string{`"aud":"` + g.url + strings.TrimSuffix(scope, "/.default") + `"`, `"appid":"` + emulator.DefaultClientID + `"`, `"tid":"` + emulator.DefaultTenantID + `"`, `"idtyp":"app"`} {
			if err != nil || !strings.Contains(string(claims), want) {
				t.Errorf("%s: claims %s lack %s", scope, claims, want)
			}
		}
	}
}

func TestLifetimes(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	g := start(t, emulator.Options{AutoConsent: true, Accounts: -1, Now: func() time.Time { return now }})
	v := oauth2.GenerateVerifier()
	code := g.code("", v)
	tok := g.signIn("")
	now = now.Add(11 * time.Minute)
	redeem := form(url.Values{"grant_type": {"authorization_code"}, "code": {code},
		"redirect_uri": {emulator.DefaultRedirectURI}, "code_verifier": {v}})
	checkEntraError(t, "an old code", g.post(tokenPath, redeem), 400, "invalid_grant", 70008)
	if r := g.api(tok.AccessToken, "WhoAmI"); r.status != 200 {
		t.Errorf("after 11 minutes: %d", r.status)
	}
	now = now.Add(time.Hour)
	if r := g.api(tok.AccessToken, "WhoAmI"); r.status != 401 {
		t.Errorf("after more than an hour: %d", r.status)
	}
	now = now.Add(91 * 24 * time.Hour)
	refresh := form(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tok.RefreshToken}})
	checkEntraError(t, "an idle refresh token", g.post(tokenPath, refresh), 400, "invalid_grant", 700082)
}

func TestDiscoveryDocuments(t *testing.T) {
	g := start(t, emulator.Options{Accounts: -1})
	var doc map[string]any
	r := g.do("GET", "/"+emulator.DefaultTenantDomain+"/v2.0/.well-known/openid-configuration", "", nil)
	if err := json.Unmarshal([]byte(r.body), &doc); err != nil || doc["issuer"] != g.url+"/"+emulator.DefaultTenantID+
		"/v2.0" || doc["token_endpoint"] != g.url+tokenPath {
		t.Errorf("openid-configuration: %s", r.body)
	}
	keys, _ := url.Parse(doc["jwks_uri"].(string))
	if r := g.do("GET", keys.Path, "", nil); r.status != http.StatusOK || !strings.Contains(r.body, `"kty":"RSA"`) {
		t.Errorf("keys: %d %s", r.status, r.body)
	}
	if got := doc["token_endpoint_auth_methods_supported"]; !strings.Contains(fmt.Sprint(got), "private_key_jwt") {
		t.Errorf("methods: %v", got)
	}
	for _, tenant := range []string{"common", "organizations"} {
		r := g.do("GET", "/"+tenant+"/v2.0/.well-known/openid-configuration", "", nil)
		if !strings.Contains(r.body, `"issuer":"`+g.url+`/{tenantid}/v2.0"`) ||
			!strings.Contains(r.body, `"authorization_endpoint":"`+g.url+"/"+tenant+`/oauth2/v2.0/authorize"`) {
			t.Errorf("%s: %s", tenant, r.body)
		}
	}
	if r := g.do("GET", "/common/discovery/instance?api-version=1.1", "", nil); !strings.Contains(r.body, `"tenant_discovery_endpoint":"`+g.url) {
		t.Errorf("instance discovery: %s", r.body)
	}
	for about, want := range map[string]string{
		g.url + "/organizations/oauth2/v2.0/authorize": `"tenant_discovery_endpoint":"` + g.url +
			`/organizations/v2.0/.well-known/openid-configuration"`,
		"https://login.microsoftonline.us/x/oauth2/v2.0/authorize":    `"preferred_network":"login.microsoftonline.us"`,
		"https://login.example/x/oauth2/v2.0/authorize":               `"error":"invalid_instance"`,
		"ftp://127.0.0.1/x/oauth2/v2.0/authorize":                     `"error":"invalid_instance"`,
		"https://u@login.microsoftonline.com/x/oauth2/v2.0/authorize": `"error":"invalid_instance"`,
	} {
		if r := g.do("GET", "/common/discovery/instance?authorization_endpoint="+url.QueryEscape(about), "", nil); !strings.Contains(r.body, want) {
			t.Errorf("about %s: %d %s", about, r.status, r.body)
		}
	}
	government := start(t, emulator.Options{Accounts: -1, AuthorityURL: "https://login.microsoftonline.us"})
	if r := government.do("GET", "/organizations/v2.0/.well-known/openid-configuration", "", nil); !strings.Contains(r.body, `"cloud_instance_name":"microsoftonline.us"`) {
		t.Errorf("another cloud: %s", r.body)
	}
	if r := g.do("GET", "/nobody/v2.0/.well-known/openid-configuration", "", nil); r.status != 400 ||
		!strings.Contains(r.body, "AADSTS90002") {
		t.Errorf("an unknown tenant: %d %s", r.status, r.body)
	}
}
