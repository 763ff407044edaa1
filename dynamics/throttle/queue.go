package throttle

import (
	"slices"
	"time"
)

// A waiter is a call that waits for a slot. decided gets one value: nil with a slot,
// or why there is none.
type waiter struct {
	lane     string
	deadline time.Time // zero: none
	decided  chan error
}

// queue holds those who wait, lanes in turn, each in the order of arrival.
type queue struct {
	lanes []*lane
	next  int // whose turn it is
	size  int
}

type lane struct {
	name    string
	waiting []*waiter
}

func (q *queue) push(w *waiter) {
	q.size++
	for _, l := range q.lanes {
		if l.name == w.lane {
			l.waiting = append(l.waiting, w)
			return
		}
	}
	q.lanes = append(q.lanes, &lane{w.lane, []*waiter{w}})
}

// pop takes the first of the lane whose turn it is.
func (q *queue) pop() *waiter {
	q.next %= len(q.lanes)
	l := q.lanes[q.next]
	w := l.waiting[0]
	l.waiting = l.waiting[1:]
	q.size--
	if len(l.waiting) == 0 {
		q.lanes = slices.Delete(q.lanes, q.next, q.next+1)
	} else {
		q.next++
	}
	return w
}

// removeFunc takes out all that match.
func (q *queue) removeFunc(match func(*waiter) bool) (out []*waiter) {
	for _, l := range q.lanes {
		l.waiting = slices.DeleteFunc(l.waiting, func(w *waiter) bool {
			if match(w) {
				out = append(out, w)
				return true
			}
			return false
		})
	}
	q.lanes = slices.DeleteFunc(q.lanes, func(l *lane) bool { return len(l.waiting) == 0 })
	q.size -= len(out)
	return out
}
