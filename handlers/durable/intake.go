package durable

import (
	"slices"
	"time"

	"github.com/crmbridge/crmbridge/messages"
)

// A followed is a job as it was read from CRM_JOBS.
type followed struct {
	seq        uint64
	op         messages.Operation
	connection string
	id         string
	at         time.Time
	expires    instant
}

func (b *board) waitingOf(f followed) waiting {
	return waiting{seq: f.seq, id: f.id, at: f.at.UnixNano(), expires: f.expires, op: b.ops.index(f.op), gen: b.gen}
}

// follow takes in a job that the stream has. full is not nil where there is no room for it:
// then it is followed again when full is closed.
func (b *board) follow(f followed, now instant) (full <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.takeIn(f, now)
}

func (b *board) takeIn(f followed, now instant) (full <-chan struct{}) {
	key := jobKey{f.connection, f.id}
	if !b.knows(f.op) && now < f.expires {
		b.strand(key, b.waitingOf(f))
		return nil
	}
	q := b.queueOf(f.connection)
	switch {
	case b.seen(q, f):
	case q.more && f.seq >= q.from:
		q.beyond++
		q.late++
	case len(q.jobs) >= b.most || b.waits >= b.memory && !b.squeeze(q):
		if len(q.jobs) == 0 && !q.more {
			if b.forget(q); b.room == nil {
				b.room = make(chan struct{})
			}
			return b.room
		}
		if !q.more { // what was squeezed out comes before it
			q.more, q.from, q.beyond, q.late = true, f.seq, 0, 0
		}
		q.beyond++
		q.late++
		b.hunger(q)
	default:
		fresh := q.idle()
		b.insert(q, b.leave(b.waitingOf(f), now))
		b.settle(q, now, fresh)
	}
	return nil
}

// seen marks a job that is known as one that the stream has.
func (b *board) seen(q *queue, f followed) bool {
	if h := q.others[f.id]; h != nil && h.seq == f.seq {
		h.gen = b.gen
		return true
	}
	if o := q.open[f.id]; o != nil && o.seq == f.seq {
		o.gen = b.gen
		return true
	}
	if w, ok := q.delayed[f.id]; ok && w.seq == f.seq {
		w.gen = b.gen
		q.delayed[f.id] = w
		return true
	}
	if at, ok := q.find(f.seq); ok {
		q.jobs[at].gen = b.gen
		return true
	}
	return false
}

// squeeze makes room for a queue where memory is full: every queue may have half as many
// jobs, and those with more lose their last ones, which are read again in time.
func (b *board) squeeze(q *queue) bool {
	for b.waits >= b.memory && b.most > 1 {
		b.most /= 2
		for _, other := range b.queues {
			b.trim(other)
		}
	}
	return b.waits < b.memory && len(q.jobs) < b.most
}

// trim takes a queue's last jobs out of memory.
func (b *board) trim(q *queue) {
	if len(q.jobs) <= b.most {
		return
	}
	out := q.jobs[b.most:]
	if q.more {
		q.beyond += len(out)
	} else {
		q.more, q.beyond = true, len(out)
	}
	q.from = out[0].seq
	b.waits -= len(out)
	q.jobs = slices.Clone(q.jobs[:b.most])
}

// again begins a reading of the stream from its start. What it does not have is dropped by
// swept.
func (b *board) again() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gen++
	b.strays, b.aliens = strays{}, aliens{}
	for _, q := range b.queues {
		q.beyond, q.late = 0, 0
	}
}

// swept ends a reading of the stream from its start to a sequence: jobs up to it that it had
// no longer are dropped. Those that are open end by themselves.
func (b *board) swept(upTo uint64, now instant) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, s := range b.strangers {
		if s.gen != b.gen {
			delete(b.strangers, key)
		}
	}
	for _, q := range b.queues {
		before := len(q.jobs)
		q.jobs = slices.DeleteFunc(q.jobs, func(w waiting) bool { return w.gen != b.gen && w.seq <= upTo })
		b.waits -= before - len(q.jobs)
		b.sweepDelayed(q, upTo)
		for id, h := range q.others {
			if h.gen != b.gen && h.seq <= upTo {
				delete(q.others, id)
			}
		}
		b.hunger(q)
		b.settle(q, now, false)
	}
}

// count is how many jobs the stream has, as far as is known.
func (b *board) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.waits + b.opened + len(b.strangers) + b.strays.n + b.aliens.count()
	for _, q := range b.queues {
		n += q.beyond + len(q.others)
	}
	return n
}
