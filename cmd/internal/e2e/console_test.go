package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/chromium"
	"github.com/crmbridge/crmbridge/cmd/internal/devenv"
	"github.com/crmbridge/crmbridge/cmd/internal/signin"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// consoleWorld has a console, whose address has its password then, and a user whose name is hostile.
func consoleWorld(t *testing.T) (*bridgetest.World, bridge.Settings) {
	t.Helper()
	w := bridgetest.New(t, emulator.Options{Accounts: 30, Users: []emulator.User{{Roles: []string{"Salesperson"},
		UserName: "hostile@contoso.example", Name: "<script>alert(1)</script>\u202e & \"Sons\""}}})
	settings := w.Settings(true)
	settings.ConsoleAddr, settings.Tables = devenv.Address(bridgetest.Port(t)), "accounts,contacts"
	settings.ConsolePasswordFile = written(t, "long-enough-password\n")
	w.Bridge(settings, nil)
	if status, _, err := bridgetest.AdminPage(settings.ConsoleAddr, "/"); status != http.StatusUnauthorized {
		t.Error(status, err)
	}
	settings.ConsoleAddr = "me:long-enough-password@" + settings.ConsoleAddr
	return w, settings
}

// troubled gives the world reasons for which customers get nothing.
func troubled(t *testing.T, w *bridgetest.World, addr string) {
	t.Helper()
	client, _ := w.Client()
	w.Connect("acme")
	fails := []error{signin.Connect(t.Context(), client, "globex", w.EmulatorURL, "hostile@contoso.example")}
	for _, id := range []string{"initech", strings.Repeat("W", 64), "-x"} {
		_, err := client.Authorize(t.Context(), messages.AuthorizeRequest{EnvironmentURL: w.EmulatorURL,
			Target: messages.Target{Connection: id}})
		fails = append(fails, err)
	}
	search := messages.SearchRequest{Target: messages.Target{Connection: "acme"}}
	w.Emulator.Control().Fail(emulator.Fault{Status: http.StatusBadRequest, Times: 100, Where: emulator.FaultData,
		Header: map[string]string{"Content-Type": "application/json"},
		Body:   `{"error":{"code":"0x80040203","message":"` + "no<b>thing\u202e" + `"}}`})
	_, err := client.Accounts().SearchJob(t.Context(), search, messages.JobPublication{ID: "export-1"})
	if err = errors.Join(append(fails, err)...); err != nil {
		t.Fatal(err)
	}
	_, unanswered := client.Accounts().Search(t.Context(), search)
	shows(t, addr, "/connections/acme", "crmbridge jobs retry acme export-1")
	w.Emulator.Control().Clear()
	w.Emulator.Control().RevokeRefreshTokens("hostile@contoso.example")
	w.Emulator.Control().ExpireAccessTokens()
	_, revoked := client.WhoAmI(t.Context(), "globex")
	w.Emulator.Control().Fail(emulator.Fault{Kind: emulator.KindThrottle, RetryAfter: 300, Times: 1})
	if _, throttled := client.WhoAmI(t.Context(), "acme"); unanswered == nil || revoked == nil || throttled == nil {
		t.Fatal(unanswered, revoked, throttled)
	}
}

// shows waits for a page that says all words: the fleet is looked at beside it.
func shows(t *testing.T, addr, path string, words ...string) {
	t.Helper()
	bridgetest.Await(t, path, func() error {
		_, page, err := bridgetest.AdminPage(addr, path)
		for _, bad := range []string{"\u202e", "<b>thing", "<script"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s: %q in %s", path, bad, page)
			}
		}
		for _, word := range words {
			if !strings.Contains(page, word) {
				return fmt.Errorf("no %q in %s", word, page)
			}
		}
		return err
	})
}

// The console says why customers get nothing, and which command mends it; at its address alone.
func TestConsole(t *testing.T) {
	t.Parallel()
	w, settings := consoleWorld(t)
	shows(t, settings.ConsoleAddr, "/connections", "None.")
	troubled(t, w, settings.ConsoleAddr)
	for path, words := range map[string][]string{
		"/": {"reauthorization_required: 1. A person must connect again; <a", "keep out for a while: 1<", "<rect class=\"good\"",
			"accounts.search", "invalid_request", "failed for good", `<meta http-equiv="refresh" content="15">`},
		"/connections": {">acme<", ">globex<", ">initech<", "&lt;script&gt;", "pending"},
		"/connections?status=reauthorization_required": {"<tbody>\n<tr><td data-head=\"Connection\"><a href=\"/"},
		"/connections?after=!":                         {"is not a next_cursor"},
		"/connections/acme": {"kept out until", "by requests", "crmbridge connections check acme",
			"crmbridge connect acme http://", ">connected<", "invalid_request", "export-1", "no&lt;b&gt;thing"},
		"/connections/globex":        {"reauthorization_required: ", "AADSTS50173", "crmbridge connect globex"},
		"/connections/-x":            {"Nobody has signed in", "check -- -x<", "connect -- -x http://"},
		"/connections/nobody":        {"there is none of this id"},
		"/connections/%22%3E%3Cb%3E": {"This connection cannot be shown", "&lt;b&gt;"},
		"/jobs":                      {"What waits and runs"},
	} {
		shows(t, settings.ConsoleAddr, path, words...)
		for _, addr := range []string{settings.HTTPAddr, settings.AdminAddr} {
			if status, page, err := bridgetest.AdminPage(addr, path); status != http.StatusNotFound {
				t.Errorf("%s answers %s: %d %v %s", addr, path, status, err, page)
			}
		}
	}
}

// The console in a real browser, on a phone and a desk, by day and night; where pictures are
// wanted also with 10,000 connections.
func TestConsoleInABrowser(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "it starts a browser")
	bridgetest.Unraced(t, "TestConsole asks for the same pages; this one says how they look")
	browser := chromium.Start(t)
	w, settings := consoleWorld(t)
	v := &visitor{browser, t, w}
	v.Open("http://" + settings.ConsoleAddr) // with the password, which the browser keeps
	_, addr, _ := strings.Cut(settings.ConsoleAddr, "@")
	look := func(scene string, paths ...string) {
		for _, path := range paths {
			v.Open("http://" + addr + path)
			t.Logf("%s: %v ms", path, v.Eval("performance.getEntriesByType('navigation')[0].responseEnd"))
			v.sees("console-"+scene+strings.NewReplacer("/", "-", "?", "-").Replace(path), v.Title())
		}
	}
	look("none", "/", "/connections", "/jobs")
	troubled(t, w, settings.ConsoleAddr)
	shows(t, settings.ConsoleAddr, "/", "keep out for a while: 1<")
	look("some", "/", "/connections", "/connections/acme", "/connections/globex", "/jobs")
	if os.Getenv("CRMBRIDGE_TEST_PICTURES") != "" {
		connectApps(t, w, 10_000)
		look("many", "/connections", "/connections?after=Y29ubmVjdGlvbi0wOA", "/connections/connection-00077", "/")
	}
}
