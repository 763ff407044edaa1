package e2e

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/signin"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// A callback that does not come from the browser that opened the connect page,
// or comes twice, connects nothing; the right one still does.
func TestForeignCallbacksConnectNothing(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 10})
	w.Bridge(w.Settings(true), nil)
	client, _ := w.Client()
	begin := func(connection string) *messages.AuthorizeReply {
		begun, err := client.Authorize(t.Context(), messages.AuthorizeRequest{
			Target: messages.Target{Connection: connection}, EnvironmentURL: w.EmulatorURL, LoginHint: emulator.DefaultUser})
		if err != nil {
			t.Fatal(err)
		}
		return begun
	}
	// open shows a connect page in a browser of its own and returns where it leads.
	open := func(connectURL string) (signin.Browser, string) {
		browser, err := signin.NewBrowser()
		if err != nil {
			t.Fatal(err)
		}
		page, err := browser.Open(t.Context(), connectURL)
		if err != nil {
			t.Fatal(err)
		}
		atEntra, err := browser.Submit(t.Context(), page, nil)
		if err != nil || !strings.HasPrefix(atEntra.URL.String(), w.EmulatorURL+"/") {
			t.Fatal(atEntra.URL, err)
		}
		return browser, atEntra.URL.String()
	}
	get := func(browser *http.Client, address string) int {
		response, err := browser.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		return response.StatusCode
	}
	status := func(connection string) string {
		c, err := client.Connection(t.Context(), connection)
		if err != nil {
			return err.Error()
		}
		return c.Status
	}

	victim, link := open(begin("acme").ConnectURL)
	back := redirect(t, w, nil, link, "accept").String()
	stranger, _ := open(begin("other").ConnectURL)

	if code := get(&http.Client{}, back); code < 400 || status("acme") != messages.StatusPending {
		t.Errorf("without a cookie: status %d, connection %s", code, status("acme"))
	}
	if code := get(stranger.HTTP, back); code < 400 || status("acme") != messages.StatusPending {
		t.Errorf("with another person's cookie: status %d, connection %s", code, status("acme"))
	}
	forged := &http.Client{Jar: jarWith(t, w.PublicURL(), "crmbridge", strings.Repeat("A", 43))}
	if code := get(forged, back); code < 400 || status("acme") != messages.StatusPending {
		t.Errorf("with a forged cookie: status %d, connection %s", code, status("acme"))
	}
	if n := w.Emulator.Control().Counts().TokenRequests(); n != 0 {
		t.Fatalf("a code was redeemed %d times for strangers", n)
	}
	if code := get(victim.HTTP, back); code != http.StatusOK || status("acme") != messages.StatusActive {
		t.Errorf("the right browser: status %d, connection %s", code, status("acme"))
	}
	get(victim.HTTP, back) // the same again: the same page, nothing redeemed
	if n := w.Emulator.Control().Counts().TokenRequests(); n != 1 {
		t.Errorf("the code was redeemed %d times", n)
	}
	otherCode, err := url.Parse(back)
	if err != nil {
		t.Fatal(err)
	}
	query := otherCode.Query()
	query.Set("code", "another-code-for-a-used-state")
	otherCode.RawQuery = query.Encode()
	if code := get(victim.HTTP, otherCode.String()); code < 400 {
		t.Errorf("a used state with another code: status %d", code)
	}
	if status("other") != messages.StatusPending {
		t.Errorf("the stranger's connection is %s", status("other"))
	}
}

func jarWith(t *testing.T, site, name, value string) http.CookieJar {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(site)
	if err != nil {
		t.Fatal(err)
	}
	jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/"}})
	return jar
}

func TestHostileEnvironmentsAreRefusedBeforeAnyCall(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 10})
	w.Bridge(w.Settings(true), nil)
	client, _ := w.Client()
	host := strings.TrimPrefix(w.EmulatorURL, "http://")
	for _, environment := range []string{
		"", " ", "contoso", "contoso.crm4.dynamics.com", "//" + host, "ftp://" + host, "file:///etc/passwd", "javascript:alert(1)",
		"http://user:pw@" + host, "http://user@" + host, w.EmulatorURL + "/api", w.EmulatorURL + "/?x=1", w.EmulatorURL + "?x", w.EmulatorURL + "#x",
		w.EmulatorURL + "\\@evil.example", w.EmulatorURL + "@evil.example", w.EmulatorURL + ".evil.example", "http://127.0.0.1:1", "http://127.0.0.1",
		"http://localhost:1", "http://[::1]:1", "http://169.254.169.254", "http://metadata.google.internal", "http://0.0.0.0:80", "http://127.1:8090",
		"http://2130706433", "http://0x7f000001", "https://evil.example", "https://contoso.crm4.dynamics.com.evil.example",
		"https://evil.example/.crm4.dynamics.com", "https://contoso.crm4.dynamics.com%2eevil.example", "https://contoso.crm4.dynamics.com\x00.evil.example",
		"https://contoso.crm4.dynamics.com\r\nHost: evil", "https://ⅽontoso.crm4.dynamics.com.evil", "https://" + strings.Repeat("a", 300) + ".crm.dynamics.com",
	} {
		_, err := client.Authorize(t.Context(), messages.AuthorizeRequest{Target: messages.Target{Connection: "new"}, EnvironmentURL: environment})
		if err == nil || !strings.Contains(err.Error(), "environment_url") {
			t.Errorf("%q: %v", environment, err)
			continue
		}
		wantCode(t, err, messages.InvalidRequest)
	}
	if counts := w.Emulator.Control().Counts(); counts.Unauthorized+counts.Authorize+counts.TokenRequests() != 0 {
		t.Errorf("calls were made: %+v", counts)
	}
}
