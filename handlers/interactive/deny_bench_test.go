package interactive

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
	"github.com/crmbridge/crmbridge/messages"
)

// BenchmarkReceiveInAFlood is what one message of a flood costs the callback, and
// BenchmarkDeny what its refusal costs, without the NATS client's part of
// reading and with its part of writing:
//
//	go test ./handlers -run '^$' -bench 'Deny|Receive'
func BenchmarkReceiveInAFlood(b *testing.B) {
	c, e := flooded(b)
	c.refuser.send = func(denial) { c.work.Done() }
	for i := 0; b.Loop(); i++ {
		c.receive(e, &nats.Msg{Subject: op.ScopedSubject("acme"), Reply: fmt.Sprintf("_INBOX.flood.%d", i),
			Data:   []byte("{}"),
			Header: nats.Header{messages.HeaderDeadline: {"2099-01-01T00:00:00Z"}}})
	}
}

func BenchmarkDeny(b *testing.B) {
	c, e := flooded(b)
	q := &connQueue{name: "acme"}
	for i := 0; b.Loop(); i++ {
		c.work.Add(1)
		c.deny(denial{e: e, queue: q, arrived: time.Now(), why: verdict{messages.Overloaded, time.Second},
			msg: &nats.Msg{Subject: op.ScopedSubject("acme"), Reply: fmt.Sprintf("_INBOX.flood.%d", i)}})
	}
}

// flooded is a consumer whose connection acme has as much in flight as it may.
func flooded(b *testing.B) (*Consumer, *endpoint) {
	b.Helper()
	s := streamstest.Server(b, nil)
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	release := make(chan struct{})
	c, err := Start(b.Context(), nc, map[messages.Operation]route.Route{op: answering(
		func(ctx context.Context, _ route.Call) (string, error) {
			<-release
			return "fine", nil
		})}, Options{PerConnection: 1, BacklogMessages: 8, Log: slog.New(slog.DiscardHandler),
		Metrics: prometheus.NewRegistry(), Version: "0.0.0"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		close(release)
		if err := c.Shutdown(context.Background()); err != nil {
			b.Error(err)
		}
	})
	return c, c.endpoints[1]
}
