// Package fair holds queues in which lanes take turns, so that whoever floods one
// lane waits behind the own flood and not in front of the others.
package fair

import "slices"

// Queue holds what waits, each lane's in the order of arrival. The zero value is
// empty. It is not safe for concurrent use.
type Queue[T any] struct {
	lanes []*lane[T]
	next  int // whose turn it is
	size  int
}

type lane[T any] struct {
	name    string
	waiting []T
}

// Len is how many wait.
func (q *Queue[T]) Len() int { return q.size }

// Push lets item wait in a lane.
func (q *Queue[T]) Push(name string, item T) {
	q.size++
	for _, l := range q.lanes {
		if l.name == name {
			l.waiting = append(l.waiting, item)
			return
		}
	}
	q.lanes = append(q.lanes, &lane[T]{name, []T{item}})
}

// Pop takes the first of the lane whose turn it is; ok is false where nothing waits.
func (q *Queue[T]) Pop() (item T, ok bool) {
	if q.size == 0 {
		return item, false
	}
	l := q.lanes[q.next]
	item = l.waiting[0]
	l.waiting = slices.Delete(l.waiting, 0, 1)
	q.size--
	if len(l.waiting) == 0 {
		q.lanes = slices.Delete(q.lanes, q.next, q.next+1)
	} else {
		q.next++
	}
	q.wrap()
	return item, true
}

// Remove takes out all that match and returns them. Whose turn it is does not change,
// unless nothing is left in that lane: then it is the turn of the one behind.
func (q *Queue[T]) Remove(match func(T) bool) (out []T) {
	next := q.next
	for i, l := range q.lanes {
		l.waiting = slices.DeleteFunc(l.waiting, func(item T) bool {
			if match(item) {
				out = append(out, item)
				return true
			}
			return false
		})
		if len(l.waiting) == 0 && i < next {
			q.next-- // those behind move up
		}
	}
	q.lanes = slices.DeleteFunc(q.lanes, func(l *lane[T]) bool { return len(l.waiting) == 0 })
	q.size -= len(out)
	q.wrap()
	return out
}

// wrap is done at once: a lane that joins at the end must not find itself next.
func (q *Queue[T]) wrap() {
	if q.next >= len(q.lanes) {
		q.next = 0
	}
}
