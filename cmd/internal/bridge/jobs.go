package bridge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/crmbridge/crmbridge/handlers/durable"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/handlers/streams"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

const (
	mostReplicas = 5 // that JetStream takes
	// mostLifetime is what JOB_LIFETIME may be at all; how long streams keep their messages
	// bounds it further, once they are known.
	mostLifetime  = 365 * 24 * time.Hour
	leastLifetime = time.Second
	leastResults  = mib
)

// jobs reads the settings of the durable lane.
func (r *reader) jobs(s Settings) Jobs {
	const right = "from 1MiB, such as 512MiB, 4GiB or 4294967296"
	jobs := Jobs{
		Replicas:        r.count("NATS_REPLICAS", s.NATSReplicas, 1, mostReplicas),
		ResultsMaxBytes: r.size("RESULTS_MAX_BYTES", s.ResultsMaxBytes, leastResults, right),
		MaxBytes:        r.size("JOB_MAX_BYTES", s.JobMaxBytes, leastResults, right),
	}
	var err error
	jobs.Lifetime, err = time.ParseDuration(s.JobLifetime)
	if err != nil || jobs.Lifetime < leastLifetime || jobs.Lifetime > mostLifetime {
		r.fault("JOB_LIFETIME", "must be a duration from %s on such as 30m or 24h, and at most 24h less than the stream %s "+
			"keeps results", leastLifetime, messages.ResultsStream)
	}
	return jobs
}

// startPurger has what deleted connections left removed from the streams, with a durable
// lane or without.
func (b *Bridge) startPurger(ctx context.Context, store *tokens.Store) error {
	var err error
	if b.purger, err = durable.StartPurger(ctx, b.nats, store, b.log); err != nil {
		return err
	}
	b.onStop(func(context.Context) error { b.purger.Shutdown(); return nil })
	return nil
}

// newLane makes the durable lane, which answers that there is none until it is started.
func (b *Bridge) newLane(store *tokens.Store) (*durable.Lane, error) {
	lane, err := durable.New(b.nats, durable.Options{
		Connections: b.source, Stored: store.Incarnation, Sealer: b.config.Keyset, Memory: b.memory,
		MaxInFlight: b.config.MaxInFlight, PerConnection: b.config.UserCalls,
		ResultsMaxBytes: b.config.Jobs.ResultsMaxBytes, JobMaxBytes: b.config.Jobs.MaxBytes,
		JobLifetime: b.config.Jobs.Lifetime, Replicas: b.config.Jobs.Replicas,
		Tables: b.config.Tables, Log: b.log, Metrics: b.registry, Tracer: b.tracer,
	})
	if err != nil {
		return nil, fmt.Errorf("the durable lane: %w", err)
	}
	return lane, nil
}

// startLane takes jobs in. Where there can be no durable lane that is logged and shown at
// /readyz, and requests are answered all the same.
func (b *Bridge) startLane(ctx context.Context, lane *durable.Lane, routes map[messages.Operation]route.Route,
	slots durable.Slots) error {
	err := lane.Start(ctx, routes, slots)
	if errors.Is(err, streams.ErrLifetime) {
		return ConfigurationError(err)
	}
	if err == nil {
		b.lane.Store(lane)
	}
	return err
}

// stopLane gives the jobs in hand back.
func (b *Bridge) stopLane(ctx context.Context) error {
	if lane := b.lane.Load(); lane != nil {
		return lane.Shutdown(ctx)
	}
	return nil
}

// streamsWait is how long /readyz waits for JetStream; then it goes by what was seen last.
const streamsWait = time.Second

// checkStreams never fails either. Every process would at once: what is wrong with the streams
// is wrong for the whole fleet, and without processes that are ready there is no connect page,
// no rollout, and nothing mended.
func (b *Bridge) checkStreams(ctx context.Context) (string, error) {
	lane := b.lane.Load()
	if lane == nil {
		return "", errNotYet
	}
	ctx, cancel := context.WithTimeout(ctx, streamsWait)
	defer cancel()
	return lane.Streams(ctx), nil
}

// streamsStand is what is known of the streams.
func (b *Bridge) streamsStand() bool {
	lane := b.lane.Load()
	return lane != nil && lane.StreamsStand()
}

// checkJobs never fails: requests are answered without a durable lane.
func (b *Bridge) checkJobs(context.Context) (string, error) {
	lane := b.lane.Load()
	if lane == nil {
		return "", errNotYet
	}
	return lane.Trouble(), nil
}
