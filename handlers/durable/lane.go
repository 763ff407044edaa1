package durable

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/crmbridge/crmbridge/dynamics/budget"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/handlers/streams"
	"github.com/crmbridge/crmbridge/messages"
)

// Connections tells of connections; *tokens.Store does, by way of cmd.
type Connections interface {
	// Incarnation is that of a connection. Its errors are those of package tokens, of code
	// connection_not_found where there is no connection.
	Incarnation(ctx context.Context, connection string) (string, error)
}

// A Sealer encrypts checkpoints. Every process has the same keys.
type Sealer interface {
	Seal(plaintext, associatedData []byte) ([]byte, error)
	Open(sealed, associatedData []byte) ([]byte, error)
}

// Slots are the process's slots, as the interactive lane shares them out. Jobs leave a
// quarter of them to requests.
type Slots interface {
	// Take takes a slot for a page of a job, if jobs may have one more now.
	Take() bool
	// Give gives a slot back.
	Give()
	// Freed yields after a slot may have become free; it has a capacity of one.
	Freed() <-chan struct{}
}

// Options say how the lane works. Zero values mean the default.
type Options struct {
	Connections Connections // required
	// Stored is the incarnation that a connection has now, never from a cache, "" where there
	// is none: jobs are run and ended by it. nil asks Connections.
	Stored func(ctx context.Context, connection string) (string, error)
	Sealer Sealer         // required
	Memory *budget.Budget // nil: not bounded

	// MaxInFlight is how many pages and requests the process may have in hand; four times as many
	// jobs may be open. Default 256.
	MaxInFlight int
	// PerConnection is USER_CONCURRENCY: how many calls of one user the fleet has in flight.
	PerConnection int
	// ResultsMaxBytes is what CRM_RESULTS is made for; one connection may hold a quarter of the
	// stream's own bound. Default 4 GiB.
	ResultsMaxBytes int64
	// JobMaxBytes bounds the results of one job. Default 4 GiB.
	JobMaxBytes int64
	// JobLifetime is how long after its publication a job may still run. Default 24 h.
	JobLifetime time.Duration
	// Replicas are those of streams that are made here. Default 1.
	Replicas int
	// Tables are served beside messages.Tables.
	Tables []messages.Table

	Log     *slog.Logger
	Metrics prometheus.Registerer
	// Tracer makes a span for each run of a job, with a link to the one that published it; nil
	// makes none.
	Tracer trace.Tracer

	// Lease is how long a record may stay as it is before its job is taken over, and
	// Heartbeat how often its owner rewrites it. Defaults 15 s and 5 s; tests shorten them.
	Lease, Heartbeat time.Duration
}

// DefaultMaxInFlight and the other defaults are those of Options.
const (
	DefaultMaxInFlight     = 256
	DefaultPerConnection   = 40
	DefaultResultsMaxBytes = 4 << 30
	DefaultJobMaxBytes     = 4 << 30
	DefaultJobLifetime     = 24 * time.Hour
	defaultLease           = 15 * time.Second
	defaultHeartbeat       = 5 * time.Second
)

// withDefaults fills in what is zero.
func (o Options) withDefaults() Options {
	o.MaxInFlight = cmp.Or(o.MaxInFlight, DefaultMaxInFlight)
	o.PerConnection = cmp.Or(o.PerConnection, DefaultPerConnection)
	o.ResultsMaxBytes = cmp.Or(o.ResultsMaxBytes, DefaultResultsMaxBytes)
	o.JobMaxBytes = cmp.Or(o.JobMaxBytes, DefaultJobMaxBytes)
	o.JobLifetime = cmp.Or(o.JobLifetime, DefaultJobLifetime)
	o.Replicas = cmp.Or(o.Replicas, 1)
	o.Lease = cmp.Or(o.Lease, defaultLease)
	o.Heartbeat = cmp.Or(o.Heartbeat, defaultHeartbeat)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = prometheus.NewRegistry()
	}
	return o
}

// A Lane runs jobs between Start and Shutdown. Any number of them, in any number of
// processes, share the work.
type Lane struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	ledger  ledger
	options Options
	name    string // of this process, in records: no two have the same
	log     *slog.Logger
	metrics *metrics
	began   time.Time

	routes map[messages.Operation]route.Route
	slots  Slots
	board  *board
	early  early // records of jobs that are not read yet
	shares *shares
	places places // of the pages that were read last
	// execute runs a claimed job; tests replace it.
	execute func(ctx context.Context, c claimed, turn turnFunc) outcome

	kick   chan struct{} // yields after something may have become possible
	seldom seldom

	// following is cancelled when intake ends, working with the cause that ends executions.
	following context.Context
	unfollow  context.CancelFunc
	working   context.Context
	abandon   context.CancelCauseFunc
	intake    sync.WaitGroup // follower, dispatcher, reading on
	work      sync.WaitGroup // jobs in hand

	state    follower
	standing standing
	// recountEvery and pullWait are the follower's; tests shorten them.
	recountEvery, pullWait time.Duration
}

// New makes a lane that Start starts. Until then it answers that there is none.
func New(nc *nats.Conn, options Options) (*Lane, error) {
	if options.Connections == nil || options.Sealer == nil {
		return nil, errors.New("the durable lane needs Connections and a Sealer")
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("JetStream: %w", err)
	}
	options = options.withDefaults()
	l := &Lane{nc: nc, js: js, options: options, name: nuid.Next(), log: options.Log,
		began: time.Now(), kick: make(chan struct{}, 1)}
	l.standing.ask = make(chan struct{}, 1)
	l.standing.fresh, l.standing.every = standingFresh, standingEvery
	l.standing.made, l.standing.anew = map[string]time.Time{}, map[string]time.Time{}
	l.ledger = ledger{js, &l.standing.refused}
	l.seldom.log = options.Log
	l.board = newBoard(options.PerConnection, options.MaxInFlight, options.Lease, l.name)
	l.metrics = newMetrics(options.Metrics, l)
	l.execute, l.shares = l.run, newShares(l)
	l.following, l.unfollow = context.WithCancel(context.Background())
	l.working, l.abandon = context.WithCancelCause(context.Background())
	l.state.missing, l.recountEvery, l.pullWait = notStarted, defaultRecount, defaultPull
	return l, nil
}

// firstWait is how long Start waits for the streams.
const firstWait = 5 * time.Second

// Start makes the streams where they are missing, and takes jobs in until Shutdown. Where
// there can be no durable lane (no JetStream, an old one, no room) that is logged, Trouble
// and the operations of jobs say so, and it is tried again; it is no error, since requests are
// answered without it. An error of Start is one of the settings.
func (l *Lane) Start(ctx context.Context, routes map[messages.Operation]route.Route, slots Slots) error {
	l.routes, l.slots = routes, slots
	l.metrics.foresee(routes)
	l.board.knows = func(op messages.Operation) bool { _, ok := routes[op]; return ok }
	first, cancel := context.WithTimeout(ctx, firstWait)
	err := l.prepare(first)
	cancel()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, streams.ErrLifetime) {
		return err
	}
	l.intake.Go(func() { l.follow(l.following, err) })
	l.intake.Go(func() { l.dispatch(l.following) })
	l.intake.Go(func() { l.watch(l.following) })
	return nil
}

// stopWait is how long executions get to notice that they were ended for good.
const stopWait = 5 * time.Second

// Shutdown ends intake, and gives the jobs in hand back at once: another process goes on
// with them. It waits until their records say so, or until ctx ends.
func (l *Lane) Shutdown(ctx context.Context) error {
	l.unfollow()
	l.abandon(errStopping)
	done := make(chan struct{})
	go func() {
		l.intake.Wait()
		l.work.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-done:
		return nil
	case <-time.After(stopWait):
		return errors.New("some jobs were not given back; other processes take them over when their lease has run out")
	}
}

// Trouble is why jobs are not run, or not heard of, "" where they are.
func (l *Lane) Trouble() string { return l.state.trouble() }

// missing is why there is no durable lane, "" where there is one.
func (l *Lane) missing() string { return l.state.lacks() }

// A seldom logs what comes again and again once a minute.
type seldom struct {
	log  *slog.Logger
	mu   sync.Mutex
	last time.Time
}

func (s *seldom) warn(text string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); s.last.IsZero() || now.Sub(s.last) >= time.Minute {
		s.last = now
		s.log.Warn(text, args...)
	}
}
