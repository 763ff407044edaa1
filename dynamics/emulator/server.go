package emulator

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// Server is one directory and one Dataverse environment. It is safe for concurrent use and owns no
// goroutine: there is nothing to close.
type Server struct {
	opts     Options
	signer   *signer
	verified verified
	grants   *grants
	dir      *directory
	data     *store
	schema   *schema
	tally    tally
	faults   faults
	rules    *rules
	limiter  *limiter
	orders   orders
	counted  recordCounts
	hint     atomic.Int64 // x-ms-dop-hint; 0 is none
	serial   atomic.Int64 // of access tokens
	expired  atomic.Int64 // serials up to here are expired
}

// New makes a server; it opens no port. It fails only for options that make no sense.
func New(opts Options) (*Server, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	dir, err := newDirectory(opts)
	if err != nil {
		return nil, err
	}
	signer, err := newSigner()
	if err != nil {
		return nil, fmt.Errorf("emulator: make the signing key: %w", err)
	}
	s := &Server{opts: opts, signer: signer, grants: newGrants(), rules: newRules(opts), dir: dir, data: newStore(dir)}
	s.limiter = newLimiter(s.opts.Limits, s.opts.Now)
	s.schema = newSchema(dir)
	for _, t := range rowTables() {
		n, rows := t.first(t, opts, dir)
		t := s.schema.table(t.set)
		s.data.firstRows(t, n, func() []*record {
			list := rows()
			t.spread(list, opts.Seed, opts.Created)
			return list
		})
	}
	if opts.NoChangeTracking {
		s.Control().SetChangeTracking(false)
	}
	if opts.NoSales {
		s.schema.product(sales, false)
	}
	s.hint.Store(int64(max(opts.ParallelHint, 0)))
	s.recordCounts()
	return s, nil
}

// ServeHTTP answers for Entra, Dataverse and the control paths.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := s.opts.Now()
	rec := &recorder{ResponseWriter: w}
	s.route(rec, r)
	s.opts.Logger.LogAttrs(r.Context(), slog.LevelDebug, "emulator request", slog.String("method", r.Method),
		slog.String("path", r.URL.Path), slog.Int("status", rec.status), slog.Duration("took", s.opts.Now().Sub(start)))
}

func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	switch {
	case path == "/_emulator" || strings.HasPrefix(path, "/_emulator/"):
		s.serveControl(w, r)
		return
	case strings.HasPrefix(path, "/api/data/"):
		s.serveData(w, r)
		return
	case path == "/common/discovery/instance":
		s.serveInstance(w, r)
		return
	case path == "/":
		http.Redirect(w, r, "/_emulator/", http.StatusFound)
		return
	}
	tenant, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch rest {
	case "oauth2/v2.0/authorize":
		s.serveAuthorize(w, r, tenant)
	case "oauth2/v2.0/token":
		s.serveToken(w, r, tenant)
	case "v2.0/.well-known/openid-configuration":
		s.serveConfiguration(w, r, tenant)
	case "discovery/v2.0/keys", "discovery/keys":
		s.serveKeys(w, r, tenant)
	case "v2.0/adminconsent", "adminconsent":
		s.serveAdminConsent(w, r, tenant, rest == "v2.0/adminconsent")
	default:
		http.NotFound(w, r)
	}
}

// origin is scheme and host as the client wrote them.
func origin(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + strings.ToLower(r.Host)
	}
	return "http://" + strings.ToLower(r.Host)
}

func (s *Server) authority(r *http.Request) string {
	if s.opts.AuthorityURL != "" {
		return strings.TrimRight(s.opts.AuthorityURL, "/")
	}
	return origin(r)
}

// sameEnvironment says whether two resources are one: a trailing slash and the label api do not matter.
func sameEnvironment(a, b string) bool { return environmentKey(a) == environmentKey(b) }

func environmentKey(resource string) string {
	u, err := url.Parse(strings.ToLower(resource))
	if err != nil || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.User != nil || u.RawQuery != "" {
		return "\x00" + resource
	}
	host := u.Host
	switch u.Scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	}
	org, rest, _ := strings.Cut(host, ".")
	if strings.HasPrefix(rest, "api.crm") {
		rest = strings.TrimPrefix(rest, "api.")
	}
	if rest == "" {
		return u.Scheme + "://" + org
	}
	return u.Scheme + "://" + org + "." + rest
}

// knownResource says whether the token endpoint gives tokens for the resource.
func (s *Server) knownResource(r *http.Request, resource string) bool {
	for _, e := range append([]string{origin(r)}, s.opts.Environments...) {
		if sameEnvironment(e, resource) {
			return true
		}
	}
	u, err := url.Parse(resource)
	if err != nil || strings.Trim(u.Path, "/") != "" {
		return false
	}
	_, port, _ := net.SplitHostPort(r.Host)
	return loopback(u.Hostname()) && loopbackHost(r.Host) && u.Port() == port
}

func loopbackHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	return loopback(host)
}

func loopback(host string) bool {
	return host == "localhost" || host == "127.0.0.1" || host == "::1"
}

// wait sleeps unless the client goes away first.
func wait(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "cannot encode the answer", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b) // the client may be gone
}

// recorder remembers the status for the log.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
