package throttle

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/fair"
)

const (
	// leaseLife is how long slots stay with a process that does not renew them:
	// then it is dead, or cut off and on its own share.
	leaseLife   = 5 * time.Second
	leaseMargin = time.Second // a lease is used for this much less than Redis keeps it
	// renewEvery is how often a process that is at work asks again: so long may it
	// take until slots that others need are given up.
	renewEvery = 250 * time.Millisecond
	// starveEvery is how often a process asks that has calls waiting.
	starveEvery = 25 * time.Millisecond
	// linger is how long slots are held after the last call, for the next one.
	linger = 500 * time.Millisecond
	// redisPause is how often Redis is tried while it is away.
	redisPause = time.Second
	// defaultBlock is how long nothing is sent after a 429 that says no time.
	defaultBlock = 10 * time.Second
)

// A waiter is a call that waits for a slot. decided gets one value: nil with a slot,
// or why there is none.
type waiter struct {
	deadline time.Time // zero: none
	decided  chan error
}

// user is what this process knows of one user's limits.
type user struct {
	t         *Throttle
	principal dynamics.Principal
	key       string
	name      string        // of this lease; a user who comes back meanwhile has another
	kick      chan struct{} // of capacity 1: there is something to ask or to tell

	mu        sync.Mutex
	inUse     int
	leased    int
	leaseEnd  time.Time
	waiting   fair.Queue[*waiter]
	blocked   time.Time // no call begins before
	processes int       // at the last look, at least 1
	used      time.Time // when a call last began or ended
	report    report    // not in Redis yet
}

// report is a block that the others are to hear of.
type report struct {
	until       time.Time
	concurrency bool
}

func newUser(t *Throttle, p dynamics.Principal) *user {
	return &user{t: t, principal: p, key: keyOf(p), name: uuid.NewString(), kick: make(chan struct{}, 1), processes: 1, used: time.Now()}
}

// enter takes a slot (no waiter), or waits for one.
func (u *user) enter(ctx context.Context, lane string) (*waiter, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	u.used = now
	w := &waiter{decided: make(chan error, 1)}
	w.deadline, _ = ctx.Deadline()
	if wait := u.blocked.Sub(now); wait > 0 && u.tooLong(w) {
		return nil, throttled(wait)
	}
	if u.waiting.Len() == 0 && u.free(now) {
		u.inUse++
		return nil, nil
	}
	if u.waiting.Len() >= u.t.config.MaxWaiting {
		return nil, &dynamics.Error{Kind: dynamics.Overloaded, RetryAfter: max(u.blocked.Sub(now), time.Second),
			Message: "too many calls of this user wait already"}
	}
	u.waiting.Push(lane, w)
	u.wake()
	return w, nil
}

// free reports whether a slot is held that no call has.
func (u *user) free(now time.Time) bool {
	return now.After(u.blocked) && u.inUse < u.leased && now.Before(u.leaseEnd)
}

// tooLong reports whether a waiter need not wait for the end of the block.
func (u *user) tooLong(w *waiter) bool {
	return time.Until(u.blocked) > u.t.config.MaxBlock || !w.deadline.IsZero() && !w.deadline.After(u.blocked)
}

func (u *user) wake() {
	select {
	case u.kick <- struct{}{}:
	default:
	}
}

// withdraw takes a waiter back; false where it has been decided.
func (u *user) withdraw(w *waiter) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.waiting.Remove(func(o *waiter) bool { return o == w })) == 1
}

// leaver ends one call, however often it is called.
func (u *user) leaver() func(dynamics.Answer) {
	var left atomic.Bool
	return func(a dynamics.Answer) {
		if left.CompareAndSwap(false, true) {
			u.leave(a)
		}
	}
}

func (u *user) leave(a dynamics.Answer) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	u.used = now
	u.inUse--
	if a.Limit != dynamics.NoLimit {
		if u.t.config.Refused != nil {
			u.t.config.Refused(a.Limit)
		}
		wait := a.RetryAfter
		if wait <= 0 {
			wait = defaultBlock
		}
		u.block(now.Add(wait))
		if until := now.Add(wait); until.After(u.report.until) {
			u.report.until = until
		}
		u.report.concurrency = u.report.concurrency || a.Limit == dynamics.LimitConcurrency
		u.wake()
	}
	u.dispatch(now)
}

// block keeps calls from beginning; slots from before it are not used after it.
func (u *user) block(until time.Time) {
	if !until.After(u.blocked) {
		return
	}
	u.blocked, u.leased = until, 0
	for _, w := range u.waiting.Remove(u.tooLong) {
		w.decided <- throttled(time.Until(until))
	}
}

// heard is a block that another process tells of.
func (u *user) heard(wait time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.block(time.Now().Add(wait))
	u.wake()
}

// dispatch gives slots to those who wait.
func (u *user) dispatch(now time.Time) {
	for u.waiting.Len() > 0 && u.free(now) {
		w, _ := u.waiting.Pop()
		u.inUse++
		w.decided <- nil
	}
}

// idle reports whether nothing is left to do for the user.
func (u *user) idle(now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.inUse == 0 && u.waiting.Len() == 0 && now.Sub(u.used) > linger && now.After(u.blocked) && u.report.until.IsZero()
}

// keep is the user's goroutine: it tells of blocks, asks for slots and gives them
// back, and ends when nobody uses the user any more.
func (u *user) keep() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	defer u.giveBack()
	for {
		u.tell()
		pause := u.ask()
		if u.t.forget(u) {
			return
		}
		timer.Reset(pause)
		select {
		case <-u.t.ctx.Done():
			return
		case <-timer.C:
		case <-u.kick:
		}
	}
}

// tell hands a block to Redis; one that could not be told is kept.
func (u *user) tell() {
	u.mu.Lock()
	r := u.report
	u.report = report{}
	u.mu.Unlock()
	wait := time.Until(r.until)
	if r.until.IsZero() || wait <= 0 {
		return
	}
	err := u.t.tell(u.t.ctx, u.key, wait, r.concurrency)
	u.t.reached(err)
	if err == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if r.until.After(u.report.until) {
		u.report.until = r.until
	}
	u.report.concurrency = u.report.concurrency || r.concurrency
}

// ask gets slots and says when to ask again.
func (u *user) ask() time.Duration {
	now := time.Now()
	u.mu.Lock()
	if wait := u.blocked.Sub(now); wait > 0 && u.inUse == 0 {
		u.mu.Unlock()
		return wait
	}
	wanted := u.inUse + u.waiting.Len()
	if now.Sub(u.used) <= linger {
		wanted = max(wanted+1, u.leased)
	}
	wanted = min(wanted, u.t.config.Concurrency)
	inUse := u.inUse
	u.mu.Unlock()

	got, err := u.t.lease(u.t.ctx, u.key, u.name, wanted, inUse)
	u.t.reached(err)

	u.mu.Lock()
	defer u.mu.Unlock()
	if err == nil {
		u.leased, u.leaseEnd, u.processes = got.slots, now.Add(leaseLife-leaseMargin), max(got.processes, 1)
		if got.blocked > 0 {
			u.block(time.Now().Add(got.blocked))
		}
	} else {
		u.alone(time.Now())
	}
	u.dispatch(time.Now())
	switch wait := time.Until(u.blocked); {
	case wait > 0 && u.inUse > 0:
		return min(wait, leaseLife/4) // what is in flight goes on counting
	case wait > 0:
		return wait
	case err != nil && u.t.ctx.Err() == nil:
		return min(redisPause, renewEvery)
	case u.waiting.Len() > 0:
		return starveEvery/2 + rand.N(starveEvery)
	}
	return renewEvery
}

// alone gives this process its share of the slots, growing after a block as the
// whole fleet's do.
func (u *user) alone(now time.Time) {
	slots := u.t.config.Concurrency
	if since := now.Sub(u.blocked); !u.blocked.IsZero() && since >= 0 {
		if steps := since / rampStep; steps < 16 {
			slots = min(slots, rampFirst<<steps)
		}
	}
	u.leased, u.leaseEnd = max(1, slots/u.processes), now.Add(redisPause)
}

// giveBack ends the lease and refuses who still waits.
func (u *user) giveBack() {
	u.mu.Lock()
	for _, w := range u.waiting.Remove(func(*waiter) bool { return true }) {
		w.decided <- closed()
	}
	inUse := u.inUse
	u.leased = 0
	u.mu.Unlock()
	// The process may be closing; what cannot be given back ends by itself.
	_, _ = u.t.lease(context.WithoutCancel(u.t.ctx), u.key, u.name, 0, inUse)
}
