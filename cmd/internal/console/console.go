// Package console shows people what crmbridge does, and why a customer gets nothing, on pages
// that change nothing: GET and HEAD alone, no script, no cookie. Requests, errors and charts are
// those of the process that answers, the rest is the same on every one.
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
	status.Asker                           // answers of this process
	Cursor       func(after string) string // of connections.list, which goes on after an id
	Events       func(ctx context.Context, connection string) ([]events.Latest, error)
	Checks       func(context.Context) []Check // of /readyz
	Metrics      prometheus.Gatherer
	Failures     *Failures
	Tables       []string  // that the deployment serves
	Host         string    // of CONSOLE_ADDR, a name or an address; "" where there is none
	Password     *Password // nil on a loopback address
	Log          *slog.Logger
}

// A Check has failed, or notes something.
type Check struct {
	Name, Text string
	Failed     bool
}

//go:embed console.html
var pagesText string

//go:embed console.css
var style string

const (
	mostAtOnce = 8               // requests
	answerWait = 5 * time.Second // for what a page shows
)

// A Console shows pages until it is closed.
type Console struct {
	Config
	show *template.Template
	life context.Context
	end  context.CancelFunc
	work sync.WaitGroup
	mu   sync.Mutex
	hour []counts // at the beginning of each minute
}

// New makes a console, which keeps the last hour's figures until it is closed.
func New(config Config) *Console {
	c := &Console{Config: config, show: template.Must(template.New("").Funcs(shown).Parse(pagesText))}
	if c.Password != nil {
		c.Password.log = c.Log
	}
	c.life, c.end = context.WithCancel(context.Background())
	c.work.Go(c.keep)
	return c
}

// Close ends what the console does beside its requests.
func (c *Console) Close() { c.end(); c.work.Wait() }

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
	turns := make(chan struct{}, mostAtOnce)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range headers {
			w.Header().Set(name, value)
		}
		if !c.permits(w, r) {
			return
		}
		select {
		case turns <- struct{}{}:
			defer func() { <-turns }()
		default:
			http.Error(w, "too many ask at once", http.StatusServiceUnavailable)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), answerWait)
		defer cancel()
		mux.ServeHTTP(w, r.WithContext(ctx))
	})
}

// headers let a page load its style sheet, send its form to itself, and nothing else.
var headers = map[string]string{"Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'", "X-Frame-Options": "DENY",
	"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
	"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin"}

// permits refuses what is not for this console, or has not its password.
func (c *Console) permits(w http.ResponseWriter, r *http.Request) bool {
	refuse := func(status int, why string) bool { http.Error(w, why, status); return false }
	switch {
	case !c.addressed(r):
		return refuse(http.StatusMisdirectedRequest, "this console goes by another name: ask its address, or localhost")
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		return refuse(http.StatusMethodNotAllowed, "this console changes nothing: only GET and HEAD")
	case r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.Header.Get("Sec-Fetch-Mode") != "navigate":
		return refuse(http.StatusForbidden, "another site asks; only its links lead here")
	case c.Password == nil:
		return true
	}
	switch ok, late := c.Password.allows(r, time.Now()); {
	case late:
		return refuse(http.StatusTooManyRequests, "too many wrong passwords came from this address; wait")
	case !ok:
		w.Header().Set("WWW-Authenticate", `Basic realm="crmbridge console", charset="UTF-8"`)
		return refuse(http.StatusUnauthorized, "this console has a password")
	}
	return true
}

// addressed reports whether a request is for this console by a name that nobody else can give
// it: a page elsewhere may have a name of its own lead here, and would read what is answered.
func (c *Console) addressed(r *http.Request) bool {
	host := strings.ToLower(r.Host)
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if host == "localhost" || host != "" && host == strings.ToLower(c.Host) {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	own, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return err == nil && (ip.IsLoopback() || own != nil && ip.Unmap() == own.AddrPort().Addr().Unmap())
}

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
