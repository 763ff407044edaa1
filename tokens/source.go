package tokens

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// SourceConfig says what a [Source] works with.
type SourceConfig struct {
	Store *Store // required
	Entra *Entra // required
	// Log hears about refreshes that failed in the background; nil discards.
	Log *slog.Logger
	// Waited is called for every request that had to wait for the token endpoint, with its
	// context and how long; nil means nobody. It must not block. In steady state there is none.
	Waited func(context.Context, time.Duration)
	// Cached is told of every request whether this process's copy of the grant served it;
	// Refreshed of each refresh at Entra what came of it, "ok" or the code of the error. nil
	// means nobody. They must not block.
	Cached    func(hit bool)
	Refreshed func(verdict string)
	// Awaited is called like Waited, with when the wait began, and
	// whether it was for a refresh that nobody had waited for before; else the request joined
	// others. nil means nobody.
	Awaited func(ctx context.Context, begun time.Time, first bool)
	// Names is that of [AuthorizerConfig]: records from before names were asked for get
	// them after their next renewal. nil: nobody asks.
	Names func(ctx context.Context, environmentURL, accessToken, userID, organizationID string) Names
	// Renewal says how tokens are renewed ahead of time.
	Renewal Renewal
	// Lease is how long a refresher that died keeps others waiting; 0 means 10 s.
	Lease time.Duration
	// CutOff is how long a token is used while Redis is away; 0 means 5 min.
	CutOff time.Duration
}

// Source gives out access tokens, refreshed ahead of their end, by one refresher
// per connection over all processes. It is safe for concurrent use; call
// [Source.Close] in the end.
type Source struct {
	store    *Store
	entra    *Entra
	locks    locks
	log      *slog.Logger
	name     string // this process
	backoffs backoffs
	local    *local
	waited   func(context.Context, time.Duration)
	cached   func(bool)
	verdict  func(string)
	awaited  func(context.Context, time.Time, bool)
	names    func(context.Context, string, string, string, string) Names

	topology topology // for the heartbeats

	renewal  Renewal
	schedule chan dueTimes
	forget   func() // ends hearing of the store's own changes

	life context.Context // of the refreshes; ended by Close
	end  context.CancelFunc
	// loops is the life of what runs all the time; it ends when Close begins.
	loops    context.Context
	endLoops context.CancelFunc

	mu      sync.Mutex // guards the next two
	done    bool
	flights map[string]*flight
	work    sync.WaitGroup
}

// NewSource returns a source of access tokens and begins to renew them ahead of
// time.
func NewSource(c SourceConfig) *Source {
	s := &Source{
		store: c.Store, entra: c.Entra, locks: newLocks(c.Store.rdb, c.Lease), log: c.Log, name: random(9),
		waited: c.Waited, awaited: c.Awaited, cached: c.Cached, verdict: c.Refreshed, names: c.Names,
		renewal: c.Renewal.withDefaults(), flights: map[string]*flight{},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.waited == nil {
		s.waited = func(context.Context, time.Duration) {}
	}
	if s.cached == nil {
		s.cached = func(bool) {}
	}
	if s.verdict == nil {
		s.verdict = func(string) {}
	}
	if s.awaited == nil {
		s.awaited = func(context.Context, time.Time, bool) {}
	}
	cutOff := c.CutOff
	if cutOff <= 0 {
		cutOff = localCutOff
	}
	s.local = newLocal(cutOff, s.renewal.useEvery())
	if _, cluster := c.Store.rdb.(*redis.ClusterClient); cluster {
		// Messages pass between the nodes, where one can be lost without a sign: a
		// copy is not believed for longer than a deletion may take.
		s.local.reread = localTrust
	}
	s.schedule = make(chan dueTimes, scheduleQueue)
	s.forget = c.Store.onChange(s.local.drop)
	s.life, s.end = context.WithCancel(context.Background())
	s.loops, s.endLoops = context.WithCancel(s.life)
	s.work.Go(s.watch)
	s.work.Go(s.writeSchedule)
	if !s.renewal.Off {
		s.work.Go(s.renew)
	}
	return s
}

// Format keeps fmt away from what is inside.
func (s *Source) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "token source") }

// Close lets refreshes that are under way end, until ctx is done; then it cuts
// them off. Afterwards nothing is refreshed any more.
func (s *Source) Close(ctx context.Context) {
	s.mu.Lock()
	s.done = true
	s.mu.Unlock()
	s.endLoops()
	s.forget()
	ended := make(chan struct{})
	go func() { s.work.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	s.end()
	<-ended
}
