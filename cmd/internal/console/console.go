// Package console shows people what crmbridge does, and why a customer gets nothing, on pages
// that change nothing: GET and HEAD alone, no script, no cookie. Its pages are the same on every
// process, but for requests, errors and charts, which are those of the process that answers.
package console

import (
	"bytes"
	"context"
	_ "embed"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/crmbridge/crmbridge/cmd/internal/status"
	"github.com/crmbridge/crmbridge/handlers/events"
	"github.com/crmbridge/crmbridge/tokens"
)

// Config is what a console shows, and to whom.
type Config struct {
	status.Asker // answers of this process; Connection has those that cannot be read, too
	// Cursor is a cursor of connections.list that goes on after an id.
	Cursor   func(after string) string
	Events   func(ctx context.Context, connection string) ([]events.Latest, error)
	Checks   func(ctx context.Context) []Check // of /readyz
	Metrics  prometheus.Gatherer
	Failures *Failures
	Tables   []string // that the deployment serves
	Host     string   // of CONSOLE_ADDR, a name or an address; "" where there is none
	Password *Password
	Log      *slog.Logger
}

// A Check is one of /readyz: failed, or what it notes.
type Check struct {
	Name, Text string
	Failed     bool
}

// Bounds of a console.
const (
	mostAtOnce = 16 // requests
	mostQuery  = 2 << 10
	answerWait = 5 * time.Second // for what a page shows
)

//go:embed console.html
var pagesText string

//go:embed console.css
var style string

// A Console serves the pages until it is closed.
type Console struct {
	Config
	show    *template.Template
	turns   chan struct{}
	history history
	state   latest
	life    context.Context
	end     context.CancelFunc
	work    sync.WaitGroup
}

// New makes a console. It begins to keep the last hour's figures.
func New(config Config) *Console {
	c := &Console{Config: config, turns: make(chan struct{}, mostAtOnce),
		show: template.Must(template.New("").Funcs(shown).Parse(pagesText))}
	if config.Password != nil {
		config.Password.log = config.Log
	}
	c.life, c.end = context.WithCancel(context.Background())
	c.work.Go(func() { c.history.keep(c.life, config.Metrics) })
	return c
}

// Close ends what the console does beside its requests.
func (c *Console) Close() {
	c.state.mu.Lock() // nothing begins from here on
	c.end()
	c.state.mu.Unlock()
	c.work.Wait()
}

// Server is the console's server; its log has no request in it.
func (c *Console) Server() *http.Server {
	return &http.Server{Handler: c.Handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 8 << 10,
		ErrorLog: slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug)}
}

// Handler serves the pages to those who may see them.
func (c *Console) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", c.overview)
	mux.HandleFunc("GET /connections", c.connections)
	mux.HandleFunc("GET /connections/{id}", c.connection)
	mux.HandleFunc("GET /jobs", c.jobs)
	mux.HandleFunc("GET /style.css", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		_, _ = w.Write([]byte(tokens.PagesStyle() + style)) // who has hung up is not told
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range headers {
			w.Header().Set(name, value)
		}
		if refusal, status := c.refusal(w, r); status != 0 {
			http.Error(w, refusal, status)
			return
		}
		select {
		case c.turns <- struct{}{}:
			defer func() { <-c.turns }()
		default:
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many ask at once", http.StatusServiceUnavailable)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), answerWait)
		defer cancel()
		mux.ServeHTTP(w, r.WithContext(ctx))
	})
}

// headers let a page load its style sheet, send its form to itself, and nothing else.
var headers = map[string]string{
	"Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; " +
		"base-uri 'none'; frame-ancestors 'none'",
	"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
	"X-Frame-Options": "DENY", "Cross-Origin-Opener-Policy": "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin", "X-Robots-Tag": "noindex",
}

// refusal is why a request is not answered, and 0 where it is.
func (c *Console) refusal(w http.ResponseWriter, r *http.Request) (string, int) {
	site := r.Header.Get("Sec-Fetch-Site")
	switch {
	case !c.addressed(r):
		return "this console goes by another name: ask for its address, or localhost", http.StatusMisdirectedRequest
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		return "this console shows, and changes nothing: only GET and HEAD", http.StatusMethodNotAllowed
	case site == "cross-site" && r.Header.Get("Sec-Fetch-Dest") != "document":
		return "no part of another site's page", http.StatusForbidden
	case len(r.URL.RawQuery) > mostQuery:
		return "the query is too long", http.StatusRequestURITooLong
	case c.Password == nil:
		return "", 0
	}
	switch ok, wait := c.Password.allows(r, time.Now()); {
	case ok:
		return "", 0
	case wait > 0:
		w.Header().Set("Retry-After", "10")
		return "too many wrong passwords came from this address; wait", http.StatusTooManyRequests
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="crmbridge console", charset="UTF-8"`)
	return "this console has a password", http.StatusUnauthorized
}

// addressed reports whether a request is for this console by a name that nobody else can give
// it. A page elsewhere may have a name of its own lead here, and would read what is answered.
func (c *Console) addressed(r *http.Request) bool {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if host = strings.ToLower(host); host == "localhost" || host != "" && host == strings.ToLower(c.Host) {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	if err != nil {
		return false
	}
	own, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ip.IsLoopback() || own != nil && ip.Unmap() == own.AddrPort().Addr().Unmap()
}

// write writes a page.
func (c *Console) write(w http.ResponseWriter, status int, v *view) {
	var page bytes.Buffer
	v.At = time.Now()
	if err := c.show.ExecuteTemplate(&page, "page", v); err != nil {
		c.Log.Error("a page of the console cannot be written", "error", err)
		http.Error(w, "the page cannot be written; see the log", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes())
}
