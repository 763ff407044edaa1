package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/crmbridge/crmbridge/handlers/events"
	"github.com/crmbridge/crmbridge/messages"
)

// Who may ask, how, by which name, how many at once; the next page; a part that is not known leaves the rest.
func TestRequests(t *testing.T) {
	const right, cursor = "a right and long password", "a&b=<c>+"
	var asked, full string
	var log strings.Builder
	var get func(method, host, path, site, password string) (int, http.Header, string)
	ask := func(_ context.Context, _ messages.Operation, in, out any) error {
		list, ok := in.(messages.ConnectionsListRequest)
		if !ok {
			return errors.New("no limits")
		}
		asked += list.Cursor
		*out.(*messages.ConnectionsListReply) = messages.ConnectionsListReply{NextCursor: cursor,
			Connections: []messages.Connection{{Status: messages.StatusPending}}}
		if list.Connection == "busy" && full == "" { // it waits for another page
			_, _, page := get("GET", "localhost", "/connections/busy", "", right)
			full = cmp.Or(full, page)
		}
		return nil
	}
	c := New(Config{Ask: ask, Log: slog.New(slog.NewTextHandler(&log, nil)), Password: right,
		Latest:  func(context.Context, string) ([]messages.Job, error) { return nil, errors.New("no jobs") },
		Events:  func(context.Context, string) ([]events.Latest, error) { return nil, errors.New("no events") },
		Metrics: prometheus.NewRegistry()})
	defer c.Close()
	handler := c.Handler()
	get = func(method, host, path, site, password string) (int, http.Header, string) {
		r, w := httptest.NewRequest(method, path, nil), httptest.NewRecorder()
		site, dest, _ := strings.Cut(site, " ")
		r.Host, r.Header = host, http.Header{"Sec-Fetch-Site": {site}, "Sec-Fetch-Dest": {dest}}
		r.SetBasicAuth("me", password)
		handler.ServeHTTP(w, r)
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
		said := fmt.Sprint(header["Content-Security-Policy"], header["Cache-Control"], header["Referrer-Policy"],
			header["X-Content-Type-Options"], header["Set-Cookie"])
		if code != a.want || (code == 401) != (header.Get("WWW-Authenticate") != "") || said != "[default-src 'none'; "+
			"style-src 'self'; img-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'] "+
			"[no-store] [no-referrer] [nosniff] []" {
			t.Errorf("%+v: %d %v %s", a, code, header, page)
		}
	}
	_, _, page := get("GET", "localhost", "/connections?status=pending", "none", right)
	_, link, _ := strings.Cut(page, `<p><a href="/connections`)
	link, _, _ = strings.Cut(html.UnescapeString(link), `" rel="next"`)
	asked = ""
	if get("GET", "localhost", "/connections"+link, "none", right); !strings.HasPrefix(asked, cursor) {
		t.Errorf("%s asks behind %q", link, asked)
	}
	code, _, page := get("GET", "localhost", "/connections/busy", "none", right)
	said := `(?s)no limits.*no jobs.*no events.*"refresh" content="15"`
	if code != 200 || !regexp.MustCompile(said).MatchString(page+full) {
		t.Error(code, page, full)
	}
	if said = log.String(); !strings.Contains(said, "wrong password") || strings.Contains(said, "long password") {
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
	none := h.add(nil, false) // they could not be read
	if got[0] != (minute{10, 1}) || got[59] != (minute{10, 2}) || none[59] != (minute{}) {
		t.Errorf("%+v %+v", got, none)
	}
}
