package events

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An outbox has changes that wait; what is published is taken out.
type outbox struct {
	changed chan struct{}

	mu      sync.Mutex
	waiting []tokens.Change
	dropped func(connection string)
}

func (o *outbox) Changed() <-chan struct{} { return o.changed }

func (o *outbox) OnDropped(call func(connection string)) { o.dropped = call }

func (o *outbox) PublishChanges(ctx context.Context,
	publish func(context.Context, tokens.Change) error) (n int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.waiting) > 0 {
		if err := publish(ctx, o.waiting[0]); err != nil {
			return n, err
		}
		o.waiting = o.waiting[1:]
		n++
	}
	return n, nil
}

// The outbox has recent changes only.
func (o *outbox) PublishRecentChanges(ctx context.Context,
	publish func(context.Context, tokens.Change) error) (n int, err error) {
	return o.PublishChanges(ctx, publish)
}

func (o *outbox) MayPublishAll(context.Context) bool { return true }

// put adds changes and wakes the publisher, as a change of this process does.
func (o *outbox) put(changes ...tokens.Change) {
	o.mu.Lock()
	o.waiting = append(o.waiting, changes...)
	o.mu.Unlock()
	select {
	case o.changed <- struct{}{}:
	default:
	}
}

func (o *outbox) left() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.waiting)
}

func change(connection string, version int64) tokens.Change {
	return tokens.Change{Kind: messages.EventConnected, Connection: connection, Incarnation: "1", Version: version,
		EnvironmentURL: "https://o.crm.dynamics.com",
		Status:         messages.StatusActive, At: time.Date(2026, 1, 31, 12, 0, 0, 123_456_789, time.UTC)}
}

// started runs a publisher on a server with JetStream or without.
func started(t *testing.T, withJetStream bool) (*outbox, *Publisher, jetstream.JetStream) {
	t.Helper()
	s := streamstest.Server(t, func(o *server.Options) { o.JetStream = withJetStream })
	nc, js := streamstest.Connect(t, s)
	changes := &outbox{changed: make(chan struct{}, 1)}
	p, err := Start(t.Context(), nc, changes, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	p.AwaitStream(t.Context())
	return changes, p, js
}

// await waits until try finds nothing wrong.
func await(t *testing.T, what string, try func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}

// A change becomes an event of the contract's form, once however often it is published,
// and the stream is made again where somebody removed it.
func TestChangesBecomeEvents(t *testing.T) {
	changes, p, js := started(t, true)
	published := func(n uint64) {
		t.Helper()
		await(t, "events", func() error {
			stream, err := js.Stream(t.Context(), messages.EventsStream)
			if err != nil {
				return err
			}
			if have := stream.CachedInfo().State.Msgs; have != n || changes.left() > 0 {
				return errors.New("they are not all there")
			}
			return nil
		})
	}
	changes.put(change("acme", 1), change("acme", 1), change("globex", 1))
	published(2)
	stream, err := js.Stream(t.Context(), messages.EventsStream)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := stream.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	var event messages.ConnectionEvent
	if err := json.Unmarshal(msg.Data, &event); err != nil ||
		msg.Subject != messages.EventSubject(messages.EventConnected, "acme") ||
		event.EventID != change("acme", 1).ID() || event.At.Nanosecond() != 123_000_000 ||
		event.Status != messages.StatusActive {
		t.Errorf("%v: %s %s", err, msg.Subject, msg.Data)
	}
	if err := js.DeleteStream(t.Context(), messages.EventsStream); err != nil {
		t.Fatal(err)
	}
	changes.put(change("acme", 2))
	published(1)
	if p.Trouble() != "" {
		t.Error(p.Trouble())
	}
	p.Shutdown(t.Context())
}

// What changed last is published by Shutdown, although nobody woke the publisher.
func TestShutdownPublishesTheLast(t *testing.T) {
	changes, p, js := started(t, true)
	changes.mu.Lock()
	changes.waiting = append(changes.waiting, change("acme", 1))
	changes.mu.Unlock()
	p.Shutdown(t.Context())
	stream, err := js.Stream(t.Context(), messages.EventsStream)
	if err != nil || stream.CachedInfo().State.Msgs != 1 || changes.left() != 0 {
		t.Errorf("%v: %d left", err, changes.left())
	}
}

// Without JetStream changes wait, and it is said why.
func TestWithoutJetStreamChangesWait(t *testing.T) {
	changes, p, _ := started(t, false)
	changes.put(change("acme", 1))
	await(t, "trouble", func() error {
		if !strings.Contains(p.Trouble(), "has none") {
			return errors.New(p.Trouble())
		}
		return nil
	})
	p.Shutdown(t.Context())
	if changes.left() != 1 {
		t.Errorf("%d changes are left", changes.left())
	}
}
