package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/tokens"
)

// What there is of connections over the whole fleet is counted by one process at a time, which
// puts the figures into Redis; every process shows those that stand there. A scrape asks nobody.
const (
	censusKey  = "crmbridge:census"
	censusTurn = "crmbridge:census:turn" // there while it is nobody's turn to count

	censusLook  = 5 * time.Second // between two looks at the figures, and the least between two counts
	censusCalm  = 50              // so many times as long as a count took there is none
	censusMost  = 5 * time.Minute // between two counts
	censusLease = time.Minute     // for which one that counts keeps the others from it
	censusKept  = 15 * time.Minute
	censusWait  = 2 * time.Second // for one answer of Redis
	// censusOld is when figures that could not be read anew are shown no more.
	censusOld = time.Minute
)

// fleetMetrics are the figures of the fleet, as they were read last.
type fleetMetrics struct {
	connections, blocked, overdue, outbox, keyAge *prometheus.Desc

	mu     sync.Mutex
	census tokens.Census
	read   time.Time
	keyed  time.Time     // when the age of the key was read
	age    time.Duration // of the key, then
}

func newFleetMetrics(registry prometheus.Registerer) *fleetMetrics {
	const same = " Every process shows the same, counted every 5 s to 5 min: use max(), not sum()."
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("crmbridge_"+name, help, labels, nil)
	}
	f := &fleetMetrics{
		connections: desc("connections", "Connections by status."+same, "status"),
		blocked: desc("users_blocked",
			"Users of active connections whom Dataverse's service protection limits keep out."+same),
		overdue: desc("refresh_overdue_seconds", "How long ago the token of an active connection should have been "+
			"renewed that has waited longest, in seconds; 0 where none is late."+same),
		outbox: desc("outbox_waiting", "Changes of connections that wait to be published as events."+same),
		keyAge: desc("keyset_primary_age_seconds", "How long the fleet has sealed with the present primary key, in "+
			"seconds, since a process first said so in Redis. Every process shows the same: use max(), not sum()."),
	}
	registry.MustRegister(f)
	return f
}

// Describe sends the descriptions of the gauges.
func (f *fleetMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{f.connections, f.blocked, f.overdue, f.outbox, f.keyAge} {
		to <- desc
	}
}

// Collect sends the figures that were read last; 0 where that is long ago.
func (f *fleetMetrics) Collect(to chan<- prometheus.Metric) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var now tokens.Census
	if time.Since(f.read) < censusOld {
		now = f.census
	}
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	for _, status := range tokens.Statuses() {
		gauge(f.connections, float64(now.Statuses[status]), status)
	}
	gauge(f.blocked, float64(now.Blocked))
	gauge(f.overdue, now.Overdue)
	gauge(f.outbox, float64(now.Outbox))
	age := 0.0
	if !f.keyed.IsZero() {
		age = (f.age + time.Since(f.keyed)).Seconds()
	}
	gauge(f.keyAge, age)
}

// A censor reads the figures, and counts when it is its turn.
type censor struct {
	metrics *fleetMetrics
	redis   redis.UniversalClient
	store   *tokens.Store
	log     *slog.Logger
	count   func(context.Context) (tokens.Census, error)
}

// watchFleet keeps the figures of the fleet until the process stops.
func (b *Bridge) watchFleet(ctx context.Context, store *tokens.Store) {
	c := &censor{metrics: b.fleet, redis: b.redis, store: store, log: b.log, count: b.census}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() { defer close(ended); c.watch(ctx) }()
	b.onStop(func(context.Context) error { cancel(); <-ended; return nil })
}

// census counts the fleet's connections and the users that Dataverse keeps out.
func (b *Bridge) census(ctx context.Context) (tokens.Census, error) {
	blocked := map[string]bool{}
	census, err := b.source.Census(ctx, func(ctx context.Context, page []tokens.Principal) error {
		users := make([]dynamics.Principal, len(page))
		for i, p := range page {
			users[i] = dynamics.Principal{Environment: p.EnvironmentURL, Organization: p.OrganizationID, User: p.UserID}
		}
		found, err := b.limits.Blocked(ctx, users)
		for _, user := range found {
			blocked[user] = true
		}
		return err
	})
	census.Blocked = len(blocked)
	return census, err
}

func (c *censor) watch(ctx context.Context) {
	for timer := time.NewTimer(0); ; timer.Reset(censusLook*3/4 + rand.N(censusLook/2)) {
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		c.turn(ctx) // a Redis that is away is waited for: its own metric and the log say so
		c.look(ctx)
	}
}

// turn counts where nobody else has lately.
func (c *censor) turn(ctx context.Context) {
	asking, cancel := context.WithTimeout(ctx, censusWait)
	mine, err := c.redis.SetNX(asking, censusTurn, 1, censusLease).Result()
	cancel()
	if err != nil || !mine {
		return
	}
	begun := time.Now()
	counting, cancel := context.WithTimeout(ctx, censusLease)
	defer cancel()
	census, err := c.count(counting)
	pause := min(max(censusLook, censusCalm*time.Since(begun)), censusMost)
	telling, done := context.WithTimeout(ctx, censusWait)
	defer done()
	if err == nil {
		var text []byte
		if text, err = json.Marshal(census); err == nil {
			err = c.redis.Set(telling, censusKey, text, censusKept).Err()
		}
	}
	if err != nil && ctx.Err() == nil {
		c.log.Debug("the fleet's connections could not be counted", "error", err)
	}
	_ = c.redis.PExpire(telling, censusTurn, pause-censusLook/2).Err() // it ends by itself otherwise
}

// look takes the figures that stand in Redis.
func (c *censor) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, censusWait)
	defer cancel()
	text, err := c.redis.Get(ctx, censusKey).Bytes()
	var census tokens.Census
	if err == nil {
		err = json.Unmarshal(text, &census)
	}
	age, ageErr := c.store.PrimaryAge(ctx)
	c.metrics.mu.Lock()
	defer c.metrics.mu.Unlock()
	if err == nil || errors.Is(err, redis.Nil) {
		c.metrics.census, c.metrics.read = census, time.Now()
	}
	if ageErr == nil {
		c.metrics.age, c.metrics.keyed = age, time.Now()
	}
}
