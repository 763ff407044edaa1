package throttle

import (
	"context"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/fair"
)

// reserved is how many of a user's slots calls of jobs leave free over the whole fleet, so
// that somebody who asks meanwhile finds one.
const reserved = 4

// jobs is what concerns the calls of jobs, which give way to the user's other calls.
type jobs struct {
	waiting fair.Queue[*waiter]
	inUse   int // of the user's slots
	leased  int // that they may use, of those that this process has
	used    time.Time
}

// mayUse reports whether one more may use a slot.
func (j *jobs) mayUse() bool { return j.inUse < j.leased }

// jobsShare is how many of a process's own slots jobs may use where Redis does not say it:
// the part that they have of all slots. It is one at least, which they get while nothing
// else has it.
func jobsShare(slots, of int) int { return max(1, slots*max(of-reserved, 0)/of) }

// waits reports whether any call does.
func (u *user) waits() bool { return u.waiting.Len()+u.jobs.waiting.Len() > 0 }

// waitingRoom is where calls of jobs or the others wait.
func (u *user) waitingRoom(job bool) *fair.Queue[*waiter] {
	if job {
		return &u.jobs.waiting
	}
	return &u.waiting
}

// wait returns what is decided of a call, or why it does not wait any longer. A call of a
// job, whose turn may never come, waits no longer than for a block.
func (u *user) wait(ctx context.Context, w *waiter) (decision, error) {
	var late <-chan time.Time
	if w.job {
		timer := time.NewTimer(u.t.config.MaxBlock)
		defer timer.Stop()
		late = timer.C
	}
	var err error
	select {
	case got := <-w.decided:
		return got, nil
	case <-late:
		if u.withdraw(w) {
			return decision{}, u.outwaited()
		}
		return <-w.decided, nil
	case <-ctx.Done():
		err = ended(ctx.Err())
	}
	if !u.withdraw(w) {
		if got := <-w.decided; got.err == nil {
			u.leaver(got.slot, w.job)(dynamics.Answer{}) // the slot came at the same moment
		}
	}
	return decision{}, err
}

// comeBack is when a job may ask again whose calls have waited long enough.
const comeBack = 5 * time.Second

// outwaited is the refusal of a job's call that waited in vain.
func (u *user) outwaited() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if wait := time.Until(u.blocked); wait > 0 {
		return throttled(wait, u.limit)
	}
	return &dynamics.Error{Kind: dynamics.Overloaded, RetryAfter: comeBack,
		Message: "the user's other calls go first; nothing was sent"}
}
