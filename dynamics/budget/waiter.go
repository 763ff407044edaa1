package budget

import (
	"context"
	"time"
)

// Bounds of [Error.After].
const (
	leastAfter = 500 * time.Millisecond
	mostAfter  = 10 * time.Second
)

// A waiter is a call that waits for room.
type waiter struct {
	lease *Lease
	n     int64
	ready chan error // capacity 1
}

// queue is ordered by the age of the accounts, and of one account by arrival.
type queue []*waiter

func (q *queue) push(w *waiter) {
	at := len(*q)
	for at > 0 && (*q)[at-1].lease.account.age > w.lease.account.age {
		at--
	}
	*q = append(*q, nil)
	copy((*q)[at+1:], (*q)[at:])
	(*q)[at] = w
	w.lease.account.whole.idle++
}

// remove reports whether w was there.
func (q *queue) remove(w *waiter) bool {
	for i, other := range *q {
		if other == w {
			copy((*q)[i:], (*q)[i+1:])
			(*q)[len(*q)-1] = nil
			*q = (*q)[:len(*q)-1]
			w.lease.account.whole.idle--
			return true
		}
	}
	return false
}

// wait is the way of every growth: at once where there is room and nobody older
// waits, else in turn. It is called with b.mu held, and returns without it.
func (b *Budget) wait(ctx context.Context, q *queue, l *Lease, n int64) error {
	w := &waiter{lease: l, n: n, ready: make(chan error, 1)}
	q.push(w)
	b.settle()
	select {
	case err := <-w.ready:
		b.mu.Unlock()
		return err
	default:
	}
	b.waits++
	b.mu.Unlock()

	begun := time.Now()
	limit, stop := patience(ctx, begun)
	defer stop()
	select {
	case err := <-w.ready:
		return err
	case <-ctx.Done():
	case <-limit:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !q.remove(w) { // it was settled at this very moment
		return <-w.ready
	}
	b.refused++
	b.settle() // what waited after it may have room
	if err := ctx.Err(); err != nil {
		return err
	}
	return &Error{Cause: ErrFull, After: min(max(time.Since(begun)/2, leastAfter), mostAfter)}
}

// patience ends shortly before the deadline: who waits in vain should still be able
// to say so in time.
func patience(ctx context.Context, now time.Time) (<-chan time.Time, func() bool) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return nil, func() bool { return true }
	}
	left := deadline.Sub(now)
	timer := time.NewTimer(left - min(left/10, 250*time.Millisecond))
	return timer.C, timer.Stop
}
