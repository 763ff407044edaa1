package e2e

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
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

// A page of a console, asked for as change says.
func consolePage(t testing.TB, addr, path string, change func(*http.Request)) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

const hostileName = "<script>alert(1)</script>\u202e & \"Sons\"" // of a customer's user

// consoleWorld has connections in every state, and a console without a password.
func consoleWorld(t *testing.T) (*bridgetest.World, bridge.Settings) {
	t.Helper()
	w := bridgetest.New(t, emulator.Options{Accounts: 30, Users: []emulator.User{
		{Name: hostileName, UserName: "hostile@contoso.example", Roles: []string{"Salesperson"}}}})
	settings := w.Settings(true)
	settings.ConsoleAddr, settings.Tables = devenv.Address(bridgetest.Port(t)), "accounts,contacts"
	w.Bridge(settings, nil)
	return w, settings
}

// troubled gives the world reasons for which customers get nothing.
func troubled(t *testing.T, w *bridgetest.World) {
	t.Helper()
	client, _ := w.Client()
	w.Connect("acme")
	if err := signin.Connect(t.Context(), client, "globex", w.EmulatorURL, "hostile@contoso.example"); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Authorize(t.Context(), messages.AuthorizeRequest{Target: messages.Target{Connection: "initech"},
		EnvironmentURL: w.EmulatorURL}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Authorize(t.Context(), messages.AuthorizeRequest{EnvironmentURL: w.EmulatorURL,
		Target: messages.Target{Connection: strings.Repeat("W", 64)}}); err != nil {
		t.Fatal(err)
	}
	search := messages.SearchRequest{Target: messages.Target{Connection: "acme"}}
	for range 20 {
		if _, err := client.Accounts().Search(t.Context(), search); err != nil {
			t.Fatal(err)
		}
	}
	w.Emulator.Control().Fail(emulator.Fault{Status: http.StatusBadRequest, Times: 100, Where: emulator.FaultData,
		Header: map[string]string{"Content-Type": "application/json"},
		Body:   `{"error":{"code":"0x80040203","message":"` + "no<b>thing\u202e" + `"}}`})
	if _, err := client.Accounts().Search(t.Context(), search); err == nil {
		t.Fatal("the search does not fail")
	}
	if _, err := client.Accounts().SearchJob(t.Context(), search, messages.JobPublication{ID: "export-1"}); err != nil {
		t.Fatal(err)
	}
	bridgetest.Await(t, "a failed job", func() error {
		job, err := client.Jobs().Get(t.Context(), "acme", "export-1")
		if err == nil && job.State != messages.JobFailed {
			err = errors.New(string(job.State))
		}
		return err
	})
	w.Emulator.Control().Clear()
	w.Emulator.Control().RevokeRefreshTokens("hostile@contoso.example")
	w.Emulator.Control().ExpireAccessTokens()
	if _, err := client.WhoAmI(t.Context(), "globex"); err == nil {
		t.Fatal("the grant is not revoked")
	}
	w.Emulator.Control().Fail(emulator.Fault{Kind: emulator.KindThrottle, RetryAfter: 300, Times: 1})
	if _, err := client.WhoAmI(t.Context(), "acme"); err == nil {
		t.Fatal("the user is not throttled")
	}
}

// The console says why customers get nothing, and which command mends it; to nobody else.
func TestConsole(t *testing.T) {
	t.Parallel()
	w, settings := consoleWorld(t)
	if _, page := consolePage(t, settings.ConsoleAddr, "/connections", nil); !strings.Contains(page, "There are none.") {
		t.Error(page)
	}
	troubled(t, w)
	hostile := regexp.MustCompile("\u202e|<b>thing|<script")
	for path, words := range map[string][]string{
		"/": {"connect again, for 1 of the connections: <a", "Users who are throttled: 1.", "<rect class=\"good\"", "accounts.search",
			"invalid_request 1", "reauthorization_required 1", "failed for good", "jetstream", "Crm-Request-Id"},
		"/connections":                                 {">acme<", ">globex<", ">initech<", "&lt;script&gt;", "pending"},
		"/connections?prefix=gl":                       {"</thead><tbody>\n<tr><th scope=\"row\"><a href=\"/connections/globex\""},
		"/connections?prefix=z":                        {"There are none."},
		"/connections?prefix=%3Cb%3E":                  {"an id has", "value=\"&lt;b&gt;\""},
		"/connections?status=reauthorization_required": {"</thead><tbody>\n<tr><th scope=\"row\"><a href=\"/connections/globex\""},
		"/connections?after=!":                         {"is not a next_cursor"},
		"/connections/acme": {"kept out until", "by requests", "crmbridge jobs retry acme export-1", "crmbridge connect acme http://",
			">connected<", "invalid_request", "export-1", "no&lt;b&gt;thing"},
		"/connections/globex":        {"reauthorization_required: ", "AADSTS50173", "crmbridge connect globex"},
		"/connections/initech":       {"Nobody has signed in yet"},
		"/connections/nobody":        {"no connection of this id"},
		"/connections/%22%3E%3Cb%3E": {"invalid_request"},
		"/jobs":                      {"failed for good"},
	} {
		bridgetest.Await(t, path, func() error { // the fleet is looked at beside the page
			_, page := consolePage(t, settings.ConsoleAddr, path, nil)
			if found := hostile.FindString(page); found != "" {
				t.Errorf("%s: %q in %s", path, found, page)
			}
			for _, word := range words {
				if !strings.Contains(page, word) {
					return fmt.Errorf("no %q in %s", word, page)
				}
			}
			return nil
		})
	}
	for _, c := range []struct {
		method, host, path string
		status             int
	}{
		{"GET", "localhost:1", "/", 200}, {"GET", "[::1]:1", "/", 200}, {"HEAD", "", "/jobs", 200}, {"GET", "", "/style.css", 200},
		{"GET", "rebound.example", "/", 421}, {"GET", "localhost.rebound.example:80", "/", 421}, {"GET", "10.0.0.7", "/style.css", 421},
		{"POST", "", "/jobs", 405}, {"DELETE", "", "/connections/acme", 405}, {"GET", "", "/metrics", 404}, {"GET", "", "/jobs/", 404},
	} {
		response, page := consolePage(t, settings.ConsoleAddr, c.path,
			func(r *http.Request) { r.Method, r.Host = c.method, c.host })
		h := response.Header
		if policy := h.Get("Content-Security-Policy"); response.StatusCode != c.status ||
			!strings.HasPrefix(policy, "default-src 'none'; ") ||
			strings.Contains(policy, "unsafe") || !strings.Contains(policy, "frame-ancestors 'none'") ||
			h.Get("Cache-Control") != "no-store" ||
			h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" ||
			h.Get("Set-Cookie") != "" {
			t.Errorf("%+v: %s %v %s", c, response.Status, h, page)
		}
	}
	for _, addr := range []string{settings.HTTPAddr, settings.AdminAddr} {
		for _, path := range []string{"/", "/connections", "/connections/acme", "/jobs", "/style.css"} {
			if response, page := consolePage(t, addr, path, nil); response.StatusCode != http.StatusNotFound {
				t.Errorf("%s answers %s: %s %s", addr, path, response.Status, page)
			}
		}
	}
}

// Who reaches the console from elsewhere needs the password.
func TestConsoleWithAPassword(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{})
	const right = "a right and long password"
	settings, port, log := w.Settings(true), bridgetest.Port(t), new(bridgetest.Buffer)
	settings.ConsoleAddr, settings.LogLevel = fmt.Sprintf("0.0.0.0:%d", port), "debug"
	settings.ConsolePasswordFile = filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(settings.ConsolePasswordFile, []byte(right+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.Bridge(settings, log)
	for _, c := range []struct {
		host, password string
		status         int
	}{{"", "-", 401}, {"", "a wrong and long password", 401}, {"", "", 401}, {"", right, 200},
		{"rebound.example", right, 421}} {
		for _, path := range []string{"/", "/connections", "/style.css"} {
			response, page := consolePage(t, devenv.Address(port), path, func(r *http.Request) {
				if r.Host = c.host; c.password != "-" {
					r.SetBasicAuth("me", c.password)
				}
			})
			if asks := response.Header.Get("WWW-Authenticate"); response.StatusCode != c.status ||
				(c.status == 401) != (asks != "") {
				t.Errorf("%+v %s: %s: %s", c, path, response.Status, page)
			}
		}
	}
	if strings.Contains(log.String(), "long password") {
		t.Error("a password is in the log")
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
	look := func(name string, paths ...string) {
		for _, path := range paths {
			v.Open("http://" + settings.ConsoleAddr + path)
			for _, width := range []int{400, 1280} {
				v.Resize(width, 900)
				if wide, _ := v.Eval("document.documentElement.scrollWidth - window.innerWidth").(float64); wide > 0 {
					t.Errorf("%s: %v px too wide at %d px", path, wide, width)
				}
				for dark, by := range map[bool]string{false: "day", true: "night"} {
					v.Dark(dark)
					if low, _ := v.Eval(lowContrast).(string); low != "" {
						t.Errorf("%s by %s: too little contrast: %s", path, by, low)
					}
					v.picture(fmt.Sprintf("console-%s%s-%d-%s", name, strings.NewReplacer("/", "-", "?", "-").Replace(path),
						width, by))
				}
			}
			for what, script := range map[string]string{
				"language": "document.documentElement.lang === 'en'", "one heading": "document.querySelectorAll('h1').length === 1",
				"no script": "document.scripts.length === 0", "style": "document.styleSheets[0].cssRules.length > 20",
				"headers":        "[...document.querySelectorAll('table')].every(t => t.querySelectorAll('thead th[scope=col]').length > 1)",
				"labels":         "[...document.querySelectorAll('input,select')].every(e => e.labels.length === 1)",
				"no other style": "document.querySelectorAll('[style],style').length === 0",
			} {
				if ok, _ := v.Eval(script).(bool); !ok {
					t.Errorf("%s: %s: %s", path, what, script)
				}
			}
			for _, problem := range v.Problems() {
				t.Errorf("%s: the browser complains: %.400s", path, problem)
			}
		}
	}
	seen := func(word string) {
		bridgetest.Await(t, word, func() error {
			if _, page := consolePage(t, settings.ConsoleAddr, "/", nil); !strings.Contains(page, word) {
				return errors.New("it is not shown")
			}
			return nil
		})
	}
	seen("There are none.")
	look("none", "/", "/connections", "/jobs")
	troubled(t, w)
	seen("Users who are throttled: 1.")
	look("some", "/", "/connections", "/connections/acme", "/connections/globex", "/jobs")
	if os.Getenv("CRMBRIDGE_TEST_PICTURES") != "" {
		connectApps(t, w, 10_000)
		seen(">10001<")
		look("many", "/", "/connections", "/connections?prefix=connection-09", "/connections/connection-00077")
	}
}

// BenchmarkConsole is the time of each page with 10,000 connections.
func BenchmarkConsole(b *testing.B) {
	w := bridgetest.New(b, emulator.Options{Accounts: 1})
	settings := w.Settings(true)
	settings.ConsoleAddr = devenv.Address(bridgetest.Port(b))
	w.Bridge(settings, nil)
	connectApps(b, w, 10_000)
	for _, path := range []string{"/", "/connections", "/connections?prefix=connection-09",
		"/connections?status=pending", "/connections/connection-00077", "/jobs"} {
		b.Run(path, func(b *testing.B) {
			for b.Loop() {
				if response, page := consolePage(b, settings.ConsoleAddr, path, nil); response.StatusCode != http.StatusOK {
					b.Fatal(page)
				}
			}
		})
	}
}
