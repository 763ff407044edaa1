// Package fair serves several queues round-robin, so that a flooding queue delays only
// itself.
package fair

import "slices"

// Queue holds what waits, in queues by name, each in the order of arrival. The zero value
// is empty. It is not safe for concurrent use.
type Queue[T any] struct {
	queues []*queue[T]
	next   int // whose turn it is
	size   int
}

type queue[T any] struct {
	name    string
	waiting []T
}

// Len is how many wait.
func (q *Queue[T]) Len() int { return q.size }

// Push lets item wait in a queue.
func (q *Queue[T]) Push(name string, item T) {
	q.size++
	for _, l := range q.queues {
		if l.name == name {
			l.waiting = append(l.waiting, item)
			return
		}
	}
	q.queues = append(q.queues, &queue[T]{name, []T{item}})
}

// Pop takes the first of the queue whose turn it is; ok is false where nothing waits.
func (q *Queue[T]) Pop() (item T, ok bool) {
	if q.size == 0 {
		return item, false
	}
	l := q.queues[q.next]
	item = l.waiting[0]
	l.waiting = slices.Delete(l.waiting, 0, 1)
	q.size--
	if len(l.waiting) == 0 {
		q.queues = slices.Delete(q.queues, q.next, q.next+1)
	} else {
		q.next++
	}
	q.wrap()
	return item, true
}

// Remove takes out all that match and returns them. Whose turn it is does not change,
// unless nothing is left in that queue: then it is the turn of the next.
func (q *Queue[T]) Remove(match func(T) bool) (out []T) {
	next := q.next
	for i, l := range q.queues {
		l.waiting = slices.DeleteFunc(l.waiting, func(item T) bool {
			if match(item) {
				out = append(out, item)
				return true
			}
			return false
		})
		if len(l.waiting) == 0 && i < next {
			q.next-- // later ones move up
		}
	}
	q.queues = slices.DeleteFunc(q.queues, func(l *queue[T]) bool { return len(l.waiting) == 0 })
	q.size -= len(out)
	q.wrap()
	return out
}

// wrap is done at once: a queue that joins at the end must not find itself next.
func (q *Queue[T]) wrap() {
	if q.next >= len(q.queues) {
		q.next = 0
	}
}
