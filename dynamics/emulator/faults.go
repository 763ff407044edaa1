package emulator

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// The places where a [Fault] can strike; empty means FaultData.
const (
	FaultData      = "data"
	FaultToken     = "token"
	FaultAuthorize = "authorize"
	FaultDiscovery = "discovery" // openid-configuration, keys and instance discovery
)

// The ready-made faults of [Fault.Kind].
const (
	// KindThrottle is 429 with Retry-After and the body of the place that it strikes.
	KindThrottle = "throttle"
	// KindGateway is 502 with a page of HTML, as a proxy on the way answers.
	KindGateway = "gateway"
	// KindPortal is 200 with a page of HTML: a captive portal.
	KindPortal = "portal"
	// KindCutJSON is 200 and JSON that ends in the middle of a string, with a Content-Length that agrees.
	KindCutJSON = "cut-json"
)

// Fault is a bad answer to come.
type Fault struct {
	// Where is one of the constants above. Times is how many requests it takes; 0 means 1, negative until [Control.Clear].
	Where string `json:"where,omitempty"`
	Times int    `json:"times,omitempty"`
	// Route limits a data fault to one route of [Counts.Data].
	Route string `json:"route,omitempty"`
	// Kind fills in Status, Header and Body where they are empty.
	Kind string `json:"kind,omitempty"`
	// Number, when not 0, makes it a refusal of Entra's: the AADSTS number, with the OAuth error (empty means invalid_grant),
	// suberror and claims, and Body as its text. Status 0 means the one that Entra uses.
	Number   int    `json:"number,omitempty"`
	Error    string `json:"error,omitempty"`
	Suberror string `json:"suberror,omitempty"`
	Claims   string `json:"claims,omitempty"`
	// Status, Header and Body replace the answer when Status is not 0. Without Content-Type the body is sent as text/html, as
	// gateways do.
	Status int               `json:"status,omitempty"`
	Header map[string]string `json:"header,omitempty"`
	Body   string            `json:"body,omitempty"`
	// RetryAfter is the header of that name in seconds, when above 0; RetryAfterDate sends it as the date that it comes to.
	RetryAfter     int  `json:"retry_after,omitempty"`
	RetryAfterDate bool `json:"retry_after_date,omitempty"`
	// Delay is waited first (nanoseconds in JSON). Reset closes the connection without an answer. Truncate, when above 0, ends the true answer
	// (Status 0) after so many bytes of body and closes the connection: the request has had its effect.
	Delay    time.Duration `json:"delay,omitempty"`
	Reset    bool          `json:"reset,omitempty"`
	Truncate int           `json:"truncate,omitempty"`
}

// check refuses a place or kind that does not exist, which would never strike.
func (x Fault) check() error {
	if !slices.Contains([]string{"", FaultData, FaultToken, FaultAuthorize, FaultDiscovery}, x.Where) {
		return fmt.Errorf("where is %q; it must be data, token, authorize or discovery", x.Where)
	}
	if !slices.Contains([]string{"", KindThrottle, KindGateway, KindPortal, KindCutJSON}, x.Kind) {
		return fmt.Errorf("kind is %q; it must be throttle, gateway, portal or cut-json", x.Kind)
	}
	return nil
}

type faults struct {
	mu   sync.Mutex
	list []*Fault
}

// next takes the first fault that applies.
func (f *faults) next(where, route string) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, x := range f.list {
		if x.Where != where || (x.Route != "" && x.Route != route) {
			continue
		}
		hit := *x
		if x.Times > 0 {
			if x.Times--; x.Times == 0 {
				f.list = append(f.list[:i:i], f.list[i+1:]...)
			}
		}
		return hit, true
	}
	return Fault{}, false
}

// fault plays a waiting fault at Entra's endpoints; done means that the request is answered. The writer is to be used from then on.
func (s *Server) fault(w http.ResponseWriter, r *http.Request, where string, t trace) (out http.ResponseWriter, done bool) {
	x, ok := s.faults.next(where, "")
	if !ok {
		return w, false
	}
	if x.Number != 0 {
		return w, s.playRefusal(w, r, x, t)
	}
	if s.play(w, r, x) {
		return w, true
	}
	if x.Truncate > 0 {
		return &cutter{ResponseWriter: w, left: x.Truncate}, false
	}
	return w, false
}

func (s *Server) play(w http.ResponseWriter, r *http.Request, x Fault) bool {
	s.tally.add(func(c *Counts) { c.Faults++ })
	if !wait(r, x.Delay) || x.Reset {
		panic(http.ErrAbortHandler) // the documented way to cut a connection
	}
	x = x.filled()
	if x.Status == 0 {
		return false
	}
	w.Header().Set("Content-Type", "text/html")
	s.faultHeaders(w, x)
	w.Header().Set("Content-Length", strconv.Itoa(len(x.Body)))
	w.WriteHeader(x.Status)
	_, _ = w.Write([]byte(x.Body)) // the client may be gone
	return true
}

func (s *Server) playRefusal(w http.ResponseWriter, r *http.Request, x Fault, t trace) bool {
	s.tally.add(func(c *Counts) { c.Faults++ })
	if !wait(r, x.Delay) {
		panic(http.ErrAbortHandler)
	}
	kind, text := x.Error, x.Body
	if kind == "" {
		kind = "invalid_grant"
	}
	if text == "" {
		text = "The request was refused by a fault of the emulator."
	}
	e := &entraError{status: x.Status, kind: kind, number: x.Number, text: text, suberror: x.Suberror, claims: x.Claims}
	s.faultHeaders(w, x)
	if x.Where == FaultAuthorize {
		s.errorPage(w, e, t)
	} else {
		e.write(w, s.authority(r), t)
	}
	return true
}

func (s *Server) faultHeaders(w http.ResponseWriter, x Fault) {
	switch {
	case x.RetryAfter > 0 && x.RetryAfterDate:
		w.Header().Set("Retry-After", s.opts.Now().Add(time.Duration(x.RetryAfter)*time.Second).UTC().Format(http.TimeFormat))
	case x.RetryAfter > 0:
		w.Header().Set("Retry-After", strconv.Itoa(x.RetryAfter))
	}
	for k, v := range x.Header {
		w.Header().Set(k, v)
	}
}

// filled is the fault with what its kind stands for.
func (x Fault) filled() Fault {
	status, kind, body := 0, "", ""
	switch x.Kind {
	case KindThrottle:
		status, kind = http.StatusTooManyRequests, "application/json; charset=utf-8"
		body = `{"error":{"code":"0x80072322","message":"Number of requests exceeded the limit of 6000 over time window of 300 seconds."}}`
		if x.Where != FaultData {
			body = `{"error":"temporarily_unavailable","error_description":"AADSTS90055: There are too many incoming requests.","error_codes":[90055]}`
		}
	case KindGateway:
		status, kind = http.StatusBadGateway, "text/html"
		body = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
	case KindPortal:
		status, kind = http.StatusOK, "text/html; charset=utf-8"
		body = "<!doctype html><html><head><title>Guest network</title></head><body><h1>Please accept the terms of this network</h1></body></html>"
	case KindCutJSON:
		status, kind, body = http.StatusOK, "application/json; charset=utf-8", `{"token_type":"Bearer","scope":"user_imp`
	default:
		return x
	}
	if x.Status == 0 {
		x.Status = status
	}
	if x.Body == "" {
		x.Body = body
	}
	if _, ok := x.Header["Content-Type"]; !ok {
		h := map[string]string{"Content-Type": kind}
		for k, v := range x.Header {
			h[k] = v
		}
		x.Header = h
	}
	if x.Kind == KindThrottle && x.RetryAfter == 0 && x.Header["Retry-After"] == "" {
		x.RetryAfter = 1
	}
	return x
}

// cutter lets so many bytes of an answer through and cuts the connection then.
type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(b []byte) (int, error) {
	if len(b) < c.left {
		c.left -= len(b)
		return c.ResponseWriter.Write(b)
	}
	_, _ = c.ResponseWriter.Write(b[:c.left])
	_ = http.NewResponseController(c.ResponseWriter).Flush() // what was written must arrive before the connection is cut
	panic(http.ErrAbortHandler)
}

func (c *cutter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// Fail queues a fault; faults are taken in order.
func (c Control) Fail(f Fault) {
	if f.Where == "" {
		f.Where = FaultData
	}
	if f.Times == 0 {
		f.Times = 1
	}
	c.s.faults.mu.Lock()
	defer c.s.faults.mu.Unlock()
	c.s.faults.list = append(c.s.faults.list, &f)
}

// Clear drops the faults that have not struck.
func (c Control) Clear() {
	c.s.faults.mu.Lock()
	defer c.s.faults.mu.Unlock()
	c.s.faults.list = nil
}
