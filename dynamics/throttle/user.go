package throttle

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/fair"
)

const (
	// linger is how long slots are held after the last call, for the next one.
	linger = 500 * time.Millisecond
	// defaultBlock is how long nothing is sent after a 429 that says no time.
	defaultBlock = 10 * time.Second
)

// slot is what a call has that may begin.
type slot int

const (
	noSlot    slot = iota
	oneOfMany      // one of the slots that this process has
	theProbe       // the right to the one call that decides about a block
)

// A waiter is a call that waits for a slot. decided gets one value.
type waiter struct {
	job      bool // it gives way; see jobs.go
	since    time.Time
	deadline time.Time // zero: none
	decided  chan decision
}

// decision is a slot, or why there is none.
type decision struct {
	slot slot
	err  error
}

// user is what this process knows of one user's limits.
type user struct {
	t         *Throttle
	principal dynamics.Principal
	key       string
	name      string        // of this lease; a user who comes back meanwhile has another
	kick      chan struct{} // of capacity 1: there is something to ask or to tell
	question  question      // of its keeper

	mu       sync.Mutex
	inUse    int
	leased   int
	leaseEnd time.Time
	among    int  // processes that use or want slots, this one too, at the last answer
	all      int  // slots that there were for all of them then
	shared   bool // the lease is Redis's, not this process's own share
	stale    int  // answers in a row that were not used; see staleAfter
	waiting  fair.Queue[*waiter]
	used     time.Time // when a call last began or ended that is no job's
	jobs     jobs
	calls    dayCalls

	blocked   time.Time // no call begins before
	blockedAt time.Time // when that was learnt
	limit     dynamics.Limit
	mustProbe bool // after the block one call decides about the others
	mayProbe  bool // and it is this process that makes it, with its lease
	probing   bool // it is in flight
	report    report
}

// report is what the others are to hear of and Redis does not know yet.
type report struct {
	until  time.Time // of a block; zero: none
	limit  dynamics.Limit
	reduce bool // the slots
	probe  bool // it is so long that a probe ends it
	passed bool // a probe went well
	soon   bool // a probe is to be made now
}

func (r *report) add(o report) {
	if o.until.After(r.until) {
		r.until, r.limit = o.until, o.limit
	}
	r.reduce, r.probe = r.reduce || o.reduce, r.probe || o.probe
	r.passed, r.soon = r.passed || o.passed, r.soon || o.soon
}

func newUser(t *Throttle, p dynamics.Principal) *user {
	return &user{t: t, principal: p, key: keyOf(p), name: uuid.NewString(), kick: make(chan struct{}, 1),
		question: question{answered: make(chan struct{}, 1)}, used: time.Now(),
		calls: dayCalls{unsaid: t.owed.take(keyOf(p))}}
}

// enter takes a slot (no waiter), or waits for one.
func (u *user) enter(ctx context.Context, queue string) (slot, *waiter, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now, job := time.Now(), dynamics.Background(ctx)
	u.use(now, job)
	if wait := u.blocked.Sub(now); wait > 0 {
		if deadline, _ := ctx.Deadline(); u.outlasts(deadline, now) {
			return noSlot, nil, throttled(wait, u.limit)
		}
	}
	if s := u.atOnce(now, job); s != noSlot {
		return s, nil, nil
	}
	before := u.waitingRoom(job)
	if before.Len() >= u.t.config.MaxWaiting {
		return noSlot, nil, &dynamics.Error{Kind: dynamics.Overloaded, RetryAfter: max(u.blocked.Sub(now), time.Second),
			Message: "too many calls of this user wait already"}
	}
	w := &waiter{decided: make(chan decision, 1), job: job, since: now}
	w.deadline, _ = ctx.Deadline()
	before.Push(queue, w)
	u.wake()
	return noSlot, w, nil
}

// tryEnter takes a slot for a call that need not wait.
func (u *user) tryEnter(job bool) slot {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	s := u.atOnce(now, job)
	if s != noSlot {
		u.use(now, job)
	}
	return s
}

// use notes a call.
func (u *user) use(now time.Time, job bool) {
	if job {
		u.jobs.used = now
	} else {
		u.used = now
	}
}

// atOnce is take for a call that overtakes nobody who waits.
func (u *user) atOnce(now time.Time, job bool) slot {
	if u.waitingRoom(job).Len() > 0 || job && u.waiting.Len() > 0 {
		return noSlot
	}
	return u.take(now, job)
}

// take gives a slot that is held and that no call has, to a job's call or to another.
func (u *user) take(now time.Time, job bool) slot {
	s := noSlot
	switch {
	case !now.After(u.blocked) || !now.Before(u.leaseEnd):
		return noSlot
	case u.mayProbe && !u.probing:
		u.mayProbe, u.probing = false, true
		s = theProbe
	case !u.mustProbe && u.inUse < u.leased && (!job || u.jobs.mayUse()):
		s = oneOfMany
	default:
		return noSlot
	}
	u.inUse++
	if job {
		u.jobs.inUse++
	}
	return s
}

// outlasts reports whether who has until deadline, zero for no end, need not wait for the
// end of the block.
func (u *user) outlasts(deadline, now time.Time) bool {
	return u.blocked.Sub(now) > u.t.config.MaxBlock || !deadline.IsZero() && !deadline.After(u.blocked)
}

// tooLong is outlasts of one who waits.
func (u *user) tooLong(w *waiter) bool { return u.outlasts(w.deadline, time.Now()) }

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
	return len(u.waitingRoom(w.job).Remove(func(o *waiter) bool { return o == w })) == 1
}

// An ending counts the calls that it was used for, so that the end of one of them counts
// once, also where it is said again after the ending has gone to another.
type ending struct{ calls atomic.Uint64 }

var endings = sync.Pool{New: func() any { return new(ending) }}

// leaver ends one call, however often it is called.
func (u *user) leaver(s slot, job bool) func(dynamics.Answer) {
	mine := endings.Get().(*ending)
	call := mine.calls.Load()
	return func(a dynamics.Answer) {
		if mine.calls.CompareAndSwap(call, call+1) {
			endings.Put(mine)
			u.leave(s, job, a)
		}
	}
}

// A held is the slot of a call that begins at once.
type held struct {
	of   *user
	slot slot
	job  bool
}

var helds = sync.Pool{New: func() any { return new(held) }}

func (u *user) hold(s slot, job bool) *held {
	h := helds.Get().(*held)
	*h = held{u, s, job}
	return h
}

// Leave ends the call; see [dynamics.Slot].
func (h *held) Leave(a dynamics.Answer) {
	call := *h
	*h = held{}
	helds.Put(h)
	call.of.leave(call.slot, call.job, a)
}

func (u *user) leave(s slot, job bool, a dynamics.Answer) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	u.inUse--
	if a.Sent {
		u.calls.unsaid++
	}
	if job {
		u.jobs.inUse--
	}
	u.use(now, job)
	if s == theProbe {
		u.probing = false
	}
	switch {
	case a.Limit != dynamics.NoLimit:
		u.refused(now, a)
	case s == theProbe && a.Answered:
		u.mustProbe, u.report.passed = false, true
		u.wake()
	case s == theProbe:
		u.wake() // it decided nothing: another call, or another process, is to try
	}
	u.dispatch(now)
}

// refused is a call that met a limit.
func (u *user) refused(now time.Time, a dynamics.Answer) {
	if u.t.config.Refused != nil {
		u.t.config.Refused(a.Limit)
	}
	wait := min(a.RetryAfter, u.t.config.LongestBlock)
	if wait <= 0 {
		wait = defaultBlock
	}
	r := report{until: now.Add(wait), limit: a.Limit}
	r.reduce, r.probe = a.Limit == dynamics.LimitConcurrency, wait == u.t.config.LongestBlock
	u.mustProbe = u.mustProbe || r.probe
	u.block(r.until, a.Limit)
	u.report.add(r)
	u.wake()
}

// block keeps calls from beginning; slots from before it are not used after it.
func (u *user) block(until time.Time, limit dynamics.Limit) {
	if !until.After(u.blocked) {
		return
	}
	u.blocked, u.blockedAt, u.limit = until, time.Now(), limit
	u.leased, u.jobs.leased, u.shared, u.mayProbe = 0, 0, false, false
	u.refuse(u.tooLong, throttled(time.Until(until), limit))
}

// refuse takes those who match from among those who wait.
func (u *user) refuse(match func(*waiter) bool, err error) {
	for _, w := range append(u.waiting.Remove(match), u.jobs.waiting.Remove(match)...) {
		w.decided <- decision{err: err}
	}
}

// applyRemoteBlock applies what another process published: a block, or its end.
func (u *user) applyRemoteBlock(n news) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	if n.wait > 0 {
		u.mustProbe = u.mustProbe || n.probe
		u.block(now.Add(n.wait), n.limit)
	} else {
		u.mustProbe = n.probe
		u.lift(now)
	}
	u.wake()
}

// probeSoon lets a block be tried now, false where there is none here. Redis gets it
// after what it is still to get of the block itself.
func (u *user) probeSoon() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	if !now.Before(u.blocked) {
		return false
	}
	u.mustProbe, u.report.soon = true, true
	u.lift(now)
	u.wake()
	return true
}

// lift ends a block here; what follows is asked for.
func (u *user) lift(now time.Time) {
	if now.Before(u.blocked) {
		u.blocked = now
	}
}

// dispatch gives slots to those who wait, and to jobs' calls where no other waits.
func (u *user) dispatch(now time.Time) {
	for u.waits() {
		job := u.waiting.Len() == 0
		s := u.take(now, job)
		if s == noSlot {
			return
		}
		w, _ := u.waitingRoom(job).Pop()
		w.decided <- decision{slot: s}
	}
}

// idle reports whether nothing is left to do for the user.
func (u *user) idle(now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.inUse == 0 && !u.waits() && now.Sub(u.used) > linger && now.Sub(u.jobs.used) > linger &&
		now.After(u.blocked) && u.report == report{}
}
