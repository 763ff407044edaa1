package handlers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/crmbridge/crmbridge/dynamics/budget"
	"github.com/crmbridge/crmbridge/messages"
)

// Options say how a Consumer takes requests.
type Options struct {
	// ReplySubjects are the patterns that a reply subject must match one of.
	// Nil means _INBOX.> and _R_.>.
	ReplySubjects []string
	// MaxInFlight bounds the requests in hand at once; 0 means 256. Beyond it, and
	// beyond a connection's part of it, the answer is overloaded.
	MaxInFlight int
	// PerConnection bounds the requests of one connection that run at once, the
	// others in hand wait their turn; 0 means 40.
	PerConnection int
	// RequireScoped subscribes no plain subject except for connections.*.
	RequireScoped bool
	// Version is this build's, for the services API; it must be a semantic version.
	Version string
	// Memory bounds what requests in hand may hold together; nil bounds nothing.
	Memory *budget.Budget
	// MetadataBytes bounds the metadata that is kept in memory; 0 means 64 MiB.
	MetadataBytes int64
	// Log gets one line an answer.
	Log *slog.Logger
	// Metrics is where the consumer's metrics are registered.
	Metrics prometheus.Registerer
}

// DefaultReplySubjects are the inboxes of NATS clients and of requests through an
// account import.
func DefaultReplySubjects() []string { return []string{"_INBOX.>", "_R_.>"} }

// DefaultMaxInFlight is Options.MaxInFlight's default.
const DefaultMaxInFlight = 256

// DefaultPerConnection is Options.PerConnection's default: as many calls as
// Dataverse is asked to take from one user.
const DefaultPerConnection = 40

// Start subscribes every operation and answers requests until Shutdown. It fails
// where a JetStream stream captures request subjects.
func Start(ctx context.Context, nc *nats.Conn, operations *Operations, options Options) (*Consumer, error) {
	operations.catalog.share(operations.Metadata, options.Log)
	operations.catalog.most = cmp.Or(options.MetadataBytes, maxCatalogBytes)
	return start(ctx, nc, operations.routes(), options)
}

func start(ctx context.Context, nc *nats.Conn, routes map[messages.Operation]route, options Options) (*Consumer, error) {
	if options.ReplySubjects == nil {
		options.ReplySubjects = DefaultReplySubjects()
	}
	if options.MaxInFlight == 0 {
		options.MaxInFlight = DefaultMaxInFlight
	}
	if options.PerConnection == 0 {
		options.PerConnection = DefaultPerConnection
	}
	rule, err := newReplyRule(options.ReplySubjects)
	if err != nil {
		return nil, err
	}
	if err := checkStreams(ctx, nc, options.Log); err != nil {
		return nil, err
	}
	c := &Consumer{
		nc: nc, log: options.Log, replies: rule, metrics: newMetrics(options.Metrics), memory: options.Memory,
		admission: newAdmission(options.MaxInFlight, options.PerConnection), identity: newIdentity(options.Version),
	}
	c.working, c.abandon = context.WithCancel(context.WithoutCancel(ctx))
	c.endpoints = endpoints(routes, options.RequireScoped)
	if err := errors.Join(c.subscribe(), c.discover(), flush(ctx, nc)); err != nil {
		c.stopIntake()
		c.abandon()
		return nil, err
	}
	return c, nil
}

// endpoints are the subscriptions that the routes ask for, in the order of their
// names so that the services API lists them alike in every process.
func endpoints(routes map[messages.Operation]route, requireScoped bool) []*endpoint {
	var all []*endpoint
	for op, r := range routes {
		if !requireScoped || r.admin {
			all = append(all, &endpoint{name: op.Endpoint(false), subject: op.Subject(), operation: op, route: r})
		}
		all = append(all, &endpoint{name: op.Endpoint(true), subject: op.ScopedSubject("*"), operation: op, route: r})
	}
	slices.SortFunc(all, func(a, b *endpoint) int { return strings.Compare(a.name, b.name) })
	return all
}

func (c *Consumer) subscribe() error {
	for _, e := range c.endpoints {
		sub, err := c.nc.QueueSubscribe(e.subject, messages.QueueGroup, func(msg *nats.Msg) { c.receive(e, msg) })
		if err != nil {
			return fmt.Errorf("subscribe to %s: %w", e.subject, err)
		}
		e.sub = sub
	}
	return nil
}

// flush waits until the server has the subscriptions, so that a process which
// says that it is ready is.
func flush(ctx context.Context, nc *nats.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("the NATS server did not confirm the subscriptions: %w", err)
	}
	return nil
}

// Ready reports whether requests that reach the server reach this process.
func (c *Consumer) Ready() error {
	switch {
	case c.closing.Load():
		return errors.New("shutting down")
	case !c.nc.IsConnected():
		return errors.New("not connected to NATS")
	}
	return nil
}

// Shutdown stops intake, answers what has been received, and waits for the work
// in hand until ctx ends; then what is left is abandoned and answered unavailable.
func (c *Consumer) Shutdown(ctx context.Context) error {
	c.closing.Store(true)
	c.stopIntake()
	defer c.abandon()
	done := make(chan struct{})
	go func() {
		c.waitDrained()
		c.work.Wait()
		close(done)
	}()
	select {
	case <-done:
		return c.lastFlush()
	case <-ctx.Done():
	}
	c.log.Warn("the grace is over; work in hand is abandoned and answered so")
	c.abandon()
	select {
	case <-done:
		return c.lastFlush()
	case <-time.After(abandonWait):
		return errors.New("some requests did not end after they were abandoned")
	}
}

// abandonWait is how long operations get to notice that they were abandoned.
const abandonWait = 5 * time.Second

func (c *Consumer) stopIntake() {
	for _, e := range c.endpoints {
		if e.sub != nil {
			_ = e.sub.Drain() // fails only where the connection is gone, and then nothing comes in
		}
	}
	for _, sub := range c.discovery {
		_ = sub.Drain()
	}
}

// waitDrained waits until every callback that the drained subscriptions still
// owe has run: after it no more work begins.
func (c *Consumer) waitDrained() {
	const look = 5 * time.Millisecond
	for _, e := range c.endpoints {
		for e.sub.IsValid() && !c.nc.IsClosed() && c.working.Err() == nil {
			if waiting, _, err := e.sub.Pending(); !c.nc.IsConnected() && (err != nil || waiting == 0) {
				break // cut off from the server: nothing more can come
			}
			time.Sleep(look)
		}
	}
}

// lastFlush sees the last answers to the server. A bound of its own: the grace
// may be over, and the answers are written but not sent.
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

// ErrCaptured says that a JetStream stream would answer requests in crmbridge's
// place.
var ErrCaptured = errors.New("requests are captured")

// checkStreams refuses to start beside a stream that captures requests: it would
// answer every requester with its own acknowledgement.
func checkStreams(ctx context.Context, nc *nats.Conn, log *slog.Logger) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("JetStream: %w", err)
	}
	for _, subject := range messages.RequestSubjects() {
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		names := js.StreamNames(ctx, jetstream.WithStreamListSubject(subject))
		for name := range names.Name() {
			return fmt.Errorf("%w: stream %s captures request subjects (%s): requesters would get its acknowledgement for an answer; take them out of its subjects", ErrCaptured, name, subject)
		}
		switch err := names.Err(); {
		case err == nil, withoutJetStream(err):
		case errors.Is(err, context.DeadlineExceeded):
			// A user without the right to ask gets no answer at all.
			log.Warn("it could not be checked whether a stream captures requests; may this NATS user publish to $JS.API.>?", "subject", subject)
			return nil
		default:
			return fmt.Errorf("ask JetStream which streams capture %s: %w", subject, err)
		}
	}
	return nil
}

// withoutJetStream reports whether the server or the account has no JetStream:
// then there is nothing to find out.
func withoutJetStream(err error) bool {
	return errors.Is(err, jetstream.ErrJetStreamNotEnabled) ||
		errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) ||
		errors.Is(err, nats.ErrNoResponders)
}
