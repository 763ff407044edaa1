package interactive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/crmbridge/crmbridge/dynamics/budget"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/handlers/streams"
	"github.com/crmbridge/crmbridge/messages"
)

// Options say how a Consumer takes requests.
type Options struct {
	// ReplySubjects are the patterns that a reply subject must match one of.
	// Nil means _INBOX.> and _R_.>.
	ReplySubjects []string
	// MaxInFlight limits the requests in flight; 0 means 256. Those beyond it wait in the
	// backlog, and are overloaded where that is full or takes too long.
	MaxInFlight int
	// PerConnection limits the requests in flight of one connection; 0 means 40.
	PerConnection int
	// BacklogMessages and BacklogBytes bound the messages that wait; 0 means 2048 and
	// 32 MiB. One connection may have a quarter of each. As many bytes again may wait in
	// the NATS client, for a moment, of each subscription.
	BacklogMessages int
	BacklogBytes    int
	// RequireScoped subscribes no plain subject except for connections.*.
	RequireScoped bool
	// Version is this build's, for the services API; it must be a semantic version.
	Version string
	// Memory bounds what requests in flight may hold together; nil bounds nothing.
	Memory *budget.Budget
	// Log gets one line an answer; what comes in floods is counted there.
	Log *slog.Logger
	// Metrics is where the consumer's metrics are registered.
	Metrics prometheus.Registerer
	// Tracer makes a span for each request that is worked on, as the child of the one that the
	// request names; nil makes none.
	Tracer trace.Tracer

	streamsFirst time.Duration // of [streams.Watch]; 0 is its own
}

// DefaultReplySubjects are the inboxes of NATS clients and of requests through an
// account import.
func DefaultReplySubjects() []string { return []string{"_INBOX.>", "_R_.>"} }

// DefaultMaxInFlight is Options.MaxInFlight's default.
const DefaultMaxInFlight = 256

// DefaultPerConnection is Options.PerConnection's default: as many calls as
// Dataverse is asked to take from one user.
const DefaultPerConnection = 40

// Defaults of the bounds of what waits.
const (
	DefaultBacklogMessages = 2048
	DefaultBacklogBytes    = 32 << 20
)

// withDefaults fills in what is zero.
func (o Options) withDefaults() Options {
	if o.ReplySubjects == nil {
		o.ReplySubjects = DefaultReplySubjects()
	}
	o.MaxInFlight = cmp.Or(o.MaxInFlight, DefaultMaxInFlight)
	o.PerConnection = cmp.Or(o.PerConnection, DefaultPerConnection)
	o.BacklogMessages = cmp.Or(o.BacklogMessages, DefaultBacklogMessages)
	o.BacklogBytes = cmp.Or(o.BacklogBytes, DefaultBacklogBytes)
	return o
}

// Start subscribes every operation and answers requests until Shutdown. It fails
// where a JetStream stream captures request subjects. Subscriptions that the server
// refuses are no failure: Ready reports them, and they are made again. Start waits
// while the client reconnects. It takes over the connection's error handler, and passes
// on to the previous one what is not about a subscription.
func Start(ctx context.Context, nc *nats.Conn, routes map[messages.Operation]route.Route, options Options) (*Consumer,
	error) {
	options = options.withDefaults()
	rule, err := newReplyRule(options.ReplySubjects)
	if err != nil {
		return nil, err
	}
	c := &Consumer{
		nc: nc, log: options.Log, replies: rule, metrics: newMetrics(options.Metrics), memory: options.Memory,
		journal: newJournal(options.Log, slices.Collect(maps.Keys(routes))...), identity: newIdentity(options.Version),
		pendingBytes:  options.BacklogBytes,
		subscriptions: newSubscriptions(nc, options.Log), streams: streams.NewWatch(nc, options.Log),
	}
	c.streams.First = options.streamsFirst
	c.refuser = newRefuser(c.deny, c.undeniable, c.readingLate)
	c.admission = newAdmission(admissionBounds{inFlight: options.MaxInFlight, perConnection: options.PerConnection,
		messages: options.BacklogMessages, bytes: options.BacklogBytes}, c.begin, c.refuser.put)
	c.workers.work = c.answer
	c.metrics.watch(options.Metrics, c.admission.load, c.subscriptions.refusals)
	c.values = valuesOf(ctx)
	c.working, c.abandon = context.WithCancel(c.values)
	c.endpoints = endpoints(routes, options.RequireScoped)
	for _, e := range c.endpoints {
		e.counts.begin(e.operation, c.metrics)
	}
	c.traceWith(options.Tracer)
	c.subscribe()
	err = c.discover()
	c.tend()
	if err == nil {
		err = c.streams.Start(ctx)
	}
	if err == nil {
		err = c.subscriptions.start(ctx)
	}
	if err != nil {
		c.stopIntake()
		c.giveUp()
		c.work.Wait()
		c.workers.stop()
		c.stopTending()
		return nil, err
	}
	return c, nil
}

// endpoints are the subscriptions that the routes ask for, in the order of their
// names so that the services API lists them alike in every process.
func endpoints(routes map[messages.Operation]route.Route, requireScoped bool) []*endpoint {
	var all []*endpoint
	for op, r := range routes {
		if !requireScoped || r.Admin {
			all = append(all, &endpoint{name: op.Endpoint(false), subject: op.Subject(), operation: op, route: r})
		}
		all = append(all, &endpoint{name: op.Endpoint(true), subject: op.ScopedSubject("*"), operation: op, route: r})
	}
	slices.SortFunc(all, func(a, b *endpoint) int { return strings.Compare(a.name, b.name) })
	return all
}

// subscribe names the subscriptions that requests come by.
func (c *Consumer) subscribe() {
	for _, e := range c.endpoints {
		c.subscriptions.add(&subscribed{subject: e.subject, required: true, make: func() (*nats.Subscription, error) {
			return c.bounded()(c.nc.QueueSubscribe(e.subject, messages.QueueGroup,
				func(msg *nats.Msg) { c.receive(e, msg) }))
		}})
	}
}

// Ready reports whether requests that reach the server reach this process: nil, or
// the first that is wrong of Draining, Connected, Subscribed and Captured.
func (c *Consumer) Ready() error {
	for _, check := range []func() error{c.Draining, c.Connected, c.Subscribed, c.Captured} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// Draining is an error once Shutdown has begun.
func (c *Consumer) Draining() error {
	if c.closing.Load() {
		return errors.New("shutting down")
	}
	return nil
}

// Connected is an error while there is no connection to NATS.
func (c *Consumer) Connected() error {
	if !c.nc.IsConnected() {
		return errors.New("not connected to NATS")
	}
	return nil
}

// Subscribed is an error while the NATS server refuses a subscription for requests:
// which one, and the permission or limit that would help. It is made again until the
// server takes it.
func (c *Consumer) Subscribed() error { return c.subscriptions.refusal() }

// Undescribed is an error while the server refuses subscriptions of the services API.
// Requests are answered without them, but nats micro does not list this process.
func (c *Consumer) Undescribed() error { return c.subscriptions.undescribed() }

// Captured is [streams.ErrCaptured] while a stream that captures requests is known; one
// that is known at the start is an error of Start.
func (c *Consumer) Captured() error { return c.streams.Captured() }

// Dropped counts the requests that the NATS client threw away since the start
// because they came faster than this process took them.
func (c *Consumer) Dropped() int64 { return c.subscriptions.dropped() }

// Shutdown stops intake and answers what has been received: it waits for requests in
// flight and in the backlog until ctx ends; then what is left is abandoned and answered
// unavailable.
func (c *Consumer) Shutdown(ctx context.Context) error {
	c.closing.Store(true)
	c.stopIntake()
	defer c.stopTending()
	defer c.abandon()
	done := make(chan struct{})
	go func() {
		c.waitDrained()
		c.work.Wait()
		c.workers.stop()
		c.workers.all.Wait()
		close(done)
	}()
	select {
	case <-done:
		return c.lastFlush()
	case <-ctx.Done():
	}
	c.log.Warn("the grace is over; what waits and what is in flight is abandoned and answered so")
	c.giveUp()
	select {
	case <-done:
		return c.lastFlush()
	case <-time.After(abandonWait):
		return errors.New("some requests did not end after they were abandoned")
	}
}

// giveUp ends what is in flight, and refuses what waits and what still arrives.
func (c *Consumer) giveUp() {
	c.abandon()
	c.workers.abandon()
	c.admission.abandon()
}

// abandonWait is how long operations get to notice that they were abandoned.
const abandonWait = 5 * time.Second

func (c *Consumer) stopIntake() {
	c.streams.Stop()
	c.subscriptions.end()
	c.subscriptions.drain()
}

// waitDrained waits until every callback that the drained subscriptions still
// owe has run: after it no more work begins.
func (c *Consumer) waitDrained() {
	if c.nc.IsConnected() {
		// The server works in order: once it answers it sends nothing more by these
		// subscriptions. Where the connection breaks instead, nothing more comes either.
		ctx, cancel := context.WithTimeout(c.working, confirmWait)
		_ = c.nc.FlushWithContext(ctx)
		cancel()
	}
	handled := make(chan struct{})
	if err := c.nc.Barrier(func() { close(handled) }); err != nil {
		return // the connection is closed, and its callbacks have ended with it
	}
	select {
	case <-handled:
	case <-c.working.Done():
	}
}

// lastFlush waits until the server has the last answers. It has a bound of its own: the
// grace may be over while answers are written but not sent.
func (c *Consumer) lastFlush() error {
	if !c.nc.IsConnected() {
		c.log.Warn("not connected to NATS: answers that were not sent are lost")
		return nil
	}
	if err := c.nc.FlushTimeout(2 * time.Second); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("flush the last answers: %w", err)
	}
	return nil
}
