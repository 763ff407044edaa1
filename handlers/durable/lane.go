package durable

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/crmbridge/crmbridge/dynamics/budget"
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
	Connections Connections    // required
	Sealer      Sealer         // required
	Memory      *budget.Budget // nil: not bounded

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

	Log     *slog.Logger
	Metrics prometheus.Registerer

	// Lease is how long a record may stay as it is before its job is taken over, and
	// Heartbeat how often its owner rewrites it. Defaults 15 s and 5 s; tests shorten them.
	Lease, Heartbeat time.Duration
}
