package durable

import "time"

// Jobs that are not to be run for a while are kept apart from those that wait for their turn:
// a thousand of them would fill what memory has for a connection, and hold back those behind
// them for as long.

const (
	// delayedFrom is how far away a job's time is at least that is kept apart.
	delayedFrom = 2 * time.Second
	// delayedMost bounds them for one connection, and delayedShare, as a divisor, to a part of all
	// jobs in memory. More than these wait among the others.
	delayedMost  = 10_000
	delayedShare = 4
)

// ripe is from when on a delayed job waits for its turn.
func (w *waiting) ripe() instant { return min(w.expires, w.after) }

// delay keeps a job apart until its time; it reports false where it is to wait among the others.
func (b *board) delay(q *queue, w waiting, now instant) bool {
	_, taken := q.delayed[w.id] // by another job of the same id
	if taken || w.ripe() < now.after(delayedFrom) || len(q.delayed) >= delayedMost || b.delays >= b.memory/delayedShare {
		return false
	}
	if len(q.delayed) == 0 {
		q.delayed, q.soonest = map[string]waiting{}, never
	}
	q.delayed[w.id] = w
	q.soonest = min(q.soonest, w.ripe())
	b.delays++
	b.waits++
	return true
}

// undelay takes a delayed job out.
func (b *board) undelay(q *queue, id string) waiting {
	w := q.delayed[id]
	if delete(q.delayed, id); len(q.delayed) == 0 {
		q.delayed = nil
	}
	b.delays--
	b.waits--
	return w
}

// ripen lets delayed jobs wait for their turn whose time has come.
func (b *board) ripen(q *queue, now instant) {
	if len(q.delayed) == 0 || now < q.soonest {
		return
	}
	q.soonest = never
	for id, w := range q.delayed {
		if w.ripe() <= now {
			b.place(q, b.undelay(q, id))
		} else {
			q.soonest = min(q.soonest, w.ripe())
		}
	}
}

// sweepDelayed drops delayed jobs that the stream has no longer.
func (b *board) sweepDelayed(q *queue, upTo uint64) {
	for id, w := range q.delayed {
		if w.gen != b.gen && w.seq <= upTo {
			b.undelay(q, id)
		}
	}
}

// pull takes a job out that waits, in whichever way. ok is false where none of that id does.
func (b *board) pull(q *queue, id string) (w waiting, ok bool) {
	if at := q.indexOf(id); at >= 0 {
		return b.take(q, at), true
	}
	if _, ok := q.delayed[id]; ok {
		return b.undelay(q, id), true
	}
	return w, false
}

// peek is a job that waits, in whichever way; nil where none of that id does.
func (q *queue) peek(id string) *waiting {
	if at := q.indexOf(id); at >= 0 {
		return &q.jobs[at]
	}
	if w, ok := q.delayed[id]; ok {
		return &w
	}
	return nil
}
