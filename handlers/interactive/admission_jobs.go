package interactive

import "time"

// Slots are the consumer's slots, as they are shared with the pages of jobs: both together
// never have more than Options.MaxInFlight in hand. Jobs leave a quarter to requests, and a
// request that waits for a slot goes first, but for a few slots that jobs get however many
// requests come: without them requests without end would hold up all jobs for ever.
type Slots struct{ a *admission }

// Slots returns the consumer's slots.
func (c *Consumer) Slots() Slots { return Slots{c.admission} }

// Take takes a slot for a page of a job, if jobs may have one more now.
func (s Slots) Take() bool { return s.a.takePage(time.Now()) }

// Give gives a slot back.
func (s Slots) Give() { s.a.givePage(time.Now()) }

// Freed yields after a slot may have become free; it has a capacity of one.
func (s Slots) Freed() <-chan struct{} { return s.a.freed }

// jobsLeave is the part of the slots that jobs leave to requests, as a divisor.
const jobsLeave = 4

// pagesMost is how many slots the pages of jobs may have: one in any case.
func (a *admission) pagesMost() int {
	return max(a.bounds.inFlight-(a.bounds.inFlight+jobsLeave-1)/jobsLeave, 1)
}

// jobsKeep is the part of the slots that requests do not keep from jobs, as a divisor.
const jobsKeep = 16

// pagesLeast is how many slots jobs get whatever waits: one in any case.
func (a *admission) pagesLeast() int { return max(a.bounds.inFlight/jobsKeep, 1) }

// owedFor is how long a slot is kept for a job that found none. A job that is still there asks
// again within a second.
const owedFor = 2 * time.Second

// takePage takes a slot for a page, unless a request waits for one and jobs have their least.
func (a *admission) takePage(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	least := a.pages < a.pagesLeast()
	switch {
	case a.closed || a.pages >= a.pagesMost():
		return false
	case a.taken() >= a.bounds.inFlight:
		if least {
			a.asked = now
		}
		return false
	case !least && a.wanted(now):
		return false
	}
	a.pages++
	a.asked = time.Time{}
	return true
}

// owed is how many slots requests leave to jobs now, since one of these asked for its least.
func (a *admission) owed(now time.Time) int {
	if a.asked.IsZero() || now.Sub(a.asked) >= owedFor {
		return 0
	}
	return max(a.pagesLeast()-a.pages, 0)
}

// lapse lets requests have what is owed to jobs if no job comes for it.
func (a *admission) lapse(now time.Time) {
	if a.lapsing || a.closed || a.backlog == 0 || a.owed(now) == 0 {
		return
	}
	a.lapsing = true
	time.AfterFunc(a.asked.Add(owedFor).Sub(now), func() {
		a.runAll(a.lapsed(time.Now()))
	})
}

func (a *admission) lapsed(now time.Time) *request {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lapsing = false
	return a.dispatch(now)
}

// wanted reports whether a request waits that would run if more slots were free. What else
// holds one up, its connection's own bound or an environment that does not answer, is no
// reason to keep a slot.
func (a *admission) wanted(now time.Time) bool {
	for _, q := range a.waiting {
		if q.requesters.size() > 0 && q.running < a.bounds.perConnection && !q.hangs(now) {
			return true
		}
	}
	return false
}

// givePage gives a page's slot to requests that wait, or back.
func (a *admission) givePage(now time.Time) {
	a.runAll(a.gave(now))
}

func (a *admission) gave(now time.Time) *request {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pages--
	begun := a.dispatch(now)
	a.free()
	return begun
}

// free tells jobs that a slot may have become free.
func (a *admission) free() {
	if a.closed || a.taken() >= a.bounds.inFlight {
		return
	}
	select {
	case a.freed <- struct{}{}:
	default:
	}
}

// taken is how many slots are taken.
func (a *admission) taken() int { return a.inFlight + a.pages }
