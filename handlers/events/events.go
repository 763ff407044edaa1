// Package events publishes the changes of connections that package tokens keeps in its
// outbox, and tells the outbox what arrived.
package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/crmbridge/crmbridge/handlers/streams"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// Changes are where events come from; *tokens.Store is one.
type Changes interface {
	// Changed yields after a change of this process.
	Changed() <-chan struct{}
	// PublishChanges gives what waits to publish and forgets what it took.
	PublishChanges(ctx context.Context, publish func(context.Context, tokens.Change) error) (int, error)
	// PublishRecentChanges is PublishChanges of what changed within the last seconds.
	PublishRecentChanges(ctx context.Context, publish func(context.Context, tokens.Change) error) (int, error)
	// MayPublishAll reports whether it is this process's turn to publish all that waits.
	MayPublishAll(ctx context.Context) bool
	// OnDropped has call called where a change is given up that nobody took.
	OnDropped(call func(connection string))
}

// A Publisher publishes the changes of connections to JetStream. Every process runs
// one: a change is published by the process that made it, at once, and by
// another one within seconds where that process died. The stream knows a change
// that comes twice by its Nats-Msg-Id.
type Publisher struct {
	js        jetstream.JetStream
	changes   Changes
	log       *slog.Logger
	published *prometheus.CounterVec

	ready  bool         // the stream is there
	all    bool         // everything that waits is looked at: something could not be published
	allAt  time.Time    // when this process asks whether it is to do that in any case
	looked time.Time    // when the last look began
	state  string       // what was logged last
	shown  atomic.Value // of string: why events wait
	stop   context.CancelFunc
	tried  chan struct{} // closed when the stream was asked for once
	done   chan struct{}

	dropped droppedLog
}

const (
	eventsLook  = 2 * time.Second  // between two looks for others' changes, and as much again by chance
	eventsAll   = 30 * time.Second // between two looks at everything that waits, and as much again by chance
	eventsLate  = 10 * time.Second // after the last look: what changed since may not be recent any more
	eventsAgain = 3 * time.Second  // before JetStream is asked again where it is not set up
	eventsWait  = 5 * time.Second  // for one answer of JetStream
	eventsSoon  = 2 * time.Second  // for the stream, and for the last events
)

// Start publishes until Shutdown, and makes the stream CRM_EVENTS where it is missing. It waits
// for nothing. A NATS without JetStream, or one that is away, is logged and tried again; nothing
// else depends on it.
func Start(ctx context.Context, nc *nats.Conn, changes Changes, log *slog.Logger,
	metrics prometheus.Registerer) (*Publisher, error) {
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(eventsWait))
	if err != nil {
		return nil, fmt.Errorf("JetStream: %w", err)
	}
	e := &Publisher{js: js, changes: changes, log: log, all: true,
		tried: make(chan struct{}), done: make(chan struct{}),
		published: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crmbridge_events_published_total", Help: "Events acknowledged by JetStream, by kind; repeats count.",
		}, []string{"kind"})}
	metrics.MustRegister(e.published)
	for _, kind := range []string{tokens.ChangeConnected, tokens.ChangeReauthorizationRequired, tokens.ChangeDeleted} {
		e.published.WithLabelValues(kind)
	}
	e.dropped.log = log
	changes.OnDropped(e.dropped.report)
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	e.stop = stop
	go e.run(life)
	return e, nil
}

// AwaitStream waits until the stream is there, as far as JetStream answers within 2 s, or until
// ctx ends.
func (e *Publisher) AwaitStream(ctx context.Context) {
	select {
	case <-e.tried:
	case <-ctx.Done():
	}
}

// Shutdown publishes what is left, for 2 s at most, and stops.
func (e *Publisher) Shutdown(ctx context.Context) {
	e.stop()
	<-e.done
	if e.ready && e.js.Conn().IsConnected() {
		ctx, cancel := context.WithTimeout(ctx, eventsSoon)
		defer cancel()
		e.round(ctx) // what does not get out now is another process's, or waits for one
	}
}

func (e *Publisher) run(ctx context.Context) {
	defer close(e.done)
	e.ready = e.makeStream(ctx) == nil // otherwise the first round logs why
	close(e.tried)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.changes.Changed():
		case <-timer.C:
		}
		timer.Reset(e.round(ctx))
	}
}

// round publishes what waits and says when to look again.
func (e *Publisher) round(ctx context.Context) time.Duration {
	if !e.ready {
		if err := e.makeStream(ctx); err != nil {
			e.report(ctx, "events are not published until JetStream is there: "+streams.Why(err), nil)
			return eventsAgain
		}
		e.ready = true
	}
	_, err := e.looker(ctx)(ctx, e.publish)
	e.all = err != nil
	if errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders) {
		e.ready = false // somebody removed the stream: make it again
	}
	if err != nil {
		e.report(ctx, "events wait to be published", err)
		return eventsLook
	}
	e.report(ctx, "", nil)
	return eventsLook + rand.N(eventsLook)
}

// looker is what publishes in this round: what changed lately, or all that waits where a change
// may be older than that: something could not be published, the last look is long ago or took
// long, or it is this process's turn.
func (e *Publisher) looker(ctx context.Context) func(context.Context,
	func(context.Context, tokens.Change) error) (int, error) {
	now := time.Now()
	all := e.all || now.Sub(e.looked) > eventsLate
	e.looked = now
	if now.After(e.allAt) {
		e.allAt = now.Add(eventsAll + rand.N(eventsAll))
		all = e.changes.MayPublishAll(ctx) || all
	}
	if all {
		return e.changes.PublishChanges
	}
	return e.changes.PublishRecentChanges
}

// Trouble is why events wait to be published; "" where they do not. Requests are
// answered all the same.
func (e *Publisher) Trouble() string {
	text, _ := e.shown.Load().(string)
	return text
}

// report logs a fault once, and once that it is over.
func (e *Publisher) report(ctx context.Context, what string, err error) {
	switch {
	case ctx.Err() != nil || what == e.state:
		return
	}
	if err != nil {
		e.shown.Store(what + ": " + err.Error())
	} else {
		e.shown.Store(what)
	}
	switch {
	case what == "":
		e.log.Info("events are published again")
	case err != nil:
		e.log.Warn(what, "error", err)
	default:
		e.log.Warn(what)
	}
	e.state = what
}

// A droppedLog logs which connections lose events, each of them once in an hour: while
// JetStream is away, a connection whose grant comes and goes loses one with every
// change.
type droppedLog struct {
	log *slog.Logger

	mu     sync.Mutex
	logged map[string]time.Time // by connection
}

const (
	droppedAgain = time.Hour // between two lines about one connection
	maxDropped   = 1000      // connections whose last line is remembered
)

func (d *droppedLog) report(connection string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if last, ok := d.logged[connection]; ok && now.Sub(last) < droppedAgain {
		return
	}
	if d.logged == nil || len(d.logged) >= maxDropped {
		d.logged = map[string]time.Time{}
	}
	d.logged[connection] = now
	d.log.Warn("events of a connection are lost: too many wait to be published, and the oldest are dropped",
		"connection", connection)
}

// makeStream makes the stream where it is missing.
func (e *Publisher) makeStream(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, eventsSoon)
	defer cancel()
	return streams.Events(ctx, e.js)
}

func (e *Publisher) publish(ctx context.Context, c tokens.Change) error {
	msg := nats.NewMsg(messages.EventSubject(c.Kind, c.Connection))
	var err error
	if msg.Data, err = json.Marshal(eventOf(c)); err != nil {
		return fmt.Errorf("encode an event: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, eventsWait)
	defer cancel()
	if _, err := e.js.PublishMsg(ctx, msg, jetstream.WithMsgID(c.ID()),
		jetstream.WithExpectStream(messages.EventsStream)); err != nil {
		return err
	}
	e.published.WithLabelValues(c.Kind).Inc()
	return nil
}

func eventOf(c tokens.Change) messages.ConnectionEvent {
	return messages.ConnectionEvent{EventID: c.ID(), Kind: c.Kind, Connection: c.Connection,
		EnvironmentURL: c.EnvironmentURL,
		At:             c.At.UTC().Truncate(time.Millisecond), Status: c.Status, Incarnation: c.Incarnation,
		Version:   c.Version,
		LastError: c.LastError}
}
