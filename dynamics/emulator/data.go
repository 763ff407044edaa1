package emulator

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// call is one request to the Web API, past the bearer check.
type call struct {
	s      *Server
	r      *http.Request
	user   *systemUser
	words  *language         // of the user; see lang
	seen   *schemaView       // see schema
	mine   map[string]*table // see tables
	v      *snapshot
	base   string // …/api/data/v9.2/
	prefs  preferences
	method string
	within bool // an operation of a batch
}

// answer is what a route produced.
type answer struct {
	status int
	body   []byte
	plain  bool // text/plain instead of JSON
	// tracked says that change tracking was applied.
	tracked bool
	// batch says that the answer holds others, with their own headers.
	batch  bool
	header http.Header
}

const maxRoutes = 500

// serveData is everything below /api/data/.
func (s *Server) serveData(w http.ResponseWriter, r *http.Request) {
	if refuseURL(w, r) {
		return
	}
	s.dataHeaders(w)
	user, asked, known := s.bearer(r)
	if !known {
		s.challenge(w, r)
		return
	}
	if want := s.rules.claimsWanted(); !covers(asked, want) {
		s.claimsChallenge(w, r, want)
		return
	}
	prefs := parsePreferences(r.Header)
	done, limit, pause := s.limiter.begin(user, r, w.Header())
	if limit != nil {
		s.tally.add(func(n *Counts) { n.Throttled++ })
		w.Header().Set("Content-Type", contentType(r))
		throttle(w, prefs, limit, pause)
		return
	}
	defer done()
	if !wait(r, s.opts.Latency) {
		return
	}
	c := &call{s: s, r: r, user: user, v: s.data.view(), prefs: prefs, method: r.Method}
	segments, fail := c.path()
	route := routeName(segments)
	route = s.countData(route)
	truncate := 0
	if x, ok := s.faults.next(FaultData, route, strings.Contains(r.URL.RawQuery, "skiptoken=")); ok {
		var done bool
		if w, done = s.play(w, r, x); done {
			return
		}
		truncate = x.Truncate
	}
	w.Header().Set("Content-Type", contentType(r))
	var a *answer
	if fail == nil {
		fail = c.member()
	}
	if fail == nil {
		a, fail = c.dispatch(segments)
	}
	if fail != nil {
		fail.write(w, c.prefs)
		return
	}
	if a.status == http.StatusOK && truncate == 0 {
		s.tally.add(func(n *Counts) { n.Answered[route]++ })
	}
	c.send(w, a, truncate)
}

// countData counts a request and returns the name that it was counted under.
func (s *Server) countData(route string) string {
	s.tally.add(func(n *Counts) {
		if _, seen := n.Data[route]; !seen && len(n.Data) >= maxRoutes {
			route = "other" // made-up paths must not grow the map for ever
		}
		n.Data[route]++
	})
	return route
}

func (c *call) send(w http.ResponseWriter, a *answer, truncate int) {
	h := w.Header()
	for k, v := range a.header {
		h[k] = v
	}
	for _, p := range c.prefs.applied {
		if line := appliedPreference(p, a.tracked); line != "" && !a.batch {
			h.Add("Preference-Applied", line)
		}
	}
	if a.plain {
		h.Set("Content-Type", "text/plain")
	}
	if a.status != http.StatusNotModified {
		h.Set("Content-Length", fmt.Sprint(len(a.body)))
	}
	w.WriteHeader(a.status)
	if c.method == http.MethodHead {
		return
	}
	if truncate > 0 && truncate < len(a.body) {
		_, _ = w.Write(a.body[:truncate])
		_ = http.NewResponseController(w).Flush() // what was written must arrive before the connection is cut
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(a.body) // the client may be gone
}

func contentType(r *http.Request) string {
	for _, level := range []string{"full", "none"} {
		if strings.Contains(r.Header.Get("Accept"), "odata.metadata="+level) {
			return "application/json; odata.metadata=" + level
		}
	}
	return "application/json; odata.metadata=minimal"
}

// dataHeaders are on every answer (section 2.4).
func (s *Server) dataHeaders(w http.ResponseWriter) {
	h := w.Header()
	id := randomGUID().String()
	h.Set("Cache-Control", "no-cache")
	h.Set("Expires", "-1")
	h.Set("Allow", "OPTIONS,GET,HEAD,POST")
	h.Set("Public", "OPTIONS,GET,HEAD,POST")
	h.Set("OData-Version", "4.0")
	h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	h["REQ_ID"] = []string{id + "," + id}
	h.Set("x-ms-service-request-id", id+","+id)
	h["CRM.ServiceId"] = []string{"CRMAppPool"}
	h["AuthActivityId"] = []string{randomGUID().String()}
	h.Set("X-Source", "1731719815223252,2081962121381")
	if hint := s.hint.Load(); hint > 0 {
		h.Set("x-ms-dop-hint", strconv.FormatInt(hint, 10))
	}
	h.Add("Set-Cookie", "ReqClientId="+id+"; expires=Fri, 03-May-2074 10:00:00 GMT; path=/; secure; HttpOnly")
}

// segment is one step of a path: accounts, accounts(key), WhoAmI().
type segment struct {
	name   string
	key    string // between the parentheses
	hasKey bool
}

// path splits what follows the version, which it checks.
func (c *call) path() ([]segment, *fault) {
	version, rest, _ := strings.Cut(strings.TrimPrefix(c.r.URL.EscapedPath(), "/api/data/"), "/")
	switch version {
	case "v9.0", "v9.1", "v9.2":
	default:
		return nil, &fault{status: http.StatusNotFound, code: "",
			message: fmt.Sprintf("No HTTP resource was found that matches the request URI '%s'.", origin(c.r)+c.r.URL.Path)}
	}
	c.base = origin(c.r) + "/api/data/" + version + "/"
	var out []segment
	for part := range strings.SplitSeq(strings.TrimSuffix(rest, "/"), "/") {
		text, err := url.PathUnescape(part)
		if err != nil {
			return nil, badRequest("Error in query syntax.")
		}
		s := segment{name: text}
		if name, k, ok := strings.Cut(text, "("); ok {
			if !strings.HasSuffix(k, ")") {
				return nil, badRequest("Error in query syntax.")
			}
			s = segment{name: name, key: strings.TrimSuffix(k, ")"), hasKey: true}
		}
		out = append(out, s)
	}
	return out, nil
}

// routeName is the path without its keys, for counts and faults.
func routeName(segments []segment) string {
	var parts []string
	for _, s := range segments {
		n := s.name
		if s.hasKey && s.key != "" {
			n += "(key)"
		}
		parts = append(parts, n)
	}
	name := strings.Join(parts, "/")
	if len(name) > 200 || name == "" {
		return "other"
	}
	return name
}
