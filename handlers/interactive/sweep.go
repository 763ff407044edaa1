package interactive

import (
	"time"

	"github.com/crmbridge/crmbridge/messages"
)

// A request waits for a slot for a part of its time. Who asks with a long deadline would
// rather wait than ask again; where every slot is held by a request that hangs, the others
// are refused in time to ask another process.
const (
	slotShare   = 4 // the part of its time, as a divisor
	minSlotWait = time.Second
)

func waitsFor(r *request) time.Duration {
	return max(r.deadline.Sub(r.arrived)/slotShare, minSlotWait)
}

// sweep refuses requests that have waited too long: for an answer before their deadline,
// or for a slot.
func (a *admission) sweep(now time.Time) {
	begun, out := a.swept(now)
	a.runAll(begun)
	a.reject(out)
}

func (a *admission) swept(now time.Time) (begun *request, out []denied) {
	a.mu.Lock()
	defer a.mu.Unlock()
	begun = a.dispatch(now)
	for _, q := range a.waiting {
		out = a.sweepQueue(q, now, out)
	}
	a.free() // what waited for a slot may be refused now
	return begun, out
}

func (a *admission) sweepQueue(q *connQueue, now time.Time, out []denied) []denied {
	noSlot := q.running < a.bounds.perConnection || a.taken() >= a.bounds.inFlight
	least := q.pace(now) / 2 // no answer comes in less
	for of := range q.requesters.all {
		for i := 0; i < len(of.waiting); {
			r := of.waiting[i]
			why := verdict{messages.Overloaded, q.retryAfter(0, a.bounds)}
			switch left := r.deadline.Sub(now); {
			case left <= 0:
				why = verdict{code: messages.DeadlineExceeded}
			case a.even(q, 0):
				i++
				continue
			case left < least, noSlot && now.Sub(r.arrived) > waitsFor(r):
			default:
				i++
				continue
			}
			of.remove(i)
			a.backlog--
			a.bytes -= r.size
			a.tally(q)
			out = append(out, denied{r, why})
		}
	}
	return out
}

// abandon refuses what waits, and from now on everything that arrives.
func (a *admission) abandon() { a.reject(a.emptied()) }

func (a *admission) emptied() (out []denied) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	for _, q := range a.waiting {
		for r := q.requesters.pop(); r != nil; r = q.requesters.pop() {
			out = append(out, denied{r, verdict{messages.Unavailable, time.Second}})
		}
		q.listed = false
		a.tally(q)
	}
	a.waiting, a.backlog, a.bytes = nil, 0, 0
	return out
}
