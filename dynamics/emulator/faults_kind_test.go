package emulator_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

func TestParseFault(t *testing.T) {
	for text, want := range map[string]string{
		``:                                      "a fault is a JSON object such as",
		`[]`:                                    "a fault is a JSON object such as",
		`{"nix":1}`:                             `unknown field "nix"`,
		`{"kind":"gateway"} x`:                  "there is something after the fault",
		`{}`:                                    "the fault does nothing",
		`{"times":3}`:                           "the fault does nothing",
		`{"kind":"nix"}`:                        "it must be one of throttle, gateway, unavailable, timeout, error, portal, cut-json, bad-cookie, query-throttle, query-timeout, reset, truncate, slow",
		`{"where":"nix","reset":true}`:          "it must be data, token, authorize or discovery",
		`{"where":"token","kind":"bad-cookie"}`: "kind bad-cookie is for where data",
		`{"where":"token","kind":"query-timeout"}`:   "kind query-timeout is for where data",
		`{"where":"token","route":"x","reset":true}`: "route is for where data",
		`{"number":50078}`:                           "number is an answer of Entra ID",
		`{"kind":"slow","probability":1.5}`:          "probability is 1.5; it must be from 0 to 1",
		`{"status":99}`:                              "status is 99; it must be from 200 to 599",
		`{"delay":"fast"}`:                           "invalid duration",
		`{"delay":"-1s"}`:                            "must not be negative",
	} {
		if _, err := emulator.ParseFault([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	f, err := emulator.ParseFault([]byte(`{"where":"data","kind":"slow","delay":"1.5s","drip_every":2000,"header":{"Via":"p"},"times":-1}`))
	if err != nil || f.Delay != 1500*time.Millisecond || f.DripEvery != 2*time.Microsecond || f.Times != -1 ||
		f.Header["Via"] != "p" || f.Kind != emulator.KindSlow {
		t.Errorf("%+v %v", f, err)
	}
}

func TestFaultsOfDataverse(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 60})
	tok := g.signIn("").AccessToken
	good := g.api(tok, "accounts")
	for _, c := range []struct {
		fault       string
		status      int
		kind, exact string
	}{
		{`{"kind":"gateway"}`, 502, "text/html", "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"},
		{`{"kind":"unavailable"}`, 503, "text/html", "<html><head><title>503 Service Unavailable</title></head><body><h1>503 Service Unavailable</h1></body></html>"},
		{`{"kind":"timeout"}`, 504, "text/html", "<html><head><title>504 Gateway Timeout</title></head><body><h1>504 Gateway Timeout</h1></body></html>"},
		{`{"kind":"error"}`, 500, "application/json; charset=utf-8", `{"error":{"code":"0x80040216","message":"An unexpected error occurred."}}`},
		{`{"kind":"query-throttle","status":400}`, 400, "application/json; charset=utf-8", `{"error":{"code":"0x80048644","message":"This query cannot be executed because it conflicts with Query Throttling; the query uses a leading wildcard value in a filter condition, which will cause the query to be throttled more aggressively."}}`},
		{`{"kind":"query-timeout"}`, 500, "application/json; charset=utf-8", `{"error":{"code":"0x80048573","message":"The database operation timed out; this may be due to a leading wildcard value being used in a filter condition. Please consider removing filter conditions on leading wildcard values, as these filter conditions are expensive and may cause timeouts."}}`},
		{`{"kind":"slow","drip_bytes":4000,"drip_every":1}`, 200, "application/json; odata.metadata=minimal", good.body},
		{`{"kind":"gateway","drip_bytes":10,"drip_every":1}`, 502, "text/html", "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"},
		{`{"delay":"30ms"}`, 200, "application/json; odata.metadata=minimal", good.body},
	} {
		if r := g.do("POST", "/_emulator/fail", "", strings.NewReader(c.fault)); r.status != 200 {
			t.Fatalf("%s: %s", c.fault, r.body)
		}
		r := g.api(tok, "accounts")
		if r.status != c.status || r.header.Get("Content-Type") != c.kind || r.body != c.exact {
			t.Errorf("%s: %d %s %.200s", c.fault, r.status, r.header.Get("Content-Type"), r.body)
		}
	}
	for _, kind := range []string{"truncate", "reset"} {
		g.s.Control().Fail(emulator.Fault{Kind: kind, Times: -1})
		req, err := http.NewRequestWithContext(t.Context(), "GET", g.url+"/api/data/v9.2/accounts", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+tok)
		res, err := g.web.Do(req)
		if err == nil {
			var b []byte
			b, err = io.ReadAll(res.Body)
			res.Body.Close()
			if kind == "truncate" && string(b) != good.body[:64] {
				t.Errorf("truncated: %q", b)
			}
		}
		if err == nil {
			t.Errorf("%s went unnoticed", kind)
		}
		g.s.Control().Clear()
	}
}

// A body comes in pieces: the first is there long before the last.
func TestASlowBody(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 20})
	tok := g.signIn("").AccessToken
	g.s.Control().Fail(emulator.Fault{DripBytes: 100, DripEvery: time.Hour})
	req, err := http.NewRequestWithContext(t.Context(), "GET", g.url+"/api/data/v9.2/accounts", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+tok)
	res, err := g.web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := bufio.NewReader(res.Body).Peek(100); err != nil || !strings.HasPrefix(string(b), `{"@odata.context"`) {
		t.Errorf("%q %v", b, err)
	}
}

// Only who follows a nextLink meets a cookie that is no longer good.
func TestAnExpiredCookie(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 20})
	tok := g.signIn("").AccessToken
	g.s.Control().Fail(emulator.Fault{Kind: emulator.KindBadCookie})
	var page struct {
		Next string `json:"@odata.nextLink"`
	}
	if err := json.Unmarshal([]byte(g.api(tok, "accounts?$select=name", "Prefer", "odata.maxpagesize=5").body), &page); err != nil || page.Next == "" {
		t.Fatal(page, err)
	}
	if r := g.do("GET", page.Next, tok, nil); r.status != 400 ||
		r.body != `{"error":{"code":"0x80060888","message":"Malformed XML in the Paging Cookie"}}` {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := g.do("GET", page.Next, tok, nil); r.status != 200 {
		t.Errorf("afterwards: %d", r.status)
	}
}

func TestFaultsByChance(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: -1})
	tok := g.signIn("").AccessToken
	run := func(f emulator.Fault) string {
		g.s.Control().Fail(f)
		defer g.s.Control().Clear()
		var b strings.Builder
		for range 200 {
			fmt.Fprint(&b, g.api(tok, "WhoAmI").status/100)
		}
		return b.String()
	}
	one := run(emulator.Fault{Kind: emulator.KindUnavailable, Probability: 0.2})
	if n := strings.Count(one, "5"); n < 20 || n > 60 {
		t.Errorf("%d of 200 failed", n)
	}
	if again := run(emulator.Fault{Kind: emulator.KindUnavailable, Probability: 0.2, Seed: 1}); again != one {
		t.Error("the same seed failed other requests")
	}
	if other := run(emulator.Fault{Kind: emulator.KindUnavailable, Probability: 0.2, Seed: 2}); other == one {
		t.Error("another seed failed the same requests")
	}
	if n := strings.Count(run(emulator.Fault{Kind: emulator.KindUnavailable, Probability: 0.5, Times: 3}), "5"); n != 3 {
		t.Errorf("%d failed, want 3", n)
	}
}
