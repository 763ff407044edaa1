package console

import (
	"context"
	"fmt"
	"html"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/crmbridge/crmbridge/cmd/internal/status"
	"github.com/crmbridge/crmbridge/messages"
)

// Guesses are bounded by address and network; elsewhere the password goes on being taken, and a
// new one is.
func TestGuesses(t *testing.T) {
	const right, next = "the right password", "the next password"
	file := filepath.Join(t.TempDir(), "password")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, bad := range []string{"", "short\n\n", strings.Repeat("x", 15), strings.Repeat("x", 1025)} {
		write(bad)
		if _, err := ReadPassword(file); err == nil || bad != "" && strings.Contains(err.Error(), strings.TrimSpace(bad)) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
	write(right + "\r\n")
	p, err := ReadPassword(file)
	if err != nil {
		t.Fatal(err)
	}
	p.log = slog.New(slog.DiscardHandler)
	now := time.Now()
	ask := func(from, password string, after time.Duration) string {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr, now = from, now.Add(after)
		r.SetBasicAuth("", password)
		ok, late := p.allows(r, now)
		return fmt.Sprint(ok, late)
	}
	for range 10 {
		if got := ask("[2001:db8::1]:1", "wrong", 0); got != "false false" {
			t.Fatal(got)
		}
	}
	for i, c := range []struct {
		from, password string
		after          time.Duration
		want           string
	}{
		{"[2001:db8::1]:2", "wrong", 0, "false true"}, {"[2001:db8::2]:1", right, 0, "false true"}, {"192.0.2.7:1", right, 0, "true false"},
		{"[2001:db8::1]:1", right, guessEvery, "true false"}, {"[2001:db8::1]:1", "wrong", 0, "false false"},
		{"[2001:db8::1]:1", right, 0, "false true"},
	} {
		if got := ask(c.from, c.password, c.after); got != c.want {
			t.Errorf("%d: %s, want %s", i, got, c.want)
		}
	}
	if write("bad"); ask("192.0.2.7:1", right, passwordLook+1) != "true false" {
		t.Error("a bad file took the password away")
	}
	write(next)
	if ask("192.0.2.7:1", next, passwordLook+1) != "true false" || ask("192.0.2.7:1", right, 0) != "false false" {
		t.Error("another password is not taken")
	}
}

// Links to the next page lead there, whatever they have to say.
func TestNextPages(t *testing.T) {
	var asked string
	c := New(Config{Metrics: prometheus.NewRegistry(), Failures: new(Failures), Log: slog.New(slog.DiscardHandler),
		Asker: status.Asker{
			Connections: func(_ context.Context, in messages.ConnectionsListRequest) (*messages.ConnectionsListReply, error) {
				asked = in.Cursor
				return &messages.ConnectionsListReply{NextCursor: "a&b=<c>+"}, nil
			},
			Jobs: func(_ context.Context, in messages.JobsListRequest) (*messages.JobsListReply, error) {
				asked = in.Cursor
				return &messages.JobsListReply{NextCursor: "a&b=<c>+"}, nil
			}}})
	defer c.Close()
	get := func(path, site string) (int, string) {
		r, w := httptest.NewRequest("GET", "http://localhost"+path, nil), httptest.NewRecorder()
		r.Header.Set("Sec-Fetch-Site", site)
		c.Handler().ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	for _, path := range []string{"/connections?status=pending", "/jobs"} {
		_, page := get(path, "same-origin")
		link := regexp.MustCompile(`<a href="([^"]*)" rel="next">`).FindStringSubmatch(page)
		if link == nil {
			t.Fatal(page)
		}
		if _, page = get(html.UnescapeString(link[1]), "same-origin"); asked != "a&b=<c>+" {
			t.Errorf("%s leads to %q, which asks behind %q", path, link[1], asked)
		}
		if path != "/jobs" && !strings.Contains(page, "<option selected>pending") {
			t.Error("the search is forgotten")
		}
	}
	if code, _ := get("/jobs", "cross-site"); code != 403 {
		t.Errorf("a page elsewhere is answered %d", code)
	}
}

// A chart ends with the present minute, and holds an hour.
func TestCharts(t *testing.T) {
	var c Console
	for i := range 100 {
		c.hour = append(c.hour[max(0, len(c.hour)+1-minutes):], counts{10 * i, i, 0, 0})
	}
	all := charts(c.hour, counts{1020, 99, 3, 4})
	first, last := all[0].Bars[0], all[0].Bars[59]
	if len(all[0].Bars) != minutes || first.X != 590 || last.X != 0 || all[0].Peak != 30 || first.Good != 97 ||
		first.Bad != 0 ||
		last.Bad == 0 || all[0].GoodSum != 620 || all[1].GoodSum != 3 || all[1].BadSum != 4 {
		t.Errorf("%+v", all)
	}
	if all := charts(nil, counts{}); len(all[0].Bars) != 0 {
		t.Errorf("%+v", all)
	}
}

// Errors of one connection push out no other's, and nobody's texts are long.
func TestFailuresAreBounded(t *testing.T) {
	f := new(Failures)
	log := slog.New(f.Watch(slog.DiscardHandler)).With("operation", "accounts.search")
	log.Error("answered", "connection", "quiet", "code", "throttled", "cause", strings.Repeat("é", 5000))
	for i := range 10 * (mostConnections - 1) {
		log.Info("answered", "connection", fmt.Sprint(i%(mostConnections-1)), "code", "internal")
		log.Info("answered", "connection", "well", "code", "ok")
		slog.New(f.Watch(slog.DiscardHandler)).Warn("page failed", "connection", "well", "code", "invalid_state")
	}
	quiet := f.of("quiet")
	if len(f.by) != mostConnections || len(f.of("1")) != mostOfOne || len(f.of("well")) != 0 || len(quiet) != 1 ||
		quiet[0].Operation != "accounts.search" || len([]rune(quiet[0].Cause)) != mostText+1 {
		t.Errorf("%d: %+v", len(f.by), quiet)
	}
	if log.Error("answered", "connection", "one more", "code", "internal"); len(f.by) != mostConnections ||
		len(f.of("")) != 2*mostOfOne {
		t.Error(len(f.by), len(f.of("")))
	}
}

// What is found of a connection, and commands as a shell takes them.
func TestDiagnosis(t *testing.T) {
	v := &view{Connection: &messages.Connection{ID: "-x", Status: messages.StatusActive,
		EnvironmentURL: "https://a b'$(id).example", Tables: []string{"accounts"}},
		Limits: &messages.LimitsReply{Limit: 40, Queued: 3, Breaker: "open", CallsToday: 5, DailyCalls: 5},
		Jobs:   []messages.Job{{Connection: "-x", ID: "j", State: messages.JobFailed}}}
	v.diagnose([]string{"accounts", "leads"})
	got := fmt.Sprint(v.Findings) + strings.Join(v.Commands, "\n")
	for _, want := range []string{"not asked for leads", "by daily_calls", "is open", "40 places: 3",
		"check -- -x\n", "connect -- -x 'https://a b'\\''$(id).example'\n", "jobs retry -- -x j"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
}
