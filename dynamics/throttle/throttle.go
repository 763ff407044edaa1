package throttle

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/dynamics"
)

// Config is copied by [New]. Zero values mean the default.
type Config struct {
	Redis redis.UniversalClient // required
	// Concurrency is how many calls of one user may be in flight over the whole
	// fleet. Default 40; Dataverse refuses at 52.
	Concurrency int
	// MaxBlock is how long a call waits for a block to end; where it lasts longer
	// the call is refused at once. Default 10 s.
	MaxBlock time.Duration
	// LongestBlock bounds what Dataverse's Retry-After is believed. Where it asks for
	// that or more, one call of the fleet is sent after this time, and its outcome
	// decides. Default [dynamics.MaxRetryAfter], which is also the most.
	LongestBlock time.Duration
	// MaxWaiting bounds the calls of one user that wait in this process; as many of jobs
	// may wait besides. Default 256.
	MaxWaiting int
	// Log gets a line when Redis is lost and found. Default: none.
	Log *slog.Logger
	// Waited is told how long calls waited that did, with their contexts and without those of
	// jobs, which wait for all others; Refused each refusal by a limit. They must not block.
	// Default: nothing.
	Waited  func(context.Context, time.Duration)
	Refused func(dynamics.Limit)
}

// Throttle is one process's side of the fleet's limits, a [dynamics.Gate]. It is
// safe for concurrent use.
type Throttle struct {
	config Config
	name   string // of this process in the fleet
	fleet  fleet
	ctx    context.Context
	stop   context.CancelFunc
	work   sync.WaitGroup
	away   awayLog
	hears  atomic.Bool // of blocks, as soon as they are published
	owed   owed

	mu    sync.Mutex
	users map[dynamics.Principal]*user // each with its keeper

	idle chan *user // to a keeper that has no user

	batch batch
	since time.Time // the moments at which questions of the batch come due are counted from
}

var (
	_ dynamics.QuickGate = (*Throttle)(nil)
	_ dynamics.Prober    = (*Throttle)(nil)
	_ dynamics.Meter     = (*Throttle)(nil)
)

// New starts a Throttle; Close ends it.
func New(config Config) (*Throttle, error) {
	if config.Redis == nil {
		return nil, errors.New("throttle: Config.Redis is missing")
	}
	if config.Concurrency < 0 || config.MaxBlock < 0 || config.LongestBlock < 0 || config.MaxWaiting < 0 {
		return nil, errors.New("throttle: a bound in Config is negative")
	}
	if config.Concurrency == 0 {
		config.Concurrency = 40
	}
	if config.MaxBlock == 0 {
		config.MaxBlock = 10 * time.Second
	}
	if config.LongestBlock == 0 || config.LongestBlock > dynamics.MaxRetryAfter {
		config.LongestBlock = dynamics.MaxRetryAfter
	}
	if config.MaxWaiting == 0 {
		config.MaxWaiting = 256
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	t := &Throttle{config: config, name: uuid.NewString(), users: map[dynamics.Principal]*user{}, idle: make(chan *user),
		away: awayLog{log: config.Log}, since: time.Now()}
	t.ctx, t.stop = context.WithCancel(context.Background())
	t.work.Go(t.listen)
	t.work.Go(t.beat)
	return t, nil
}

// Close gives the slots back and ends what New started. Calls that wait are
// refused; calls in flight may still report their answers.
func (t *Throttle) Close() {
	t.stop()
	t.work.Wait()
}

// Enter waits until a call of the user may begin; see [dynamics.Gate].
func (t *Throttle) Enter(ctx context.Context, p dynamics.Principal, queue string) (func(dynamics.Answer), error) {
	if err := ctx.Err(); err != nil {
		return nil, ended(err)
	}
	u, slot, w, err := t.join(ctx, p, queue)
	if err != nil {
		return nil, err
	}
	if w == nil {
		return u.leaver(slot, dynamics.Background(ctx)), nil
	}
	got, err := u.wait(ctx, w)
	if err != nil {
		return nil, err
	}
	if t.config.Waited != nil && !w.job {
		t.config.Waited(ctx, time.Since(w.since))
	}
	if got.err != nil {
		return nil, got.err
	}
	return u.leaver(got.slot, w.job), nil
}

// TryEnter takes a slot that this process has; see [dynamics.QuickGate]. A call that begins
// so is as one of Enter's.
func (t *Throttle) TryEnter(p dynamics.Principal, background bool) (dynamics.Slot, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	u := t.users[p]
	if u == nil || t.ctx.Err() != nil {
		return nil, false
	}
	s := u.tryEnter(background)
	if s == noSlot {
		return nil, false
	}
	return u.hold(s, background), true
}

// ProbeSoon brings the end of a block forward, here and in the fleet; see
// [dynamics.Prober]. Without Redis only this process learns of it.
func (t *Throttle) ProbeSoon(ctx context.Context, p dynamics.Principal) {
	key := keyOf(p)
	if u := t.known(key); u != nil && u.probeSoon() {
		return
	}
	err := t.soon(ctx, key)
	if ctx.Err() == nil {
		t.reached(err)
	}
}

// join takes a slot that is held, or a place among those who wait.
func (t *Throttle) join(ctx context.Context, p dynamics.Principal, queue string) (*user, slot, *waiter, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx.Err() != nil {
		return nil, noSlot, nil, closed()
	}
	u := t.users[p]
	if u == nil {
		u = newUser(t, p)
		t.users[p] = u
		select {
		case t.idle <- u:
		default:
			t.work.Go(func() { t.keep(u) })
		}
	}
	s, w, err := u.enter(ctx, queue)
	return u, s, w, err
}

// keep is a keeper's goroutine. One whose user has gone takes another for as long as it held
// on to slots: where most users call now and then, most find a goroutine whose stack has
// grown to what an exchange with Redis takes.
func (t *Throttle) keep(u *user) {
	for timer := time.NewTimer(linger); ; {
		u.run()
		timer.Reset(linger)
		select {
		case u = <-t.idle:
		case <-timer.C:
			return
		case <-t.ctx.Done():
			timer.Stop()
			return
		}
	}
}

// forget lets a user go whom nobody uses; it holds the lock that join holds, so that
// nobody can begin to meanwhile.
func (t *Throttle) forget(u *user) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !u.idle(time.Now()) {
		return false
	}
	delete(t.users, u.principal)
	return true
}

// known finds a user whom this process has to do with.
func (t *Throttle) known(key string) *user {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, u := range t.users {
		if u.key == key {
			return u
		}
	}
	return nil
}

// reached notes whether Redis answered. What Close cuts off says nothing about Redis.
func (t *Throttle) reached(err error) {
	if t.ctx.Err() == nil {
		t.away.seen(err)
	}
}

func ended(err error) error {
	message := "the caller went away"
	if errors.Is(err, context.DeadlineExceeded) {
		message = "the deadline passed"
	}
	return &dynamics.Error{Kind: dynamics.Cancelled, Message: message, Err: err}
}

func closed() error {
	return &dynamics.Error{Kind: dynamics.Unavailable, Message: dynamics.ErrClosed.Error(), Err: dynamics.ErrClosed}
}

func throttled(wait time.Duration, limit dynamics.Limit) error {
	return &dynamics.Error{Kind: dynamics.Throttled, RetryAfter: wait, Limit: limit,
		Message: "Dataverse wants no request of this user for some time; nothing was sent"}
}

// awayLog says once that Redis is away and once that it is back.
type awayLog struct {
	log   *slog.Logger
	mu    sync.Mutex
	away  bool
	since time.Time
}

func (a *awayLog) seen(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case err != nil && !a.away:
		a.since = time.Now()
		a.log.Warn("limits are kept without Redis: this process uses its share", "error", err)
	case err == nil && a.away:
		a.log.Info("limits are shared through Redis again")
	}
	a.away = err != nil
}

// over reports whether Redis is away and has been for so long.
func (a *awayLog) over(d time.Duration, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.away && now.Sub(a.since) >= d
}
