package interactive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/handlers/streams"
	"github.com/crmbridge/crmbridge/messages"
)

// JetStream that cannot say which streams capture requests keeps nobody from
// starting. It is asked again, and a stream that is found then makes the consumer
// not ready for as long as it is there.
func TestJetStreamThatCannotSay(t *testing.T) {
	for _, c := range []struct{ name, answer string }{
		{"no leader", `{"error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}}`},
		{"too busy", `{"error":{"code":429,"err_code":10167,"description":"too many requests"}}`},
		{"an unreadable answer", `<html>`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := begun(t, &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
			requester := dial(t, s.ClientURL())
			var answer atomic.Value
			answer.Store(c.answer)
			if _, err := requester.Subscribe("$JS.API.STREAM.NAMES", func(msg *nats.Msg) { _ = msg.Respond([]byte(answer.Load().(string))) }); err != nil {
				t.Fatal(err)
			}
			if err := requester.Flush(); err != nil {
				t.Fatal(err)
			}
			log := &logged{}
			nc := dial(t, s.ClientURL())
			consumer, err := Start(t.Context(), nc,
				map[messages.Operation]route.Route{op: answering(
					func(context.Context, route.Call) (string, error) { return "fine", nil })},
				Options{Log: slog.New(slog.NewTextHandler(log, nil)), Metrics: prometheus.NewRegistry(), Version: "0.0.0",
					streamsFirst: 50 * time.Millisecond})
			if err != nil {
				t.Fatalf("%v; log: %s", err, log)
			}
			defer func() {
				if err := consumer.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
			}()
			if err := consumer.Ready(); err != nil {
				t.Error(err)
			}
			if _, err := requester.Request(op.ScopedSubject("acme"), nil, 10*time.Second); err != nil {
				t.Error(err)
			}
			if n := strings.Count(log.String(), "level=WARN"); n != 1 {
				t.Errorf("%d warnings: %s", n, log)
			}
			answer.Store(`{"total":1,"offset":0,"limit":1024,"streams":["GREEDY"]}`)
			await(t, "not ready", func() error {
				if err := consumer.Ready(); !errors.Is(err, streams.ErrCaptured) || !strings.Contains(err.Error(), "GREEDY") {
					return fmt.Errorf("%v", err)
				}
				return nil
			})
			answer.Store(`{"total":0,"offset":0,"limit":1024,"streams":[]}`)
			await(t, "ready", consumer.Ready)
		})
	}
}
