package interactive

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// Each request that the server has handed out before Shutdown is answered, also those that
// the client has not given to receive yet.
func TestShutdownAnswersWhatWasReceived(t *testing.T) {
	const requests = 3000
	requester := broker(t)
	c, err := Start(t.Context(), dial(t, requester.ConnectedUrl()),
		map[messages.Operation]route.Route{op: answering(
			func(context.Context, route.Call) (string, error) { return "fine", nil })},
		Options{BacklogMessages: 4 * requests, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
			Version: "0.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	inbox := requester.NewInbox()
	sub, err := requester.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	for i := range requests { // of several connections: on a slow machine many are refused, of one so many at a time
		if err := requester.PublishRequest(op.ScopedSubject(fmt.Sprint("acme", i%8)), inbox, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := requester.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := c.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for n := range requests {
		if _, err := sub.NextMsg(10 * time.Second); err != nil {
			t.Fatalf("%d of %d were answered: %v", n, requests, err)
		}
	}
}

// A process that is cut off from NATS finishes what is in flight and stops: nothing more
// can come.
func TestShutdownWhileCutOff(t *testing.T) {
	s := begun(t, &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	nc := dial(t, s.ClientURL())
	var finished atomic.Bool
	entered, leave := make(chan struct{}), make(chan struct{})
	c, err := Start(t.Context(), nc, map[messages.Operation]route.Route{op: answering(
		func(context.Context, route.Call) (string, error) {
			close(entered)
			<-leave
			finished.Store(true)
			return "fine", nil
		})}, Options{Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Version: "0.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	requester := dial(t, s.ClientURL())
	if err := requester.PublishRequest(op.ScopedSubject("acme"), requester.NewInbox(), nil); err != nil {
		t.Fatal(err)
	}
	arrives(t, entered)
	cutOff := nc.StatusChanged(nats.RECONNECTING)
	s.Shutdown()
	arrives(t, cutOff)
	time.AfterFunc(10*time.Millisecond, func() { close(leave) })
	grace, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.Shutdown(grace); err != nil || grace.Err() != nil || !finished.Load() {
		t.Errorf("%v, the grace: %v", err, grace.Err())
	}
}

// The services API lists every endpoint with its schemas, and counts honestly.
func TestTheServicesAPI(t *testing.T) {
	served := answering(func(context.Context, route.Call) (string, error) { return "", messages.Errorf(messages.NotFound, "no") })
	schemas := messages.Schemas{Request: `{"type":"object"}`, Reply: `{"type":["object"]}`}
	served.Schemas = func() (messages.Schemas, error) { return schemas, nil }
	_, requester := run(t, Options{}, served)
	if _, err := requester.Request(op.ScopedSubject("acme"), nil, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	ask := func(verb string, into any) {
		t.Helper()
		msg, err := requester.Request("$SRV."+verb+"."+ServiceName, nil, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(msg.Data, into); err != nil {
			t.Fatal(err)
		}
	}
	var ping micro.Ping
	var info micro.Info
	var stats micro.Stats
	ask("PING", &ping)
	ask("INFO", &info)
	ask("STATS", &stats)
	if ping.Type != micro.PingResponseType || info.ID != ping.ID || stats.ID != ping.ID || len(info.Endpoints) != 2 ||
		len(stats.Endpoints) != 2 {
		t.Fatalf("%+v %+v %+v", ping, info, stats)
	}
	for i, endpoint := range info.Endpoints {
		if endpoint.Name != op.Endpoint(i == 1) || endpoint.QueueGroup != messages.QueueGroup ||
			endpoint.Metadata[metadataRequest] != schemas.Request || endpoint.Metadata[metadataReply] != schemas.Reply {
			t.Errorf("%+v", endpoint)
		}
	}
	if scoped := stats.Endpoints[1]; scoped.NumRequests != 1 || scoped.NumErrors != 1 ||
		scoped.LastError != string(messages.NotFound) {
		t.Errorf("%+v", scoped)
	}
	// A reply subject that requests may not name is not answered here either.
	if err := requester.PublishRequest("$SRV.PING."+ServiceName, "campaigns.replies", nil); err != nil {
		t.Fatal(err)
	}
	ask("PING", &ping)
}
