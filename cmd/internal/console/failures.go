package console

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// Of so many connections so many errors are kept: a flood of one's pushes out no other's.
const mostConnections, mostOfOne = 500, 5

// A Failure is an answer that was an error, as its line in the log says it.
type Failure struct {
	At                                            time.Time
	Operation, Connection, Code, Cause, RequestID string
}

// Failures are the last answers of this process that were errors. What the log must not hold is
// not in them either.
type Failures struct {
	mu sync.Mutex
	by map[string][]Failure // connection
}

// Watch is a log that takes in the errors among the answers, too.
func (f *Failures) Watch(log slog.Handler) slog.Handler { return watched{log, f, nil} }

// of are the newest first: of one connection, or of all.
func (f *Failures) of(connection string) (all []Failure) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, some := range f.by {
		if connection == "" || connection == name {
			all = append(all, some...)
		}
	}
	slices.SortFunc(all, func(a, b Failure) int { return b.At.Compare(a.At) })
	return all[:min(len(all), 2*mostOfOne)]
}

func (f *Failures) add(one Failure) {
	f.mu.Lock()
	defer f.mu.Unlock()
	some, there := f.by[one.Connection]
	for name := range f.by {
		if there || len(f.by) < mostConnections {
			break
		}
		delete(f.by, name)
	}
	if f.by == nil {
		f.by = map[string][]Failure{}
	}
	f.by[one.Connection] = append(some[max(0, len(some)+1-mostOfOne):], one)
}

type watched struct {
	slog.Handler
	to    *Failures
	attrs []slog.Attr
}

func (w watched) WithAttrs(attrs []slog.Attr) slog.Handler {
	return watched{w.Handler.WithAttrs(attrs), w.to, append(slices.Clip(w.attrs), attrs...)}
}

// Enabled has errors come here from a quiet log, too.
func (w watched) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo || w.Handler.Enabled(ctx, level)
}

// Handle takes lines that have a code other than ok.
func (w watched) Handle(ctx context.Context, r slog.Record) error {
	one := Failure{At: r.Time}
	into := map[string]*string{"operation": &one.Operation, "connection": &one.Connection, "code": &one.Code,
		"request_id": &one.RequestID, "cause": &one.Cause}
	see := func(a slog.Attr) bool {
		if text := into[a.Key]; text != nil {
			*text = clip(strings.Trim(a.Value.Resolve().String(), "[]")) // what Dataverse said is a group
		}
		return one.Code != "ok"
	}
	if r.Attrs(see); one.Code != "" && one.Code != "ok" {
		for _, a := range w.attrs {
			see(a)
		}
		if one.Operation != "" { // an answer's line, and not one of a sign-in page or a refresh
			w.to.add(one)
		}
	}
	if !w.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return w.Handler.Handle(ctx, r)
}
