package interactive

import (
	"time"

	"github.com/crmbridge/crmbridge/messages"
)

// A request waits for a place of the process for a part of its time: who asks with a
// long deadline would rather wait than ask again, and where all places hang the others
// hear of it in time to ask another process.
const (
	placePart = 4 // the part of its time, as a divisor
	placeWait = time.Second
)

func waitsFor(r *request) time.Duration {
	return max(r.deadline.Sub(r.arrived)/placePart, placeWait)
}

// sweep refuses what has waited for longer than it is worth: too long for an answer
// before its deadline, or for longer than a place of the process is waited for.
func (a *admission) sweep(now time.Time) {
	begun, out := a.swept(now)
	for _, r := range begun {
		a.run(r)
	}
	a.turnAway(out)
}

func (a *admission) swept(now time.Time) (begun []*request, out []denied) {
	a.mu.Lock()
	defer a.mu.Unlock()
	begun = a.dispatch(now)
	for _, l := range a.waiting {
		out = a.sweepLine(l, now, out)
	}
	return begun, out
}

func (a *admission) sweepLine(l *line, now time.Time, out []denied) []denied {
	noPlace := l.running < a.bounds.perConnection || a.inHand >= a.bounds.inHand
	least := l.pace(now) / 2 // an answer in less is not to be hoped for
	for of := range l.lanes.all {
		for i := 0; i < len(of.waiting); {
			r := of.waiting[i]
			why := verdict{messages.Overloaded, l.patience(0, a.bounds)}
			switch left := r.deadline.Sub(now); {
			case left <= 0:
				why = verdict{code: messages.DeadlineExceeded}
			case left < least, noPlace && now.Sub(r.arrived) > waitsFor(r):
			default:
				i++
				continue
			}
			of.remove(i)
			a.backlog--
			a.bytes -= r.size
			out = append(out, denied{r, why})
		}
	}
	return out
}

// abandon refuses what waits, and from now on everything that comes.
func (a *admission) abandon() { a.turnAway(a.emptied()) }

func (a *admission) emptied() (out []denied) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	for _, l := range a.waiting {
		for r := l.lanes.pop(); r != nil; r = l.lanes.pop() {
			out = append(out, denied{r, verdict{messages.Unavailable, time.Second}})
		}
		l.listed = false
	}
	a.waiting, a.backlog, a.bytes = nil, 0, 0
	return out
}
