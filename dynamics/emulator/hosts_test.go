package emulator_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"golang.org/x/oauth2"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

// Authority and environment under names of their own, as in production: every name leads to the one listener.
func TestAuthorityAndEnvironmentWithTheirOwnHosts(t *testing.T) {
	s, err := emulator.New(emulator.Options{Accounts: 5, AuthorityURL: "http://login.example",
		Environments: []string{"http://contoso.crm4.dynamics.com"}})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	defer srv.Close()
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, srv.Listener.Addr().String())
	}
	web := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	g := &rig{T: t, s: s, web: web}
	r := g.do("GET", "http://contoso.api.crm4.dynamics.com/api/data/v9.2/", "", nil)
	if want := "Bearer authorization_uri=http://login.example/" + emulator.DefaultTenantID +
		"/oauth2/authorize, resource_id=http://contoso.api.crm4.dynamics.com/"; r.header.Get("WWW-Authenticate") != want {
		t.Errorf("challenge: %s", r.header.Get("WWW-Authenticate"))
	}
	ask := func(scope string) reply {
		return g.post("http://login.example"+tokenPath,
			form(url.Values{"grant_type": {"client_credentials"}, "scope": {scope}}))
	}
	var tok struct {
		AccessToken string `json:"access_token"`
	}
	r = ask("http://contoso.crm4.dynamics.com/.default")
	if err := json.Unmarshal([]byte(r.body), &tok); err != nil || r.status != 200 {
		t.Fatalf("token: %d %s", r.status, r.body)
	}
	for _, host := range []string{"contoso.crm4.dynamics.com", "contoso.api.crm4.dynamics.com"} {
		if r := g.do("GET", "http://"+host+"/api/data/v9.2/WhoAmI", tok.AccessToken, nil); r.status != 200 ||
			!strings.Contains(r.body, `"http://`+host+`/api/data/v9.2/$metadata#`) {
			t.Errorf("%s: %d %s", host, r.status, r.body)
		}
	}
	for _, host := range []string{"fabrikam.crm4.dynamics.com", "contoso.crm.dynamics.com", "login.example"} {
		if r := g.do("GET", "http://"+host+"/api/data/v9.2/WhoAmI", tok.AccessToken, nil); r.status != 401 {
			t.Errorf("%s took a token of another environment: %d", host, r.status)
		}
	}
	checkEntraError(t, "an unknown environment", ask("http://fabrikam.crm4.dynamics.com/.default"), 400,
		"invalid_resource", 500011)
}

func TestACodeIsGoodForOneOfManyAtOnce(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: -1})
	v := oauth2.GenerateVerifier()
	f := form(url.Values{"grant_type": {"authorization_code"}, "code": {g.code("", v)},
		"redirect_uri": {emulator.DefaultRedirectURI}, "code_verifier": {v}})
	statuses := make(chan int, 20)
	var wg sync.WaitGroup
	for range cap(statuses) {
		wg.Go(func() {
			res, err := g.web.PostForm(g.url+tokenPath, f)
			if err != nil {
				t.Error(err)
				return
			}
			res.Body.Close()
			statuses <- res.StatusCode
		})
	}
	wg.Wait()
	close(statuses)
	good := 0
	for s := range statuses {
		if s == 200 {
			good++
		} else if s != 400 {
			t.Errorf("status %d", s)
		}
	}
	if good != 1 {
		t.Errorf("%d of 20 redemptions succeeded", good)
	}
}

func TestRefusedRatherThanIgnored(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 5})
	tok := g.signIn("").AccessToken
	for _, path := range []string{"accounts?fetchXml=x", "accounts?$deltatoken=1", "accounts?$compute=1", "accounts?$apply=topcount(1,revenue)", "accounts?$expand=primarycontactid", "accounts?$select=name&$select=name"} {
		if r := g.api(tok, path); r.status != 400 || !strings.Contains(r.body, `"code":"0x80060888"`) {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
}
