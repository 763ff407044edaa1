package interactive

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// A stall is an upstream that stops for a while: nobody passes while it lasts.
type stall struct{ sync.RWMutex }

func (s *stall) pass() {
	if s == nil {
		return
	}
	s.RLock()
	defer s.RUnlock()
}

// What is in flight evenly over connections, each with no more than its even share of the
// slots, is never refused: not where requesters ask again as soon as they have an answer,
// and not where everything stands still for longer than requests otherwise wait.
func TestAnEvenLoadIsNeverRefused(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: its upstream stands still for seconds")
	}
	for name, c := range map[string]struct{ upstream, log *stall }{
		"an upstream that stands still": {upstream: &stall{}},
		"a log that stands still":       {log: &stall{}},
	} {
		t.Run(name, func(t *testing.T) { evenLoad(t, c.upstream, c.log) })
	}
}

// slowLog is a log whose lines wait while it stands still.
type slowLog struct {
	slog.Handler
	*stall
}

func (l slowLog) Handle(context.Context, slog.Record) error { l.pass(); return nil }
func (l slowLog) Enabled(context.Context, slog.Level) bool  { return true }
func (l slowLog) WithAttrs([]slog.Attr) slog.Handler        { return l }

func evenLoad(t *testing.T, upstream, log *stall) {
	nc := broker(t)
	c, err := Start(t.Context(), dial(t, nc.ConnectedUrl()), map[messages.Operation]route.Route{op: answering(
		func(context.Context, route.Call) (string, error) {
			upstream.pass()
			return "fine", nil
		})}, Options{Log: slog.New(slowLog{slog.DiscardHandler, log}), Metrics: prometheus.NewRegistry(), Version: "0.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	const connections, each = 32, 6 // 192 of 256
	codes := make(chan messages.Code, 100_000)
	stop := make(chan struct{})
	var asking sync.WaitGroup
	for i := range connections * each {
		asking.Go(func() {
			subject := op.ScopedSubject(fmt.Sprint("c", i%connections))
			for {
				select {
				case <-stop:
					return
				default:
				}
				msg := &nats.Msg{Subject: subject, Data: []byte("{}"), Header: nats.Header{messages.HeaderDeadline: {
					time.Now().Add(3500 * time.Millisecond).UTC().Format(time.RFC3339Nano)}}}
				reply, err := nc.RequestMsg(msg, time.Minute)
				if err != nil {
					t.Error(err)
					return
				}
				codes <- messages.Code(reply.Header.Get(messages.HeaderErrorCode))
			}
		})
	}
	got := map[messages.Code]int{}
	some := func(n int) {
		for range n {
			got[arrives(t, codes)]++
		}
	}
	some(10_000)
	for range 3 {
		still := cmp.Or(upstream, log)
		still.Lock()
		time.Sleep(1200 * time.Millisecond) // longer than a request with this deadline waits for a slot
		still.Unlock()
		some(5000)
	}
	close(stop)
	asking.Wait()
	for len(codes) > 0 {
		some(1)
	}
	t.Log(got)
	if len(got) != 1 || got[""] == 0 {
		t.Errorf("answers by code: %v", got)
	}
}
