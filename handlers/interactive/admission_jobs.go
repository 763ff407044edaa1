package interactive

import "time"

// Slots are the consumer's slots, as they are shared with the pages of jobs: both together
// never have more than Options.MaxInFlight in hand. Jobs leave a quarter to requests, and a
// request that waits for a slot goes first.
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

// takePage takes a slot for a page, unless a request waits for one.
func (a *admission) takePage(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || a.pages >= a.pagesMost() || a.taken() >= a.bounds.inFlight || a.wanted(now) {
		return false
	}
	a.pages++
	return true
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
	for _, next := range a.gave(now) {
		a.run(next)
	}
}

func (a *admission) gave(now time.Time) []*request {
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
