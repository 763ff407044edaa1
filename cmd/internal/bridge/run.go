package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/budget"
	"github.com/crmbridge/crmbridge/dynamics/throttle"
	"github.com/crmbridge/crmbridge/handlers/durable"
	"github.com/crmbridge/crmbridge/handlers/events"
	"github.com/crmbridge/crmbridge/handlers/interactive"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/handlers/streams"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// A Bridge is one running crmbridge process.
type Bridge struct {
	config   Config
	log      *slog.Logger
	registry *prometheus.Registry
	failed   chan error

	nats     *nats.Conn
	refused  *refusedPublishes
	redis    redis.UniversalClient
	probe    *probe
	linked   atomic.Bool  // nats, redis and probe are set
	met      atomic.Value // string: the last attempt to connect to NATS
	source   *tokens.Source
	dynamics *dynamics.Client
	limits   *throttle.Throttle
	tracer   trace.Tracer // nil: no spans are made

	authorizer *tokens.Authorizer
	events     *events.Publisher
	consumer   atomic.Pointer[interactive.Consumer]
	lane       atomic.Pointer[durable.Lane]
	purger     *durable.Purger
	stopping   atomic.Bool
	memory     *budget.Budget

	fleet       *fleetMetrics
	redisErrors prometheus.Counter
	wired       atomic.Bool // dynamics is set
	routes      atomic.Pointer[map[messages.Operation]route.Route]

	divided memoryPlan
	closers []func(context.Context) error // of what has been started, in that order
}

// Serve runs a Bridge until ctx ends, and stops it in order.
func Serve(ctx context.Context, config Config, log *slog.Logger) error {
	manager := newManager(log)
	defer manager.close()
	b, err := Start(ctx, config, log)
	if err != nil {
		if ctx.Err() != nil {
			return nil // asked to stop while it still waited for NATS or Redis
		}
		return err
	}
	manager.ready()
	settled := time.NewTimer(settleWait)
	defer settled.Stop()
	for {
		select {
		case <-settled.C:
			settle()
			continue
		case <-ctx.Done():
			log.Info("stopping", "grace", config.ShutdownGrace)
		case err = <-b.failed:
			log.Error("stopping", "error", err)
		}
		manager.stopping()
		return errors.Join(err, b.Stop())
	}
}

// Start brings a process up in the order in which a message flows. It waits for
// NATS and Redis servers that are away, until ctx ends; /healthz answers
// meanwhile and /readyz says what is missing.
func Start(ctx context.Context, config Config, log *slog.Logger) (b *Bridge, err error) {
	b = &Bridge{config: config, log: log, registry: prometheus.NewRegistry(), failed: make(chan error, 4)}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Stop())
		}
	}()
	b.registry.MustRegister(collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(cpuOfCollector)),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	b.processMetrics()
	b.divided = planMemory(config.MemoryBudget)
	if b.memory, err = budget.New(b.divided.requests); err != nil {
		return b, err
	}
	if err = memoryMetrics(b.registry, b.memory); err != nil {
		return b, err
	}
	if err = b.startTracing(ctx); err != nil {
		return b, err
	}
	if err = b.listen("ADMIN_ADDR", config.AdminAddr, b.adminPages()); err != nil {
		return b, err
	}
	if err = b.serveProfiles(); err != nil {
		return b, err
	}
	if err = b.serveConsole(); err != nil {
		return b, err
	}
	store, err := b.connect(ctx)
	if err != nil {
		return b, err
	}
	b.watchKeys(ctx)
	// Before what changes connections, so that it ends after it: changes made while the
	// process stops are published too.
	if b.events, err = events.Start(ctx, b.nats, store, log, b.registry); err != nil {
		return b, err
	}
	b.onStop(func(ctx context.Context) error { b.events.Shutdown(ctx); return nil })
	if err = b.startPurger(ctx, store); err != nil {
		return b, err
	}
	operations, err := b.wire(store)
	if err != nil {
		return b, err
	}
	b.watchFleet(ctx, store)
	lane, err := b.newLane(store)
	if err != nil {
		return b, err
	}
	operations.Jobs, operations.Purge = lane, b.purger.Deleted
	if err = b.listen("HTTP_ADDR", config.HTTPAddr, b.authorizer.Handler()); err != nil {
		return b, err
	}
	routes, err := operations.Routes()
	if err != nil {
		return b, err
	}
	consumer, err := interactive.Start(ctx, b.nats, routes, interactive.Options{
		ReplySubjects: config.ReplySubjects, MaxInFlight: config.MaxInFlight, PerConnection: config.UserCalls,
		RequireScoped: config.RequireScoped,
		Memory:        b.memory, BacklogBytes: int(b.divided.backlog),
		Version: version, Log: log, Metrics: b.registry, Tracer: b.tracer,
	})
	if errors.Is(err, streams.ErrCaptured) {
		err = ConfigurationError(err)
	}
	if err != nil {
		return b, err
	}
	b.consumer.Store(consumer)
	b.routes.Store(&routes)
	if err = b.startLane(ctx, lane, routes, consumer.Slots()); err != nil {
		return b, err
	}
	b.events.AwaitStream(ctx)
	log.Info("ready", "version", Version(), "public_url", config.PublicURL, "admin", config.AdminAddr)
	return b, nil
}

// connect reaches NATS and Redis side by side, however long they are away, and looks whether the
// keys fit what is stored.
func (b *Bridge) connect(ctx context.Context) (*tokens.Store, error) {
	b.onStop(func(context.Context) error {
		if b.nats != nil {
			b.nats.Close()
		}
		return nil
	})
	b.redis = redis.NewUniversalClient(b.config.Redis)
	b.redis.AddHook(redisCounter{b.redisErrors})
	b.onStop(func(context.Context) error { return b.redis.Close() })
	b.probe = newProbe(b.redis, b.log, b.registry)
	b.onStop(func(context.Context) error { b.probe.close(); return nil })
	store := tokens.NewStore(b.redis, b.config.Keyset)
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error {
		if err := waitFor(ctx, b.log, "Redis", b.reachRedis); err != nil {
			return err
		}
		return waitFor(ctx, b.log, "Redis", func(ctx context.Context) error { return checkKeys(ctx, store, b.log) })
	})
	both.Go(func() (err error) {
		replies := nats.ReconnectBufSize(int(b.divided.replies / 2)) // it grows by doubling
		if b.nats, err = connectConsumer(b.config.NATS, b.log, b.lost, replies,
			nats.ReconnectErrHandler(b.attempted)); err != nil {
			return err
		}
		b.refused = watchPublishes(b.nats, b.log)
		b.linked.Store(true)
		return waitFor(ctx, b.log, "NATS", b.reachNATS)
	})
	if err := both.Wait(); err != nil {
		return nil, err
	}
	b.probe.watch()
	return store, nil
}

// reachNATS makes sure of the connection; its error says what the last attempt
// met with. A connection that is dropped at once is made again by the client.
func (b *Bridge) reachNATS(ctx context.Context) error {
	err := b.nats.FlushWithContext(ctx)
	switch last := b.nats.LastError(); {
	case err == nil:
		return nil
	case b.nats.IsClosed():
		return fmt.Errorf("%w: %w", errClosed, err)
	case last != nil:
		return natsCause(last)
	}
	if met, ok := b.met.Load().(string); ok {
		return fmt.Errorf("not connected to NATS at %s: %s", serverNames(b.config.NATS.URL), met)
	}
	return err
}

// attempted keeps what an attempt to connect met with: the client does not count a
// server that was never reached as its last error.
func (b *Bridge) attempted(_ *nats.Conn, err error) {
	b.met.Store(natsCause(err).Error())
}

// reachRedis makes sure of a Redis that does what crmbridge needs.
func (b *Bridge) reachRedis(ctx context.Context) error {
	v := b.probe.look(ctx)
	if v.err != nil {
		return v.err
	}
	return checkRedis(ctx, b.redis, b.log)
}

// Failed yields an error that ends the process: its pages cannot be served.
func (b *Bridge) Failed() <-chan error { return b.failed }

// lost ends the process when the connection to NATS is closed for good, unless
// the process is ending anyway: without it there is nothing that it could do.
func (b *Bridge) lost(err error) {
	if b.stopping.Load() {
		return
	}
	select {
	case b.failed <- fmt.Errorf("the connection to NATS is closed: %w", err):
	default: // it is ending for another reason already
	}
}

// onStop has Stop call closer. What is started later is closed earlier, since it may
// use what was there before it.
func (b *Bridge) onStop(closer func(context.Context) error) { b.closers = append(b.closers, closer) }

// Stop ends the process in order: no more intake, requests in flight are answered,
// then what they used is closed.
func (b *Bridge) Stop() error {
	b.stopping.Store(true)
	var errs []error
	if consumer := b.consumer.Load(); consumer != nil {
		grace, cancel := context.WithTimeout(context.Background(), b.config.ShutdownGrace)
		defer cancel()
		jobs := make(chan error, 1)
		go func() { jobs <- b.stopLane(grace) }() // jobs are given back while requests are still answered
		errs = append(errs, consumer.Shutdown(grace), <-jobs)
	}
	last, done := context.WithTimeout(context.Background(), stopWait)
	defer done()
	for _, closer := range slices.Backward(b.closers) {
		errs = append(errs, closer(last))
	}
	return errors.Join(errs...)
}

// stopWait bounds what follows the grace: closing what the work has used.
const stopWait = 10 * time.Second

// errClosed says that the connection to NATS is closed for good.
var errClosed = errors.New("the connection to NATS is closed")

// waitFor tries until something answers, saying so from the second try on, and
// again when the reason changes. Wrong configuration and a connection that is closed
// for good are the end.
func waitFor(ctx context.Context, log *slog.Logger, what string, try func(context.Context) error) error {
	said := ""
	for {
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := try(attempt)
		cancel()
		if err == nil || errors.Is(err, errClosed) || errors.Is(err, ErrConfiguration) {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s did not answer: %w", what, err)
		}
		if err.Error() != said {
			said = err.Error()
			log.Warn("waiting for "+what, "error", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not answer: %w", what, err)
		case <-time.After(2 * time.Second):
		}
	}
}
