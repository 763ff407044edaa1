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

// Watch is a log that takes in the errors among the answers, too.
func (f *Failures) Watch(log slog.Handler) slog.Handler { return watched{log, f, nil} }

// of are the newest first: of one connection, or of all.
func (f *Failures) of(connection string) (newest []*Failure) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, one := range slices.Backward(f.all) {
		if len(newest) < shownFailures && (connection == "" || one.Connection == connection) {
			newest = append(newest, one)
		}
	}
	return newest
}

func (f *Failures) add(one *Failure) {
	f.mu.Lock()
	defer f.mu.Unlock()
	first, n := 0, 0
	for i, other := range slices.Backward(f.all) {
		if other.Connection == one.Connection {
			first, n = i, n+1
		}
	}
	if n >= mostOfOne {
		f.all = slices.Delete(f.all, first, first+1)
	} else if len(f.all) >= mostFailures {
		f.all = slices.Delete(f.all, 0, 1)
	}
	f.all = append(f.all, one)
}

type watched struct {
	slog.Handler
	to    *Failures
	attrs []slog.Attr
}

func (w watched) WithAttrs(attrs []slog.Attr) slog.Handler {
	return watched{w.Handler.WithAttrs(attrs), w.to, append(slices.Clip(w.attrs), attrs...)}
}

// Handle takes lines that have a code other than ok.
func (w watched) Handle(ctx context.Context, r slog.Record) error {
	one := Failure{At: r.Time}
	into := map[string]*string{"operation": &one.Operation, "connection": &one.Connection, "code": &one.Code,
		"request_id": &one.RequestID, "cause": &one.Cause}
	see := func(a slog.Attr) bool {
		if text := into[a.Key]; text != nil {
			value := a.Value.Resolve()
			if *text = clip(value.String()); value.Kind() == slog.KindGroup { // what Dataverse said
				*text = clip(strings.Trim(value.String(), "[]"))
			}
		}
		return one.Code != "ok"
	}
	if r.Attrs(see); one.Code != "" && one.Code != "ok" {
		for _, a := range w.attrs {
			see(a)
		}
		w.to.add(&one)
	}
	return w.Handler.Handle(ctx, r)
}
