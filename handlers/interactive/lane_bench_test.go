package interactive

import (
	"context"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/crmbridge/crmbridge/dynamics/budget"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
	"github.com/crmbridge/crmbridge/messages"
)

// BenchmarkLane is one request through the lane, from the NATS message to its reply, of an
// operation that does nothing; BenchmarkBareEcho is the same with nats.go alone and a
// goroutine a message. cpu-ns/op is the time of the whole process, requester and NATS
// server included; what BenchmarkLane has more is the lane's own:
//
//	go test ./handlers/interactive -run '^$' -bench 'Lane|BareEcho' -benchmem -count 5
func BenchmarkLane(b *testing.B) {
	for name, c := range laneRequests {
		b.Run(name, func(b *testing.B) { benchmarkAsk(b, servedByLane(b, true), c()) })
	}
}

func BenchmarkBareEcho(b *testing.B) {
	for name, c := range laneRequests {
		b.Run(name, func(b *testing.B) { benchmarkAsk(b, echoing(b), c()) })
	}
}

// laneRequests are the ways in which a request names its connection and its deadline.
var laneRequests = map[string]func() *nats.Msg{
	"scoped": func() *nats.Msg { return &nats.Msg{Subject: op.ScopedSubject("acme"), Data: []byte("{}")} },
	"headers": func() *nats.Msg {
		return &nats.Msg{Subject: op.Subject(), Data: []byte(`{"connection":"acme"}`), Header: nats.Header{
			messages.HeaderRequestID: {"0198c1b2-7e4f-7a1b-8c3d-0123456789ab"},
			messages.HeaderDeadline:  {time.Now().Add(time.Hour).UTC().Format(time.RFC3339Nano)}}}
	},
}

// servedByLane starts a consumer of an operation that does nothing, and returns a requester.
func servedByLane(tb testing.TB, bounded bool) *nats.Conn {
	nc, requester := pair(tb)
	var memory *budget.Budget
	if bounded {
		var err error
		if memory, err = budget.New(budget.Bounds{Bytes: 64 << 20}); err != nil {
			tb.Fatal(err)
		}
	}
	body := []byte(`{"request_id":"x"}`)
	parts := func(yield func(route.Part, error) bool) { yield(route.Part{Body: body, Last: true, Rows: 1}, nil) }
	nothing := route.Route{Serve: func(_ context.Context, c route.Call, _ []byte) route.Answer {
		c.Connection = "acme"
		return route.Answer{Call: c, Parts: parts}
	}}
	c, err := Start(tb.Context(), nc, map[messages.Operation]route.Route{op: nothing}, Options{Memory: memory,
		Log: slog.New(writesNothing{slog.DiscardHandler}), Metrics: prometheus.NewRegistry(), Version: "0.0.0"})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := c.Shutdown(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	return requester
}

// writesNothing is a log that is on, at no cost of its own.
type writesNothing struct{ slog.Handler }

func (writesNothing) Enabled(context.Context, slog.Level) bool { return true }
func (w writesNothing) WithAttrs([]slog.Attr) slog.Handler     { return w }

// echoing starts what answers each message at once, with a header as the lane's, and
// returns a requester.
func echoing(tb testing.TB) *nats.Conn {
	nc, requester := pair(tb)
	header := nats.Header{messages.HeaderRequestID: {"0198c1b2-7e4f-7a1b-8c3d-0123456789ab"}}
	body := []byte(`{"request_id":"x"}`)
	for _, subject := range []string{op.Subject(), op.ScopedSubject("*")} {
		_, err := nc.QueueSubscribe(subject, messages.QueueGroup, func(msg *nats.Msg) {
			go func() {
				if err := nc.PublishMsg(&nats.Msg{Subject: msg.Reply, Header: header, Data: body}); err != nil {
					tb.Error(err)
				}
			}()
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		tb.Fatal(err)
	}
	return requester
}

// pair is a NATS server with two connections.
func pair(tb testing.TB) (*nats.Conn, *nats.Conn) {
	s := streamstest.Server(tb, nil)
	var conns [2]*nats.Conn
	for i := range conns {
		nc, err := nats.Connect(s.ClientURL())
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(nc.Close)
		conns[i] = nc
	}
	return conns[0], conns[1]
}

func benchmarkAsk(b *testing.B, requester *nats.Conn, msg *nats.Msg) {
	ask := asking(b, requester, msg)
	for range 100 {
		ask()
	}
	b.ReportAllocs()
	var before, after syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		ask()
	}
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(after.Utime.Nano()+after.Stime.Nano()-before.Utime.Nano()-before.Stime.Nano())/float64(b.N),
		"cpu-ns/op")
}

// asking returns a function that sends the request and waits for its reply.
func asking(tb testing.TB, requester *nats.Conn, msg *nats.Msg) func() {
	msg.Reply = requester.NewInbox()
	got := make(chan *nats.Msg, 1)
	if _, err := requester.ChanSubscribe(msg.Reply, got); err != nil {
		tb.Fatal(err)
	}
	return func() {
		if err := requester.PublishMsg(msg); err != nil {
			tb.Fatal(err)
		}
		if reply := <-got; reply.Header.Get(messages.HeaderErrorCode) != "" {
			tb.Fatal(reply.Header)
		}
	}
}
