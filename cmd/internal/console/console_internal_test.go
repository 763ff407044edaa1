package console

import (
	"context"
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/messages"
)

// Who may ask, how, and by which name; and links to the next page lead there, whatever they have to say.
func TestRequests(t *testing.T) {
	const right, cursor = "a right and long password", "a&b=<c>+"
	var asked string
	var log strings.Builder
	ask := func(_ context.Context, _ messages.Operation, in, out any) error {
		asked += in.(messages.ConnectionsListRequest).Cursor
		out.(*messages.ConnectionsListReply).NextCursor = cursor
		return nil
	}
	c := New(Config{Ask: ask, Log: slog.New(slog.NewTextHandler(&log, nil)), Password: right})
	defer c.Close()
	get := func(method, host, path, site, password string) (int, http.Header, string) {
		r, w := httptest.NewRequest(method, path, nil), httptest.NewRecorder()
		site, dest, _ := strings.Cut(site, " ")
		r.Host, r.Header = host, http.Header{"Sec-Fetch-Site": {site}, "Sec-Fetch-Dest": {dest}}
		r.SetBasicAuth("me", password)
		c.Handler().ServeHTTP(w, r)
		return w.Code, w.Header(), w.Body.String()
	}
	for _, a := range []struct {
		method, host, path, site, password string
		want                               int
	}{
		{"GET", "[::1]:1", "/connections", "cross-site document", right, 200}, {"GET", "", "/", "none", right, 421},
		{"GET", "localhost", "/", "none", "", 401}, {"GET", "localhost", "/style.css", "", "wrong long password", 401},
		{"GET", "localhost.rebound.example:80", "/", "none", right, 421}, {"GET", "10.0.0.7", "/", "", right, 421},
		{"HEAD", "127.0.0.1", "/style.css", "", right, 200}, {"POST", "localhost", "/jobs", "none", right, 405},
		{"GET", "localhost", "/metrics", "none", right, 404}, {"GET", "[::1]", "/", "cross-site iframe", right, 403},
	} {
		code, header, page := get(a.method, a.host, a.path, a.site, a.password)
		policy := header.Get("Content-Security-Policy")
		if code != a.want || (code == 401) != (header.Get("WWW-Authenticate") != "") ||
			!strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") {
			t.Errorf("%+v: %d %v %s", a, code, header, page)
		}
	}
	_, _, page := get("GET", "localhost", "/connections?status=pending", "none", right)
	link := regexp.MustCompile(`<a href="([^"]*)" rel="next">`).FindStringSubmatch(page)
	asked = ""
	if get("GET", "localhost", html.UnescapeString(link[1]), "none", right); !strings.HasPrefix(asked, cursor) {
		t.Errorf("%s asks behind %q", link[1], asked)
	}
	if said := log.String(); !strings.Contains(said, "wrong password") || strings.Contains(said, "long password") {
		t.Error(said)
	}
}

// The last hour ends with the present minute, and is an hour.
func TestHistory(t *testing.T) {
	var h history
	for i := range 100 {
		h.add(map[string]int{"ok a": 10 * i, "internal a": i}, true)
	}
	got := h.add(map[string]int{"ok a": 1000, "internal a": 98, "throttled b": 3}, false)
	if got[0] != (minute{10, 1}) || got[59] != (minute{10, 2}) {
		t.Errorf("%+v", got)
	}
}
