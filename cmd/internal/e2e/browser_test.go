package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/chromium"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// person at a browser: what they see is looked at on every page.
type visitor struct {
	*chromium.Browser
	t *testing.T
	w *bridgetest.World
}

// begin asks for a connect page.
func (v *visitor) begin(connection string, change func(*messages.AuthorizeRequest)) string {
	v.t.Helper()
	client, _ := v.w.Client()
	ask := messages.AuthorizeRequest{Target: messages.Target{Connection: connection}, EnvironmentURL: v.w.EmulatorURL, LoginHint: emulator.DefaultUser}
	if change != nil {
		change(&ask)
	}
	begun, err := client.Authorize(v.t.Context(), ask)
	if err != nil {
		v.t.Fatal(err)
	}
	return begun.ConnectURL
}

// signIn goes on from the connect page and answers Microsoft's question.
func (v *visitor) signIn(user, action string) {
	v.t.Helper()
	v.Click("button.go")
	if user != "" {
		v.Eval(fmt.Sprintf("document.querySelector('input[name=user][value=%q]').checked = true", user))
	}
	v.Click("button[value=" + action + "]")
}

// sees checks the page that is shown: its heading and words, that it fits a phone,
// that it is well built, and that the browser complains about nothing.
func (v *visitor) sees(name, title string, words ...string) {
	v.t.Helper()
	if got := v.Title(); got != title {
		v.t.Errorf("%s: the page is called %q, want %q; it says %s", name, got, title, v.Text())
	}
	text := v.Text()
	for _, word := range words {
		if !strings.Contains(text, word) {
			v.t.Errorf("%s: the page does not say %q: %s", name, word, text)
		}
	}
	for _, size := range []struct {
		as            string
		width, height int
	}{{"narrow", 320, 568}, {"small", 360, 640}, {"phone", 400, 844}, {"desktop", 1280, 800}} {
		v.Resize(size.width, size.height)
		if wide, _ := v.Eval("document.documentElement.scrollWidth - window.innerWidth").(float64); wide > 0 {
			v.t.Errorf("%s: %v px too wide at %d px", name, wide, size.width)
		}
		v.picture(name + "-" + size.as)
	}
	for what, script := range map[string]string{
		"language": "document.documentElement.lang === 'en'", "one heading": "document.querySelectorAll('h1').length === 1",
		"landmarks": "document.querySelectorAll('main').length === 1 && document.querySelectorAll('header').length === 1",
		"title":     "document.title.startsWith(document.querySelector('h1').textContent)", "no script": "document.scripts.length === 0",
		"no attributes of style": "document.querySelectorAll('[style]').length === 0",
		"links have words":       "[...document.links].every(a => a.textContent.trim().length > (a.closest('nav, td') ? 0 : 8))",
		"nothing from abroad":    "performance.getEntriesByType('resource').every(e => e.name.startsWith(location.origin))",
	} {
		if ok, _ := v.Eval(script).(bool); !ok {
			v.t.Errorf("%s: %s: %s", name, what, script)
		}
	}
	for _, dark := range []bool{false, true} {
		v.Dark(dark)
		for _, size := range []struct {
			as            string
			width, height int
		}{{"-dark", 1280, 800}, {"-phone-dark", 400, 844}} {
			v.Resize(size.width, size.height)
			if low, _ := v.Eval(lowContrast).(string); low != "" {
				v.t.Errorf("%s: dark %v at %d px: too little contrast: %s", name, dark, size.width, low)
			}
			if dark {
				v.picture(name + size.as)
			}
		}
	}
	v.Dark(false)
	for _, problem := range v.Problems() {
		v.t.Errorf("%s: the browser complains: %.400s", name, problem)
	}
}

// lowContrast finds text with a contrast below 4.5 (WCAG 2.2, AA).
const lowContrast = `(() => {
  const rgb = c => c.match(/[\d.]+/g).map(Number)
  const light = c => { const [r, g, b] = rgb(c).map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b }
  const back = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (rgb(c)[3] !== 0) return c } return 'rgb(255,255,255)' }
  return [...document.querySelectorAll('body *')].filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())).map(e => {
    const [a, b] = [light(getComputedStyle(e).color), light(back(e))].sort((x, y) => y - x)
    return (a + 0.05) / (b + 0.05) < 4.5 ? e.tagName + ' ' + ((a + 0.05) / (b + 0.05)).toFixed(2) : ''
  }).filter(Boolean).join(', ')
})()`

// picture keeps what is shown where CRMBRIDGE_TEST_PICTURES names a folder.
func (v *visitor) picture(name string) {
	folder := os.Getenv("CRMBRIDGE_TEST_PICTURES")
	if folder == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(folder, name+".png"), v.Picture(), 0o600); err != nil {
		v.t.Error(err)
	}
}

// onePixel is the file of a picture.
func onePixel(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "logo.bin")
	var b bytes.Buffer
	if err := errors.Join(png.Encode(&b, image.NewGray(image.Rect(0, 0, 1, 1))), os.WriteFile(file, b.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	return file
}

// A person connects in a real browser, and meets every failure.
func TestPagesInABrowser(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "it starts a browser")
	browser := chromium.Start(t)
	w := bridgetest.New(t, emulator.Options{Accounts: 10, Users: []emulator.User{
		{Name: "Nora Stranger", UserName: "nora.stranger@contoso.example", NotMember: true},
	}})
	settings := w.Settings(true)
	settings.OperatorName, settings.OperatorURL, settings.OperatorLogoFile = "Nordlicht Campaigns", "https://nordlicht.example/privacy", onePixel(t)
	w.Bridge(settings, nil)
	v := &visitor{browser, t, w}
	client, _ := w.Client()
	status := func(connection string) string {
		c, err := client.Connection(t.Context(), connection)
		if err != nil {
			return err.Error()
		}
		return c.Status
	}
	var other string
	for _, user := range w.Emulator.Control().Users() {
		if user.UserName != emulator.DefaultUser && !user.Disabled && !user.NotMember && user.ApplicationID == "" {
			other = user.UserName
			break
		}
	}

	page := v.begin("acme", nil)
	v.Open(page)
	v.sees("connect", "Connect Dynamics 365", "acme", w.EmulatorURL, emulator.DefaultUser, "What may be read", "accounts", "Continue to Microsoft",
		"Nordlicht Campaigns asks you", "read only", "How Nordlicht Campaigns handles what it reads")
	if loaded, _ := v.Eval("document.querySelector('header img').naturalWidth").(float64); loaded != 1 {
		t.Errorf("the operator's logo is %v px wide", loaded)
	}
	v.Eval("document.activeElement?.blur()")
	v.signIn("", "accept")
	connection, err := client.Connection(t.Context(), "acme")
	if err != nil || connection.Status != messages.StatusActive {
		t.Fatalf("%v %v: %s", connection, err, v.Text())
	}
	v.sees("success", "Connected", "acme", w.EmulatorURL, connection.OrganizationID, connection.UserID, "accounts", "roles",
		"Contoso", *connection.UserFullName, *connection.UserName)
	callback, _ := v.Eval("location.href").(string)

	v.Open(page)
	v.sees("link-used", "This link does not work any more", "unknown, used or expired", "Nothing was connected")
	v.Open(w.PublicURL() + "/oauth/callback?state=" + strings.Repeat("A", 43) + "&code=x")
	v.sees("state-expired", "This link does not work any more", "expired")
	v.Forget()
	v.Open(callback)
	v.sees("wrong-browser", "This is another browser", "another browser")
	v.Open(w.PublicURL() + "/oauth/callback")
	v.sees("odd-request", "This page was opened in an unexpected way")

	v.Open(v.begin("refused", nil))
	v.signIn("", "cancel")
	v.sees("consent-refused", "You did not give consent", "AADSTS65004", "For an administrator")

	v.Open(v.begin("acme", func(q *messages.AuthorizeRequest) { q.LoginHint = other }))
	v.signIn(other, "accept")
	v.sees("other-user", "This is another account", "nother user connected acme before", "as it was before")
	if status("acme") != messages.StatusActive {
		t.Error("a stranger changed the connection")
	}
	v.Open(v.begin("stranger", nil))
	v.signIn("nora.stranger@contoso.example", "accept")
	v.sees("environment-refuses", "The environment did not let you in", "administrator")

	w.Emulator.Control().RequireAdminConsent(true)
	v.Open(v.begin("approval", nil))
	v.signIn("", "accept")
	v.sees("administrator", "An administrator must approve this", "AADSTS90094", "approve crmbridge for everybody", "/adminconsent?")
	v.Click("main section a")
	v.Click("button[value=accept]")
	v.sees("administrator-back", "Back from the administrator's approval", "open the connect link again")
	v.Open(v.begin("approval", nil))
	v.signIn("", "accept")
	if v.Title() != "Connected" || status("approval") != messages.StatusActive {
		t.Errorf("after the approval: %s", v.Text())
	}

	w.Emulator.Control().Fail(emulator.Fault{Where: emulator.FaultToken, Status: http.StatusBadGateway, Body: "<h1>Bad Gateway</h1>"})
	v.Open(v.begin("patient", nil))
	v.signIn("", "accept")
	v.sees("outage", "This does not work at the moment", "need not sign in a second time", "Try again")
	v.Click("a.go")
	if v.Title() != "Connected" || status("patient") != messages.StatusActive {
		t.Errorf("after the outage: %s", v.Text())
	}
	for name, get := range map[string]string{"connect": v.begin("head", nil), "failure": page} {
		res, err := http.Get(get)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		for header, want := range map[string]string{"Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
			"X-Frame-Options": "DENY", "Content-Security-Policy": "default-src 'none'; "} {
			if got := res.Header.Get(header); !strings.HasPrefix(got, want) {
				t.Errorf("%s: %s is %q", name, header, got)
			}
		}
		if !strings.Contains(res.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("%s: may be framed", name)
		}
	}
	// With Redis gone the link itself cannot be looked up.
	if w.Redis != nil {
		gone := v.begin("gone", nil)
		w.Redis.Kill()
		v.Open(gone)
		v.sees("redis-away", "This does not work at the moment", "Try again")
		w.Redis.Start()
		bridgetest.Await(t, "Redis", func() error { _, err := client.Connection(t.Context(), "acme"); return err })
		v.Click("a.go")
		if v.Title() != "Connect Dynamics 365" {
			t.Errorf("after Redis came back: %s", v.Text())
		}
	}
}
