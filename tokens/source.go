package tokens

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Access is a token that is good now, and the only place it may be sent to.
type Access struct {
	Environment string // canonical origin
	Incarnation string
	Token       Secret
	ExpiresAt   time.Time
	// Tables are the names of the tables that may be read with it: those that the person
	// was told of. The caller does not change them.
	Tables []string
	// OrganizationID and UserID are whom the token acts as in Dataverse, which counts
	// its limits by them and speaks the user's language.
	OrganizationID, UserID string
	// Claims is the claims challenge that came with Dataverse's refusal, as sent;
	// only in the argument of [Source.Refused], "" where there was none.
	Claims Secret
}

// SourceConfig says what a [Source] works with.
type SourceConfig struct {
	Store *Store // required
	Entra *Entra // required
	// Log hears about refreshes that failed in the background; nil discards.
	Log *slog.Logger
	// Waited is told of every request that had to wait for the token endpoint, and
	// how long; nil means nobody. It must not block. In steady state there is none.
	Waited func(time.Duration)
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
	store  *Store
	entra  *Entra
	locks  locks
	log    *slog.Logger
	name   string // this process
	trials trials
	local  *local
	waited func(time.Duration)
	names  func(context.Context, string, string, string, string) Names

	topology topology // for the beats

	renewal Renewal
	stamps  chan stamp
	forget  func() // ends hearing of the store's own changes

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
		waited: c.Waited, names: c.Names, renewal: c.Renewal.withDefaults(), flights: map[string]*flight{},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.waited == nil {
		s.waited = func(time.Duration) {}
	}
	cutOff := c.CutOff
	if cutOff <= 0 {
		cutOff = localCutOff
	}
	s.local = newLocal(cutOff, s.renewal.stampEvery())
	if _, cluster := c.Store.rdb.(*redis.ClusterClient); cluster {
		// Messages pass between the nodes, where one can be lost without a sign: a
		// copy is not believed for longer than a deletion may take.
		s.local.reread = localTrust
	}
	s.stamps = make(chan stamp, stampQueue)
	s.forget = c.Store.onChange(s.local.drop)
	s.life, s.end = context.WithCancel(context.Background())
	s.loops, s.endLoops = context.WithCancel(s.life)
	s.work.Go(s.watch)
	s.work.Go(s.writeStamps)
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

// forcedPause is how long after a forced refresh no other one is tried: a
// Dataverse that refuses every token must not become a flood at Entra.
const forcedPause = time.Minute

// Access returns a token for the connection. A token near its end is renewed in
// the background and used meanwhile; an ended one is waited for. ctx bounds the
// wait of this caller and never cancels the refresh for others.
//
// Errors: connection_not_found, reauthorization_required, throttled,
// configuration_error, unavailable, upstream_error; deadline_exceeded when ctx
// ended first.
func (s *Source) Access(ctx context.Context, connection string) (Access, error) {
	r, err := s.usable(ctx, connection)
	if err == nil {
		err = s.entra.listed(r)
	}
	if err != nil {
		return Access{}, err
	}
	now := time.Now()
	switch left := r.AccessTokenExpiresAt.Sub(now); {
	case left > s.margin(r, left):
		return r.grant(), nil
	case left > urgent(r):
		s.refreshBehind(r)
		return r.grant(), nil
	case left > lastMoment && s.local.isAway():
		return r.grant(), nil // nothing better can be had now
	}
	fresh, err := s.await(ctx, r, false)
	if err != nil {
		// A token that is good for seconds more is better than Entra's trouble.
		if f, ok := errors.AsType[*Error](err); ok && f.Retryable && time.Until(r.AccessTokenExpiresAt) > lastMoment {
			// It may have been deleted or replaced while this request waited.
			now, gone := s.usable(ctx, connection)
			if gone != nil {
				return Access{}, gone
			}
			if now.is(r) {
				return now.grant(), nil
			}
		}
		return Access{}, err
	}
	return fresh.grant(), nil
}

// lastMoment is how much life a token must have left to be sent when no other
// one can be had.
const lastMoment = 2 * time.Second

// ErrRefused is the cause of the error that [Source.Refused] gives while Dataverse
// refuses tokens that are new.
var ErrRefused = errors.New("new tokens are refused by Dataverse")

// refusedAgain is when a request is sent again whose new token was refused.
const refusedAgain = 5 * time.Second

// Refused says that Dataverse answered 401 to a.Token. It returns the stored
// token if that is another one by now, otherwise one forced refresh's. Errors as
// [Source.Access], and unavailable with [ErrRefused] when a token from a forced
// refresh of the last minute is refused: Entra has just let the user in, so that
// this may pass by itself. Only a verdict of Entra sends for a person.
func (s *Source) Refused(ctx context.Context, connection string, a Access) (Access, error) {
	r, err := s.read(ctx, connection)
	if err != nil {
		return Access{}, err
	}
	other := subtle.ConstantTimeCompare([]byte(r.access), []byte(a.Token)) == 0
	if other && time.Until(r.AccessTokenExpiresAt) > urgent(r) {
		return r.grant(), nil
	}
	r.challenge = readClaims(a.Claims.Reveal())
	if !other && time.Since(r.forcedAt) < forcedPause {
		if r.challenge != "" {
			s.store.note(ctx, r.ID, r.Incarnation, r.challenge)
		}
		return Access{}, &Error{Code: CodeUnavailable, Retryable: true, RetryAfter: refusedAgain, Err: ErrRefused,
			Message: "Dataverse refuses the token of connection " + connection +
				" although it is new, which may pass by itself; send the request again, and if this stays, look into it with connections.check"}
	}
	fresh, err := s.await(ctx, r, !other)
	if err != nil {
		return Access{}, err
	}
	return fresh.grant(), nil
}

// usable returns a connection that has a grant: the copy in memory, or what
// Redis holds, or, while Redis is away, a copy that the contract still allows.
func (s *Source) usable(ctx context.Context, connection string) (record, error) {
	now := time.Now()
	r, due, ok := s.local.get(connection, now)
	if ok {
		if due {
			s.used(r)
		}
		return r, nil
	}
	copied, ok := s.local.fallback(connection, now)
	if !ok {
		return s.read(ctx, connection)
	}
	if !s.local.mayTry(now) {
		return copied, nil
	}
	trying, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	r, err := s.read(trying, connection)
	if f, ok := errors.AsType[*Error](err); ok && ctx.Err() == nil && (f.Code == CodeUnavailable || f.Code == CodeDeadlineExceeded) {
		s.local.failed(time.Now())
		if copied, ok := s.local.fallback(connection, time.Now()); ok {
			return copied, nil
		}
		// The copy was dropped meanwhile, for a change that was heard of or made here: now
		// the request cannot do without Redis, and may take all of its own time for it.
		return s.read(ctx, connection)
	}
	return r, err
}

// tryTime bounds a look at Redis by a request that could do without.
const tryTime = time.Second

// read returns what Redis holds, if it is a connection with a grant.
func (s *Source) read(ctx context.Context, connection string) (record, error) {
	now := time.Now()
	place := s.local.begin(connection, now)
	load := s.store.load
	if !s.local.proven(now) {
		load = s.store.loadProven
	}
	r, err := load(ctx, connection)
	if err != nil {
		if CodeOf(err) != CodeUnavailable {
			s.local.drop(connection)
		}
		return record{}, late(ctx, err)
	}
	if s.local.put(place, r) {
		s.used(r)
	}
	return r, r.grantFault()
}

func (r record) grantFault() error {
	switch r.Status {
	case StatusActive:
		return nil
	case StatusPending:
		return fault(CodeReauthorizationRequired, "connection "+r.ID+" is not connected yet; a person must open its connect link", nil)
	}
	return fault(CodeReauthorizationRequired, r.LastError, nil)
}

func (r record) grant() Access {
	return Access{Environment: r.EnvironmentURL, Incarnation: r.Incarnation, Token: r.access, ExpiresAt: r.AccessTokenExpiresAt,
		OrganizationID: r.OrganizationID, UserID: r.UserID, Tables: r.Tables}
}

func (r record) tokenLife() time.Duration {
	return max(r.AccessTokenExpiresAt.Sub(r.RefreshedAt), 0)
}

// urgent is how much life a token must have left to be sent without waiting for
// another: long enough for a slow call.
func urgent(r record) time.Duration { return min(30*time.Second, r.tokenLife()/10) }

// margin is how long before its end a token is renewed behind its use: at most
// 5 minutes and a quarter of its life, less up to a quarter of that, so that
// processes do not begin at once. It is the same for every request of a process.
func (s *Source) margin(r record, left time.Duration) time.Duration {
	m := min(5*time.Minute, r.tokenLife()/4)
	if left > m {
		return m
	}
	h := fnv.New32a()
	_, _ = fmt.Fprint(h, s.name, r.ID, r.Version)
	return m - m/4*time.Duration(h.Sum32()%1000)/1000
}

// late turns an error that comes from the end of the caller's context into the
// code that says so.
func late(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return &Error{Code: CodeDeadlineExceeded, Message: "the request ended before there was a token", Retryable: true, Err: context.Cause(ctx)}
}
