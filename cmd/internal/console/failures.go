package console

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	mostFailures  = 1000 // that are kept
	mostOfOne     = 10   // of them, of one connection: a flood of its errors pushes out no other's
	mostOfText    = 300  // characters of whatever is shown
	shownFailures = 10
)

// A Failure is an answer that was an error, as its line in the log says it.
type Failure struct {
	At                                            time.Time
	Operation, Connection, Code, Cause, RequestID string
}

// Failures are the last answers of this process that were errors. What the log must not hold is
// not in them either.
type Failures struct {
	mu  sync.Mutex
	all []*Failure
}

// Watch is a log that takes the errors among the answers in, too.
func (f *Failures) Watch(log slog.Handler) slog.Handler { return watched{log, f, nil} }

// of are the newest first: of one connection, or of all.
func (f *Failures) of(connection string) (found []Failure) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, one := range slices.Backward(f.all) {
		if len(found) < shownFailures && (connection == "" || one.Connection == connection) {
			found = append(found, *one)
		}
	}
	return found
}

func (f *Failures) add(one *Failure) {
	f.mu.Lock()
	defer f.mu.Unlock()
	first, n := 0, 0
	for i, other := range f.all {
		if other.Connection == one.Connection {
			if n++; n == 1 {
				first = i
			}
		}
	}
	if n >= mostOfOne {
		f.all = slices.Delete(f.all, first, first+1)
	} else if len(f.all) >= mostFailures {
		f.all = slices.Delete(f.all, 0, 1)
	}
	f.all = append(f.all, one)
}

// cause words why: of what Dataverse said its words and numbers.
func cause(v slog.Value) string {
	if v.Kind() != slog.KindGroup {
		return v.String()
	}
	var words []string
	for _, a := range v.Group() {
		if a.Key == "status" || a.Key == "code" || a.Key == "message" {
			words = append(words, a.Value.Resolve().String())
		}
	}
	return strings.Join(words, " ")
}

type watched struct {
	slog.Handler
	to    *Failures
	attrs []slog.Attr
}

func (w watched) WithAttrs(attrs []slog.Attr) slog.Handler {
	return watched{w.Handler.WithAttrs(attrs), w.to, append(slices.Clip(w.attrs), attrs...)}
}

func (w watched) WithGroup(name string) slog.Handler {
	return watched{w.Handler.WithGroup(name), w.to, w.attrs}
}

// Handle takes lines of answers that have a code other than ok, also those that count several.
func (w watched) Handle(ctx context.Context, r slog.Record) error {
	var one Failure
	see := func(a slog.Attr) bool {
		switch a.Key {
		case "operation":
			one.Operation = a.Value.Resolve().String()
		case "connection":
			one.Connection = a.Value.Resolve().String()
		case "code":
			one.Code = a.Value.Resolve().String()
			return one.Code != "ok"
		case "cause":
			one.Cause = cause(a.Value.Resolve())
		case "request_id":
			one.RequestID = a.Value.Resolve().String()
		}
		return true
	}
	if r.Attrs(see); one.Code != "" && one.Code != "ok" {
		for _, a := range w.attrs {
			see(a)
		}
		for _, text := range []*string{&one.Operation, &one.Connection, &one.Code, &one.Cause, &one.RequestID} {
			*text = clip(*text)
		}
		one.At = r.Time
		w.to.add(&one)
	}
	return w.Handler.Handle(ctx, r)
}
