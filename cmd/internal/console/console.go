// Package console shows people what crmbridge does, and why a customer gets nothing. Requests, errors
// and the chart are those of the process that answers, the rest is the same on every one.
package console

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	_ "embed"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/crmbridge/crmbridge/handlers/events"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// Config is what a console shows, and to whom.
type Config struct {
	// Ask has this process answer a request, into out; Latest and Events are of a connection.
	Ask      func(ctx context.Context, op messages.Operation, request, out any) error
	Latest   func(context.Context, string) ([]messages.Job, error)
	Events   func(context.Context, string) ([]events.Latest, error)
	Checks   func(context.Context) []string // what those of /readyz have to say
	Metrics  prometheus.Gatherer
	Tables   []string      // that the deployment serves
	Host     string        // of CONSOLE_ADDR, a name or an address; "" where there is none
	Password tokens.Secret // "" on a loopback address
	Log      *slog.Logger
}

//go:embed console.html
var pagesText string

//go:embed console.css
var style string

// Requests, and how long for what a page shows, and for the connections of one status.
const mostAtOnce, answerWait, lookWait = 8, 5 * time.Second, 150 * time.Millisecond

// A Console shows pages until it is closed.
type Console struct {
	Config
	show    *template.Template
	history history
	wrong   atomic.Int64 // the minute in which a wrong password was logged last
	end     chan struct{}
	work    sync.WaitGroup
}

// New makes a console, which keeps the last hour's figures until it is closed.
func New(config Config) *Console {
	c := &Console{Config: config, end: make(chan struct{}),
		show: template.Must(template.New("page").Funcs(template.FuncMap{"clip": clip}).Parse(pagesText))}
	c.work.Go(func() {
		for {
			select {
			case <-time.After(time.Minute):
				c.history.add(read(c.Metrics)["requests_total"], true)
			case <-c.end:
				return
			}
		}
	})
	return c
}

// Close ends what the console does beside its requests.
func (c *Console) Close() { close(c.end); c.work.Wait() }

// Handler serves the pages to those who may see them.
func (c *Console) Handler() http.Handler {
	mux, turns := http.NewServeMux(), make(chan struct{}, mostAtOnce)
	for path, fill := range map[string]func(context.Context, *page, *http.Request){"/{$}": c.overview,
		"/connections": c.connections, "/connections/{id}": c.connection, "/jobs": c.jobs} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), answerWait)
			defer cancel()
			p := &page{Path: r.URL.Path, At: time.Now(), Number: http.StatusOK}
			select {
			case turns <- struct{}{}:
				defer func() { <-turns }()
				fill(ctx, p, r)
			default: // a page that nobody touches goes on
				p.Title, p.Refresh, p.Number = "Too many ask at once", 15, http.StatusServiceUnavailable
			}
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.WriteHeader(p.Number)
			_ = c.show.Execute(w, p) // who has hung up is not told
		})
	}
	mux.HandleFunc("GET /style.css", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		_, _ = w.Write([]byte(tokens.PagesStyle() + style))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range headers {
			w.Header().Set(name, value)
		}
		if code, why := c.refuses(w.Header(), r); code != 0 {
			http.Error(w, why, code)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// headers let a page load its style sheet, and nothing else.
var headers = map[string]string{"Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; " +
	"form-action 'none'; base-uri 'none'; frame-ancestors 'none'", "X-Frame-Options": "DENY",
	"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
	"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Allow": "GET, HEAD"}

// refuses is why a request gets no page, 0 for one that gets it. The password comes by HTTP's Basic
// scheme, with any user name: that needs no form, cookie, session or script.
func (c *Console) refuses(header http.Header, r *http.Request) (code int, why string) {
	_, given, _ := r.BasicAuth()
	got, want := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(c.Password.Reveal()))
	switch {
	case !c.addressed(r):
		return http.StatusMisdirectedRequest, "this console goes by another name: ask its address, or localhost"
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return http.StatusMethodNotAllowed, "this console changes nothing: only GET and HEAD"
	case r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.Header.Get("Sec-Fetch-Dest") != "document":
		return http.StatusForbidden, "another site asks; only its links lead here"
	case c.Password == "" || subtle.ConstantTimeCompare(got[:], want[:]) == 1:
		return 0, ""
	}
	if now := time.Now().Unix() / 60; given != "" && c.wrong.Swap(now) != now {
		c.Log.Warn("the console was asked with a wrong password", "address", r.RemoteAddr)
	}
	header.Set("WWW-Authenticate", `Basic realm="crmbridge console", charset="UTF-8"`)
	return http.StatusUnauthorized, "this console has a password"
}

// addressed reports whether a request names this console as nobody else can: a page elsewhere, whose
// own name is made to lead here, would read what is answered.
func (c *Console) addressed(r *http.Request) bool {
	host := strings.ToLower((&url.URL{Host: r.Host}).Hostname())
	own, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	ip := net.ParseIP(host)
	return host == "localhost" || host != "" && host == strings.ToLower(c.Host) || ip.IsLoopback() ||
		own != nil && ip.Equal(own.IP)
}

// read sums the process's metrics, as far as they can be read, by name and by the values of labels.
func read(from prometheus.Gatherer) map[string]map[string]int {
	all := map[string]map[string]int{}
	families, _ := from.Gather() // what went well is there
	for _, family := range families {
		sums := map[string]int{}
		for _, m := range family.GetMetric() {
			var labels []string
			for _, label := range m.GetLabel() {
				labels = append(labels, label.GetValue())
			}
			sums[strings.Join(labels, " ")] += int(m.GetCounter().GetValue() + m.GetGauge().GetValue())
		}
		all[strings.TrimPrefix(family.GetName(), "crmbridge_")] = sums
	}
	return all
}

// A minute has requests that were answered, and that ended in an error.
type minute struct{ Good, Bad int }

// history is the last hour, minute by minute; the last is the present one.
type history struct {
	mu    sync.Mutex
	hour  [60]minute
	begun minute // the counts at its begin
}

// add brings the history up to date, and then begins another minute if that is due.
func (h *history) add(requests map[string]int, due bool) [60]minute {
	var now minute
	for of, n := range requests {
		if strings.HasPrefix(of, "ok ") {
			now.Good += n
		} else {
			now.Bad += n
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	now = minute{max(now.Good, h.begun.Good), max(now.Bad, h.begun.Bad)} // where not all could be read
	h.hour[59] = minute{now.Good - h.begun.Good, now.Bad - h.begun.Bad}
	hour := h.hour
	if due {
		copy(h.hour[:], h.hour[1:])
		h.hour[59], h.begun = minute{}, now
	}
	return hour
}
