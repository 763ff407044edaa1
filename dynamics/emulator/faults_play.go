package emulator

import (
	"net/http"
	"strconv"
	"time"
)

// fault plays a waiting fault at Entra's endpoints; done means that the request is answered. The
// writer is to be used from then on.
func (s *Server) fault(w http.ResponseWriter, r *http.Request, where string, t trace) (out http.ResponseWriter,
	done bool) {
	x, ok := s.faults.next(where, "", false)
	if !ok {
		return w, false
	}
	if x.Number != 0 {
		return w, s.playRefusal(w, r, x, t)
	}
	if w, done = s.play(w, r, x); done {
		return w, true
	}
	if x.Truncate > 0 {
		return &cutter{ResponseWriter: w, left: x.Truncate}, false
	}
	return w, false
}

// play does what stands before the answer, and gives the answer where the fault has one. The writer
// is to be used from then on.
func (s *Server) play(w http.ResponseWriter, r *http.Request, x Fault) (out http.ResponseWriter, done bool) {
	s.tally.add(func(c *Counts) { c.Faults++ })
	if !wait(r, x.Delay) || x.Reset {
		panic(http.ErrAbortHandler) // the documented way to cut a connection
	}
	if x.DripBytes > 0 {
		w = &dripper{w, r, x.DripBytes, x.DripEvery}
	}
	if x.Status == 0 {
		return w, false
	}
	w.Header().Set("Content-Type", "text/html")
	s.faultHeaders(w, x)
	w.Header().Set("Content-Length", strconv.Itoa(len(x.Body)))
	w.WriteHeader(x.Status)
	_, _ = w.Write([]byte(x.Body)) // the client may be gone
	return w, true
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

// dripper sends bodies in pieces, with a wait after each.
type dripper struct {
	http.ResponseWriter
	r     *http.Request
	piece int
	every time.Duration
}

func (d *dripper) Write(b []byte) (int, error) {
	for at := 0; at < len(b); at += d.piece {
		if _, err := d.ResponseWriter.Write(b[at:min(at+d.piece, len(b))]); err != nil {
			return at, err
		}
		_ = http.NewResponseController(d.ResponseWriter).Flush() // else the pieces would arrive as one
		if !wait(d.r, d.every) {
			panic(http.ErrAbortHandler)
		}
	}
	return len(b), nil
}

func (d *dripper) Unwrap() http.ResponseWriter { return d.ResponseWriter }
