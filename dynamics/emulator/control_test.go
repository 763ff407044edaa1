package emulator_test

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

func TestFaults(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 10})
	c, tok := g.s.Control(), g.signIn("").AccessToken
	c.Fail(emulator.Fault{Route: "accounts", Status: 429, Header: map[string]string{"Retry-After": "7"},
		Body: "slow down", Times: 2})
	for range 2 {
		if r := g.api(tok, "accounts"); r.status != 429 || r.header.Get("Retry-After") != "7" || r.body != "slow down" {
			t.Errorf("the fault: %d %v", r.status, r.header)
		}
		if r := g.api(tok, "WhoAmI"); r.status != 200 {
			t.Errorf("another route: %d", r.status)
		}
	}
	if r := g.api(tok, "accounts"); r.status != 200 {
		t.Errorf("after the fault: %d", r.status)
	}
	get := func() (string, error) {
		req, err := http.NewRequestWithContext(t.Context(), "GET", g.url+"/api/data/v9.2/accounts", nil)
		if err != nil {
			return "", err
		}
		req.Header.Set("Authorization", "Bearer "+tok)
		res, err := g.web.Do(req)
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		return string(b), err
	}
	c.Fail(emulator.Fault{Truncate: 100})
	if b, err := get(); err == nil || len(b) != 100 {
		t.Errorf("a truncated answer: %d bytes, %v", len(b), err)
	}
	c.Fail(emulator.Fault{Reset: true, Times: -1}) // net/http repeats a GET on a connection that it had used before
	if _, err := get(); err == nil {
		t.Error("a reset connection went unnoticed")
	}
	c.Clear()
	if _, err := get(); err != nil {
		t.Error("after Clear:", err)
	}
	c.Fail(emulator.Fault{Where: emulator.FaultToken, Status: 503, Body: "<html>"})
	if r := g.post(tokenPath, form(nil)); r.status != 503 || r.body != "<html>" {
		t.Errorf("a token fault: %d %s", r.status, r.body)
	}
}

func TestControlOverHTTP(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 10})
	tok := g.signIn("")
	var n emulator.Counts
	if err := json.Unmarshal([]byte(g.do("GET", "/_emulator/counts", "", nil).body), &n); err != nil ||
		n.Tokens["authorization_code"] != 1 {
		t.Errorf("counts: %+v %v", n, err)
	}
	if r := g.do("POST", "/_emulator/expire", "", nil); r.status != 200 || g.api(tok.AccessToken, "WhoAmI").status != 401 {
		t.Errorf("expire: %d", r.status)
	}
	if r := g.do("POST", "/_emulator/revoke?user="+emulator.DefaultUser, "", nil); !strings.Contains(r.body, `"revoked":1`) {
		t.Errorf("revoke: %s", r.body)
	}
	if r := g.do("POST", "/_emulator/fail", "", strings.NewReader(`{"where":"token","status":500}`)); r.status != 200 ||
		g.post(tokenPath, form(nil)).status != 500 {
		t.Errorf("fail: %d %s", r.status, r.body)
	}
	for name, r := range map[string]reply{
		"an unknown member": g.do("POST", "/_emulator/fail", "", strings.NewReader(`{"nix":1}`)),
		"an unknown place":  g.do("POST", "/_emulator/fail", "", strings.NewReader(`{"where":"nix"}`)),
		"an unknown kind":   g.do("POST", "/_emulator/fail", "", strings.NewReader(`{"kind":"nix"}`)),
		"GET":               g.do("GET", "/_emulator/expire", "", nil),
		"a page elsewhere":  g.do("POST", "/_emulator/expire", "", nil, "Origin", "https://evil.example"),
		"an unknown path":   g.do("POST", "/_emulator/nix", "", nil),
	} {
		if r.status < 400 {
			t.Errorf("%s: %d", name, r.status)
		}
	}
}

func TestOptions(t *testing.T) {
	for name, o := range map[string]emulator.Options{
		"tenant":      {TenantID: "x"},
		"page size":   {MaxPageSize: 5001},
		"duration":    {Latency: -1},
		"environment": {Environments: []string{"contoso.crm4.dynamics.com"}},
		"role":        {Users: []emulator.User{{Name: "x", UserName: "x@x", Roles: []string{"King"}}}},
		"certificate": {ClientCertificates: []*x509.Certificate{nil}},
		"no RSA key":  {ClientCertificates: []*x509.Certificate{{}}},
		"issuer":      {FederatedCredentials: []emulator.FederatedCredential{{Issuer: "http://oidc.example", Subject: "s", Keys: map[string]*rsa.PublicKey{"": {}}}}},
		"subject":     {FederatedCredentials: []emulator.FederatedCredential{{Issuer: "https://oidc.example", Keys: map[string]*rsa.PublicKey{"": {}}}}},
		"no keys":     {FederatedCredentials: []emulator.FederatedCredential{{Issuer: "https://oidc.example", Subject: "s"}}},
		"nil key":     {FederatedCredentials: []emulator.FederatedCredential{{Issuer: "https://oidc.example", Subject: "s", Keys: map[string]*rsa.PublicKey{"": nil}}}},
		"user":        {Users: []emulator.User{{Name: "x"}}},
	} {
		if _, err := emulator.New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestTheSameSeedGivesTheSameRows(t *testing.T) {
	read := func(seed uint64) (string, map[string]int, map[int32]bool) {
		g := start(t, emulator.Options{Seed: seed})
		var b strings.Builder
		names, industries := map[string]int{}, map[int32]bool{}
		for a := range g.s.Control().Accounts() {
			b.WriteString(a.ID + a.Name + a.City)
			names[a.Name]++
			if a.Industry != nil {
				industries[*a.Industry] = true
			}
		}
		return b.String(), names, industries
	}
	one, names, industries := read(1)
	if again, _, _ := read(1); again != one {
		t.Error("two servers differ")
	}
	if other, _, _ := read(2); other == one {
		t.Error("the seed has no effect")
	}
	if len(industries) != 33 || names[`O'Brien & Söhne 100% "GmbH"`] != 1 || names[`50_50 [x]`] != 1 {
		t.Errorf("%d industries", len(industries))
	}
}
