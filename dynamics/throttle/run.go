package throttle

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	// leaseLife is how long slots, and the right to probe, stay with a process that
	// does not renew them: then it is dead, or cut off and on its own share.
	leaseLife   = 5 * time.Second
	leaseMargin = time.Second // a lease is used for this much less than Redis keeps it
	// renewEvery is how often a process that is at work asks again: so long may it
	// take until slots that others need are given up.
	renewEvery = 250 * time.Millisecond
	// fewSlots is one call's, and one more that is asked for while a call takes long.
	fewSlots = 2
	// starveEvery is how often a process asks that has calls waiting.
	starveEvery = 25 * time.Millisecond
	// jobsEvery is how often it asks where only jobs' calls wait; often enough that one that
	// holds slots which others want hears of it within a turn.
	jobsEvery = 100 * time.Millisecond
	// blockedEvery is how often it asks during a block, whose end it may not have heard of.
	blockedEvery = 5 * time.Second
	// redisPause is how long a share is used without Redis before it is tried again.
	redisPause = time.Second
	// staleAfter is how old an answer of Redis may be where the process does not hear of
	// blocks: one may have begun since. It then asks again, but not for ever, since a Redis
	// may be as slow as that.
	staleAfter = 100 * time.Millisecond
	staleMost  = 3
)

// run is the user's goroutine: it publishes blocks, asks for slots and gives them
// back, and ends when nobody uses the user any more.
func (u *user) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	defer u.giveBack()
	for renewal := false; ; {
		select {
		case <-u.kick: // what it is for is looked at now
			renewal = false
		default:
		}
		u.publishBlock()
		if u.t.forget(u) {
			return
		}
		pause, rests := u.rests(time.Now())
		if !rests {
			pause = u.askFor(renewal)
		}
		if renewal = !rests && pause == renewEvery; renewal {
			pause = u.t.due(time.Now())
		}
		timer.Reset(pause)
		select {
		case <-u.t.ctx.Done():
			return
		case <-timer.C:
		case <-u.kick:
			renewal = false
		}
	}
}

// rests reports whether there is nothing to ask while nobody calls, and how long that may be so:
// the few slots that are held for the next call are in nobody's way, and blocks are heard of.
// Most users are asked for now and then only; their calls cost Redis two questions so, whatever
// the number of processes that serve them.
func (u *user) rests(now time.Time) (time.Duration, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	fresh := u.leaseEnd.Sub(now) > leaseLife-leaseMargin-linger // the last answer is that young
	if u.inUse > 0 || u.waits() || u.leased == 0 || !u.shared || !fresh || !u.t.hears.Load() ||
		u.calls.bounded || u.jobs.leased > 0 || now.Sub(u.jobs.used) <= linger ||
		now.Before(u.blocked) || u.mustProbe || u.probing || u.report != (report{}) ||
		!u.leavesOthers() {
		return 0, false
	}
	left := linger - now.Sub(u.used)
	return left + time.Millisecond, left > 0
}

// leavesOthers reports whether others find slots however many processes rest, so that nobody is
// starved by who does not ask: those that rest with their share of half of the slots that there
// are now, or with very few, have seven eighths of them at most. For a fleet of n processes the
// share is the same for each whoever comes first; of very few the nth that holds some has no more
// than an nth of a quarter.
func (u *user) leavesOthers() bool {
	share, known := u.t.fleet.share(u.all / 2)
	return known && u.leased <= share || u.leased <= fewSlots && u.leased*u.among <= u.all/4
}

// publishBlock hands to Redis what the other processes are to apply; what could not be
// published is kept.
func (u *user) publishBlock() {
	u.mu.Lock()
	r := u.report
	u.report = report{}
	u.mu.Unlock()
	if r.passed {
		err := u.t.passed(u.t.ctx, u.key, u.name)
		u.t.reached(err)
		r.passed = err != nil
	}
	var err error
	if wait := time.Until(r.until); wait > 0 || r.probe { // a probe is due after the block, too
		err = u.t.publish(u.t.ctx, u.key, u.name, wait, r)
		u.t.reached(err)
	}
	if err == nil {
		r = report{passed: r.passed, soon: r.soon}
	}
	if r.soon && err == nil {
		err = u.t.soon(u.t.ctx, u.key)
		u.t.reached(err)
		r.soon = err != nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.report.add(r)
}

// ask gets slots and says when to ask again.
func (u *user) ask() time.Duration { return u.askFor(false) }

// askFor is ask; for a renewal it may wait for other users'.
func (u *user) askFor(renewal bool) time.Duration {
	now, heard := time.Now(), u.t.hears.Load()
	var got lease
	var err error
	wants := u.wants(now)
	if renewal && wants.need == needNothing {
		q := &u.question
		q.key, q.name, q.ask = u.key, u.name, wants
		got, err = u.t.leaseTogether(u.t.ctx, q)
	} else {
		got, err = u.t.lease(u.t.ctx, u.key, u.name, wants)
	}
	u.t.reached(err)

	u.mu.Lock()
	defer u.mu.Unlock()
	if err == nil {
		u.calls.told(got, wants.calls, now)
	}
	switch {
	case err != nil:
		u.alone(time.Now())
	case !heard && got.blocked == 0 && time.Since(now) > staleAfter && u.stale < staleMost:
		u.stale++
	default:
		u.stale = 0
		u.t.fleet.seen(got.fleet)
		u.granted(got, now)
	}
	u.dispatch(time.Now())
	switch wait := time.Until(u.blocked); {
	case wait > 0 && u.inUse > 0:
		return min(wait, leaseLife/4) // what is in flight goes on counting
	case wait > 0:
		return min(wait, blockedEvery)
	case err != nil && u.t.ctx.Err() == nil:
		return min(redisPause, renewEvery)
	case u.waiting.Len() > 0:
		return starveEvery/2 + rand.N(starveEvery)
	case u.waits():
		return jobsEvery/2 + rand.N(jobsEvery)
	}
	return renewEvery
}

// wants is what this process has use for: what is in flight and what waits, and for a
// while after the last call one more than it needs, so that the next need not ask.
func (u *user) wants(now time.Time) ask {
	u.mu.Lock()
	defer u.mu.Unlock()
	most := u.t.config.Concurrency
	a := ask{inUse: u.inUse, calls: u.calls.unsaid, jobsInUse: u.jobs.inUse,
		jobs:   min(u.jobs.inUse+u.jobs.waiting.Len(), most),
		demand: min(u.inUse-u.jobs.inUse+u.waiting.Len(), most)}
	a.wanted = a.demand
	if u.leased > 0 && now.Sub(u.used) <= linger {
		a.wanted = min(max(a.wanted+1, u.leased-u.jobs.leased), most)
	}
	switch {
	case u.probing:
		a.need = needProbing
	case u.waits():
		a.need = needProbe
	default:
		u.mayProbe = false // it goes back with this question
	}
	return a
}

// granted takes what Redis answered to a question of then. What was learnt of a block
// since, and of its end, is newer than the answer.
func (u *user) granted(got lease, then time.Time) {
	now := time.Now()
	if u.report.soon || u.blockedAt.After(then) && now.Before(u.blocked) {
		return
	}
	u.leased, u.leaseEnd, u.shared = got.slots, then.Add(leaseLife-leaseMargin), true
	u.jobs.leased, u.among, u.all = got.jobs, got.fleet, got.all
	u.mustProbe, u.mayProbe = got.probe, got.mayProbe && !u.probing
	if got.blocked > 0 {
		u.block(now.Add(got.blocked), got.limit)
	} else if u.report.until.IsZero() {
		u.lift(now)
	}
}

// alone is what a process does without Redis. A lease counts to its end, since Redis
// gives its slots to nobody before. Then, and where there was none, a few slots are
// used until the leases of all others have ended too, and the share from then on. Where
// the size of the fleet is not known it stays with those few.
func (u *user) alone(now time.Time) {
	if u.shared && now.Before(u.leaseEnd) {
		return
	}
	if now.Before(u.blocked) {
		u.leased, u.jobs.leased, u.shared = 0, 0, false
		return
	}
	slots := u.t.config.Concurrency
	if since := now.Sub(u.blocked); !u.blocked.IsZero() {
		if steps := since / rampStep; steps < 16 {
			slots = min(slots, rampFirst<<steps)
		}
	}
	share, known := u.t.fleet.share(slots)
	if !known || !u.t.away.over(leaseLife, now) {
		share = min(rampFirst, slots, max(share, 1))
	}
	u.leased, u.leaseEnd, u.shared = max(1, share), now.Add(redisPause), false
	u.jobs.leased = jobsShare(u.leased, u.t.config.Concurrency)
	u.mayProbe = u.mustProbe && !u.probing
}

// giveBack ends the lease and refuses who still waits.
func (u *user) giveBack() {
	u.mu.Lock()
	u.refuse(func(*waiter) bool { return true }, closed())
	a := ask{inUse: u.inUse, calls: u.calls.unsaid, jobsInUse: u.jobs.inUse, demand: u.inUse - u.jobs.inUse}
	if u.probing {
		a.need = needProbing
	}
	u.leased, u.jobs.leased, u.mayProbe = 0, 0, false
	u.mu.Unlock()
	// The process may be closing; what cannot be given back ends by itself.
	if _, err := u.t.lease(context.WithoutCancel(u.t.ctx), u.key, u.name, a); err != nil {
		u.t.owed.add(u.key, a.calls)
	}
}
