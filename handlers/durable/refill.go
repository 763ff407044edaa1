package durable

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// refills is how many queues are read on at once.
const refills = 4

// A refill reads on a queue whose jobs in memory have become few.
type refill struct {
	queue *queue
	from  uint64
	most  int
}

// refillHungry reads on queues whose jobs in memory have become few, and jobs that are left
// alone when these have.
func (l *Lane) refillHungry() {
	if r, ok := l.board.nextStrays(); ok {
		l.intake.Go(func() {
			got, next, err := l.readStrays(l.following, r)
			if err != nil && l.following.Err() == nil {
				l.seldom.warn("jobs of unknown operations could not be read", "error", err)
				pauseFor(l.following, retryFirst)
			}
			l.board.strayed(r, got, next, err, l.now())
			l.wake()
		})
	}
	for {
		r, ok := l.board.nextRefill()
		if !ok {
			return
		}
		l.intake.Go(func() {
			got, left, err := l.readOn(l.following, r)
			if err != nil && l.following.Err() == nil {
				l.seldom.warn("jobs that wait could not be read", "error", err)
				pauseFor(l.following, retryFirst)
			}
			l.board.refilled(r, got, left, err, l.now())
			l.wake()
		})
	}
}

// nextRefill is a queue that is to be read on.
func (b *board) nextRefill() (refill, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for q := range b.hungry {
		if b.filling >= refills {
			return refill{}, false
		}
		if !q.more || q.filling {
			delete(b.hungry, q)
			continue
		}
		if len(q.jobs) == 0 && b.waits >= b.memory {
			b.squeeze(q)
		}
		most := min(b.most-len(q.jobs), b.memory-b.waits)
		if most <= 0 {
			continue // until memory has room
		}
		delete(b.hungry, q)
		q.filling, q.late = true, 0
		b.filling++
		return refill{q, q.from, most}, true
	}
	return refill{}, false
}

// readOn reads a connection's next jobs. left is how many come after them.
func (l *Lane) readOn(ctx context.Context, r refill) (got []followed, left int, err error) {
	c, err := l.consumer(ctx, r.from, r.queue.connection)
	if err != nil {
		return nil, 0, err
	}
	defer l.forgetConsumer(c)
	left = int(c.CachedInfo().NumPending)
	for left > 0 && len(got) < r.most {
		batch, err := c.Fetch(min(left, r.most-len(got)), jetstream.FetchMaxWait(apiWait))
		if err != nil {
			return nil, 0, fmt.Errorf("ask for jobs: %w", err)
		}
		before := left
		for msg := range batch.Messages() {
			left--
			about, err := msg.Metadata()
			if err != nil {
				return nil, 0, fmt.Errorf("a message of a connection's jobs: %w", err)
			}
			if f, ok := l.followed(msg, about); ok {
				got = append(got, f)
			}
		}
		if err := batch.Error(); err != nil {
			return nil, 0, err
		}
		if left == before {
			return got, 0, nil // the others were deleted meanwhile
		}
	}
	return got, left, nil
}

// refilled takes in what was read of a queue.
func (b *board) refilled(r refill, got []followed, left int, err error, now instant) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := r.queue
	q.filling = false
	b.filling--
	if err != nil || q.from != r.from {
		b.hunger(q)
		b.settle(q, now, false)
		return
	}
	for _, f := range got {
		if q.from = f.seq + 1; !b.knows(f.op) && now < f.expires {
			b.strand(jobKey{f.connection, f.id}, b.waitingOf(f))
		} else if !b.seen(q, f) {
			b.insert(q, b.waitingOf(f))
		}
	}
	q.beyond = max(left-b.knownFrom(q, q.from), 0) + q.late
	if left == 0 && q.late == 0 {
		q.more = false
	} else {
		b.hunger(q)
	}
	b.settle(q, now, false)
}
