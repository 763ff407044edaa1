package interactive

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// A deadline is capped at MaxDeadline from receipt, where the request is worked on and
// where it waits; without one there is a default.
func TestDeadlinesAreCapped(t *testing.T) {
	arrived := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"":                          messages.DefaultDeadline,
		"2026-01-31T12:00:07Z":      7 * time.Second,
		"2026-01-31T13:00:07+01:00": 7 * time.Second,
		"2026-01-31T11:00:00Z":      -time.Hour,
		"2026-01-31T12:05:00Z":      5 * time.Minute,
		"2026-01-31T12:05:01Z":      5 * time.Minute,
		"2126-01-31T12:00:00Z":      5 * time.Minute,
	} {
		msg := &nats.Msg{Subject: op.ScopedSubject("acme"), Header: nats.Header{}}
		if text != "" {
			msg.Header.Set(messages.HeaderDeadline, text)
		}
		call, fault := newCall(op, msg, arrived)
		if fault != nil || call.Deadline.Sub(arrived) != want {
			t.Errorf("%q: %s, %v, want %s", text, call.Deadline.Sub(arrived), fault, want)
		}
		if got := deadlineOf(msg, arrived).Sub(arrived); got != want {
			t.Errorf("%q: waits for %s, want %s", text, got, want)
		}
	}
}

func TestHeadersOfARequest(t *testing.T) {
	long := strings.Repeat("x", 600)
	for name, c := range map[string]struct {
		subject string
		header  nats.Header
		path    string
	}{
		"a request id with a space": {op.ScopedSubject("acme"), nats.Header{messages.HeaderRequestID: {"a b"}}, messages.HeaderRequestID},
		"a long request id":         {op.ScopedSubject("acme"), nats.Header{messages.HeaderRequestID: {long}}, messages.HeaderRequestID},
		"a deadline in words":       {op.ScopedSubject("acme"), nats.Header{messages.HeaderDeadline: {"soon"}}, messages.HeaderDeadline},
		"a connection with a sign":  {op.ScopedSubject("ac!me"), nil, "connection"},
		"a long connection":         {op.ScopedSubject(strings.Repeat("x", 65)), nil, "connection"},
		"a plain subject":           {op.Subject(), nil, ""},
		"all in order":              {op.ScopedSubject("acme"), nats.Header{messages.HeaderRequestID: {"x"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			call, fault := newCall(op, &nats.Msg{Subject: c.subject, Header: c.header}, time.Now())
			if (fault == nil) != (c.path == "") || fault != nil && fault.Details[0].Path != c.path {
				t.Errorf("%v, want a fault of %q", fault, c.path)
			}
			if fault != nil && !messages.ValidRequestID(call.RequestID) {
				t.Errorf("request id %q", call.RequestID)
			}
			if c.path == "connection" && call.Connection != "" {
				t.Errorf("connection %q", call.Connection)
			}
		})
	}
	got := route.Trace(nats.Header{"Traceparent": {"00-1"}, "TRACESTATE": {strings.Repeat("x", 513)}})
	if len(got) != 1 || got[messages.HeaderTraceParent][0] != "00-1" {
		t.Errorf("%v", got)
	}
	if got := route.Trace(nats.Header{"tracestate": {strings.Repeat("x", 512)},
		"traceparent": {"a\nb"}}); len(got) != 1 {
		t.Errorf("%v", got)
	}
}

// A request that is refused before it is worked on never reaches its operation.
func TestWhatIsRefusedIsNotExecuted(t *testing.T) {
	var ran atomic.Int64
	_, nc := run(t, Options{}, answering(func(context.Context, route.Call) (string, error) { ran.Add(1); return "fine", nil }))
	for name, c := range map[string]struct {
		header nats.Header
		body   string
		want   messages.Code
	}{
		"its deadline passed":    {nats.Header{messages.HeaderDeadline: {"2020-01-01T00:00:00Z"}}, "{}", messages.DeadlineExceeded},
		"a deadline in words":    {nats.Header{messages.HeaderDeadline: {"soon"}}, "{}", messages.InvalidRequest},
		"another connection":     {nil, `{"connection":"globex"}`, messages.InvalidRequest},
		"a body that is no JSON": {nil, `{`, messages.InvalidRequest},
	} {
		msg, err := nc.RequestMsg(&nats.Msg{Subject: op.ScopedSubject("acme"), Header: c.header, Data: []byte(c.body)},
			time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if code := codeIn(t, msg); code != c.want || ran.Load() != 0 {
			t.Errorf("%s: code %q, executed %d times", name, code, ran.Load())
		}
	}
}

// A connection can be looked after while its requests are stuck.
func TestAdministrationHasAQueueOfItsOwn(t *testing.T) {
	requester := broker(t)
	entered, leave := make(chan struct{}, 10), make(chan struct{})
	stuck := answering(func(ctx context.Context, _ route.Call) (string, error) {
		entered <- struct{}{}
		<-leave
		return "fine", nil
	})
	const administer messages.Operation = "tests.administer"
	c, err := Start(t.Context(), dial(t, requester.ConnectedUrl()), map[messages.Operation]route.Route{op: stuck,
		administer: route.Administrative(answering(
			func(context.Context, route.Call) (string, error) { return "done", nil }))},
		Options{Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Version: "0.0.0", PerConnection: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		close(leave)
		if err := c.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	inbox := requester.NewInbox()
	subscribe(t, requester, inbox)
	ask(t, requester, "acme", inbox+".1", nil)
	arrives(t, entered)
	ask(t, requester, "acme", inbox+".2", nil)
	for _, msg := range []*nats.Msg{{Subject: administer.ScopedSubject("acme")}, {Subject: administer.Subject(), Data: []byte(`{"connection":"acme"}`)}} {
		msg.Header = nats.Header{messages.HeaderDeadline: {time.Now().Add(10 * time.Second).UTC().Format(time.RFC3339Nano)}}
		got, err := requester.RequestMsg(msg, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if code := codeIn(t, got); code != "" {
			t.Errorf("%s: %q", msg.Subject, code)
		}
	}
}

// A request that ended for want of an answer is no sign that its environment answers.
func TestWhatWasNotAnsweredIsNoSignOfLife(t *testing.T) {
	for code, want := range map[messages.Code]bool{"": true, messages.NotFound: true, messages.Throttled: true,
		messages.DeadlineExceeded: false, messages.Unavailable: false} {
		requester := broker(t)
		c := &Consumer{nc: requester, journal: newJournal(slog.New(slog.DiscardHandler)),
			metrics: newMetrics(prometheus.NewRegistry()), working: t.Context(), values: t.Context()}
		e := &endpoint{operation: op, route: answering(func(context.Context, route.Call) (string, error) {
			if code != "" {
				return "", messages.Errorf(code, "so")
			}
			return "fine", nil
		})}
		e.counts.begin(op, c.metrics)
		r := &request{e: e, msg: &nats.Msg{Subject: op.ScopedSubject("acme"), Reply: requester.NewInbox()},
			arrived: time.Now()}
		if got := c.handle(&worker{}, r); got != want {
			t.Errorf("%q: %v", code, got)
		}
	}
}

func TestLevelsOfAnswers(t *testing.T) {
	if route.Level(nil) != slog.LevelInfo {
		t.Error("success is not said at level info")
	}
	for code, want := range map[messages.Code]slog.Level{
		messages.Internal: slog.LevelError, messages.ConfigurationError: slog.LevelError,
		messages.UpstreamError: slog.LevelWarn, messages.Unavailable: slog.LevelWarn, messages.Overloaded: slog.LevelWarn,
		messages.InvalidRequest: slog.LevelInfo, messages.NotFound: slog.LevelInfo, messages.DeadlineExceeded: slog.LevelInfo,
	} {
		if got := route.Level(messages.Errorf(code, "so")); got != want {
			t.Errorf("%s: %s", code, got)
		}
	}
}
