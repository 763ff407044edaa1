package main

import (
	"cmp"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// An upstream stands between the network and the emulated Dataverse: it delays pages and
// counts those that were answered in full.
type upstream struct {
	delay atomic.Int64 // of a page, nanoseconds
	slow  atomic.Int64 // of WhoAmI, nanoseconds
	// pages counts the pages of rows that were answered with 200, lookups the answers to
	// queries for a single row, and everything the other ones.
	pages, lookups, everything atomic.Int64
	inFlight                   atomic.Int64
}

func (u *upstream) setDelay(d time.Duration) { u.delay.Store(int64(d)) }

func (u *upstream) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if delay := time.Duration(u.slow.Load()); delay > 0 && strings.HasSuffix(r.URL.Path, "/WhoAmI") {
			sleep(r.Context(), delay)
		}
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, "/accounts") {
			next.ServeHTTP(w, r)
			u.everything.Add(1)
			return
		}
		lookup := r.URL.Query().Get("$top") == "1"
		if delay := time.Duration(u.delay.Load()); delay > 0 && !lookup {
			u.inFlight.Add(1)
			waited := sleep(r.Context(), delay)
			u.inFlight.Add(-1)
			if !waited {
				return // who asked is gone
			}
		}
		status := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(status, r) // a fault that cuts the answer panics, and is not counted
		switch {
		// Not the request's context: a client may have read all and be gone already.
		case status.status != http.StatusOK || status.err != nil:
		case lookup:
			u.lookups.Add(1)
		default:
			u.pages.Add(1)
		}
	})
}

// A statusWriter remembers the status, and the first error of writing.
type statusWriter struct {
	http.ResponseWriter
	status int
	err    error
}

func (w *statusWriter) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	w.err = cmp.Or(w.err, err)
	return n, err
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// reset counts from zero.
func (u *upstream) reset() {
	u.pages.Store(0)
	u.lookups.Store(0)
	u.everything.Store(0)
}
