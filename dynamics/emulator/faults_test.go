package emulator_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

func TestEntraFaults(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	g := start(t, emulator.Options{Accounts: -1, AutoConsent: true, Now: func() time.Time { return now }})
	c := g.s.Control()
	app := form(url.Values{"grant_type": {"client_credentials"}, "scope": {g.url + "/.default"}})
	for _, x := range []struct {
		name   string
		fault  emulator.Fault
		status int
		header map[string]string
		body   string
	}{
		{"throttled, in seconds", emulator.Fault{Kind: emulator.KindThrottle, RetryAfter: 7}, 429, map[string]string{"Retry-After": "7"}, `"AADSTS90055: `},
		{"throttled, until a date", emulator.Fault{Kind: emulator.KindThrottle, RetryAfter: 90, RetryAfterDate: true}, 429, map[string]string{"Retry-After": "Thu, 01 Jan 2026 00:01:30 GMT"}, `"error"`},
		{"throttled without a wait", emulator.Fault{Kind: emulator.KindThrottle}, 429, map[string]string{"Retry-After": "1"}, `"error"`},
		{"gateway", emulator.Fault{Kind: emulator.KindGateway}, 502, map[string]string{"Content-Type": "text/html"}, "<h1>502"},
		{"gateway with another status", emulator.Fault{Kind: emulator.KindGateway, Status: 504, Header: map[string]string{"Via": "p"}}, 504, map[string]string{"Via": "p", "Content-Type": "text/html"}, "<html>"},
		{"captive portal", emulator.Fault{Kind: emulator.KindPortal}, 200, map[string]string{"Content-Type": "text/html; charset=utf-8"}, "<!doctype html>"},
		{"cut JSON", emulator.Fault{Kind: emulator.KindCutJSON}, 200, map[string]string{"Content-Type": "application/json; charset=utf-8"}, `{"token_type"`},
	} {
		x.fault.Where = emulator.FaultToken
		c.Fail(x.fault)
		r := g.post(tokenPath, app)
		if r.status != x.status || !strings.Contains(r.body, x.body) || x.fault.Kind == emulator.KindCutJSON &&
			json.Valid([]byte(r.body)) {
			t.Errorf("%s: %d %s", x.name, r.status, r.body)
		}
		for k, v := range x.header {
			if r.header.Get(k) != v {
				t.Errorf("%s: %s is %q, want %q", x.name, k, r.header.Get(k), v)
			}
		}
	}
	c.Fail(emulator.Fault{Where: emulator.FaultToken, Number: 50078, Suberror: "basic_action", Claims: "{}"})
	r := g.post(tokenPath, app)
	checkEntraError(t, "a refusal", r, 400, "invalid_grant", 50078)
	if !strings.Contains(r.body, `"suberror":"basic_action","claims":"{}"`) {
		t.Error(r.body)
	}
	c.Fail(emulator.Fault{Where: emulator.FaultToken, Number: 90033, Error: "temporarily_unavailable", Status: 503,
		RetryAfter: 3})
	r = g.post(tokenPath, app)
	checkEntraError(t, "an outage", r, 503, "temporarily_unavailable", 90033)
	if r.header.Get("Retry-After") != "3" {
		t.Error(r.header)
	}
	for _, path := range []string{"/common/discovery/instance", "/common/discovery/v2.0/keys", "/common/v2.0/.well-known/openid-configuration"} {
		c.Fail(emulator.Fault{Where: emulator.FaultDiscovery, Kind: emulator.KindGateway})
		if r := g.do("GET", path, "", nil); r.status != 502 {
			t.Errorf("%s: %d", path, r.status)
		}
	}
	if r := g.post(tokenPath, app); r.status != 200 {
		t.Errorf("afterwards: %d %s", r.status, r.body)
	}
	if n := c.Counts(); n.Faults != 12 || n.Discovery["keys"] != 1 || n.Discovery["instance"] != 1 ||
		n.Discovery["openid-configuration"] != 1 {
		t.Errorf("counts: %+v", n)
	}
}

// The answer is lost, and what the request did stays done.
func TestALostTokenAnswer(t *testing.T) {
	g := start(t, emulator.Options{Accounts: -1, AutoConsent: true})
	token := g.signIn(other).RefreshToken
	g.s.Control().Fail(emulator.Fault{Where: emulator.FaultToken, Truncate: 40})
	res, err := g.web.PostForm(g.url+tokenPath, refreshForm(token))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); err == nil || len(b) != 40 || res.StatusCode != http.StatusOK {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if list := g.s.Control().Grants(); list[0].RefreshTokens != 2 {
		t.Errorf("the request had no effect: %+v", list)
	}
	if r := g.post(tokenPath, refreshForm(token)); r.status != 200 {
		t.Errorf("the old token: %d", r.status)
	}
}

func TestDataThrottle(t *testing.T) {
	g := start(t, emulator.Options{Accounts: 3, AutoConsent: true})
	tok := g.signIn("").AccessToken
	g.s.Control().Fail(emulator.Fault{Kind: emulator.KindThrottle, RetryAfter: 2})
	if r := g.api(tok, "WhoAmI"); r.status != 429 || r.header.Get("Retry-After") != "2" ||
		!strings.Contains(r.body, "0x80072322") {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestRulesOverHTTP(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 3})
	tok := g.signIn(other)
	do := func(path, body string) reply {
		t.Helper()
		r := g.do("POST", "/_emulator/"+path, "", strings.NewReader(body))
		if r.status != 200 || !strings.Contains(r.body, `"ok":true`) {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
		return r
	}
	refused := func(number int) {
		t.Helper()
		if r := g.post(tokenPath, refreshForm(tok.RefreshToken)); !strings.Contains(r.body, `"error_codes":[`) ||
			!strings.Contains(r.body, jsonNumber(number)) {
			t.Errorf("want %d: %d %s", number, r.status, r.body)
		}
	}
	for _, c := range []struct {
		path   string
		number int
	}{{"block?user=" + other, 50057}, {"mfa?user=" + other, 50076}, {"secret-expired?", 7000222}} {
		do(c.path, "")
		refused(c.number)
		do(c.path+"&off=1", "")
	}
	do("claims", `{"access_token":{"x":null}}`)
	if r := g.api(tok.AccessToken, "WhoAmI"); !strings.Contains(r.header.Get("WWW-Authenticate"), "insufficient_claims") {
		t.Errorf("claims: %d", r.status)
	}
	do("claims", "")
	do("lifetime?seconds=60", "")
	if again := g.signIn(emulator.DefaultUser); again.ExpiresIn != 59 {
		t.Errorf("lifetime: %d", again.ExpiresIn)
	}
	do("lifetime?seconds=0", "")
	do("admin-consent", "")
	if r := g.do("GET", g.config().AuthCodeURL("s"), "", nil); !strings.Contains(r.header.Get("Location"), "consent_required") {
		t.Errorf("admin consent: %s", r.header.Get("Location"))
	}
	do("admin-consent?off=1", "")
	do("withdraw?user="+other, "")
	refused(65001)
	g.signIn(other)
	var list []emulator.Grant
	if err := json.Unmarshal([]byte(g.do("GET", "/_emulator/grants", "", nil).body), &list); err != nil || len(list) != 3 {
		t.Fatalf("grants: %+v %v", list, err)
	}
	if r := do("revoke?grant="+list[2].ID, ""); !strings.Contains(r.body, `"revoked":1`) {
		t.Error(r.body)
	}
	refused(50173)
	if r := do("expire-refresh?user="+other, ""); !strings.Contains(r.body, `"expired":2`) {
		t.Error(r.body)
	}
	if r := do("password?user="+other, ""); !strings.Contains(r.body, `"revoked":1`) {
		t.Error(r.body)
	}
	do("fail", `{"where":"token","kind":"throttle","retry_after":5}`)
	if r := g.post(tokenPath, form(nil)); r.status != 429 {
		t.Errorf("fail: %d", r.status)
	}
	for _, path := range []string{"block?user=nobody", "mfa", "withdraw", "password", "lifetime?seconds=x", "lifetime?seconds=-1"} {
		if r := g.do("POST", "/_emulator/"+path, "", nil); r.status != 400 {
			t.Errorf("%s: %d", path, r.status)
		}
	}
	if r := g.do("POST", "/_emulator/claims", "", strings.NewReader("[]")); r.status != 400 {
		t.Errorf("claims: %d", r.status)
	}
}

func jsonNumber(n int) string {
	b, _ := json.Marshal([]int{n})
	return string(b)
}
