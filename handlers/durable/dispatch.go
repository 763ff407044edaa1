package durable

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/budget"
	"github.com/crmbridge/crmbridge/messages"
)

// tickEvery is how often what only time changes is looked at.
const tickEvery = time.Second

// dispatch gives free slots to whose turn it is until ctx ends.
func (l *Lane) dispatch(ctx context.Context) {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	var cut time.Duration // for how long NATS is away
	last := l.now()
	for reconnects := l.nc.Stats().Reconnects; ; {
		l.fill(ctx)
		l.refillHungry()
		select {
		case <-ctx.Done():
			return
		case <-l.kick:
		case <-l.slots.Freed():
		case <-tick.C:
			now, n := l.now(), l.nc.Stats().Reconnects
			// A process that was stopped was not cut off all the time: records that did not change
			// meanwhile are those of dead owners.
			passed := min(time.Duration(now-last), 2*tickEvery)
			last = now
			if away := !l.nc.IsConnected(); away || n != reconnects {
				reconnects = n
				if cut += passed; away {
					continue // no lease runs out meanwhile, and nothing can be claimed
				}
			}
			l.board.stoodStill(cut, now)
			cut = 0
			l.board.tick(now)
		}
	}
}

// wake has the dispatcher look again.
func (l *Lane) wake() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// fill takes slots for as long as they are of use.
func (l *Lane) fill(ctx context.Context) {
	for ctx.Err() == nil && l.board.wants(l.now()) {
		if !l.slots.Take() {
			break
		}
		n, ok := l.board.pop(l.now())
		switch {
		case !ok:
			l.slots.Give()
		case n.page != nil:
			close(n.page.granted)
		default:
			l.start(n.job)
		}
	}
	if lose := l.board.makeWay(l.now()); lose != nil {
		lose(errMakeWay)
	}
}

// start claims a job and runs it, in a goroutine of its own.
func (l *Lane) start(o *openJob) {
	ctx, lose := context.WithCancelCause(l.working)
	l.board.opening(o, lose)
	l.work.Go(func() {
		defer lose(nil)
		defer l.wake()
		defer func() {
			if l.board.unused(o) {
				l.slots.Give()
			}
		}()
		got := l.claim(ctx, o)
		l.metrics.claims.WithLabelValues(string(got.verdict)).Inc()
		switch got.verdict {
		case claimMade, claimOver, claimEnded:
			if got.verdict == claimOver {
				l.metrics.takeovers.Inc()
			}
			l.board.owned(o)
			out := l.runOne(ctx, o, got.claimed)
			l.board.shut(o, out, l.now(), l.instantOf(out.again))
		default:
			l.refused(o, got)
		}
	})
}

// runOne runs a claimed job. A defect loses the job until its lease has run out.
func (l *Lane) runOne(ctx context.Context, o *openJob, c claimed) (out outcome) {
	defer func() {
		if thrown := recover(); thrown != nil {
			fault := dynamics.Panicked(thrown)
			l.log.Error("running a job panicked", "operation", c.record.Operation, "connection", c.record.Connection,
				"job", c.record.ID, "panic", fault.Kind, "stack", fault.Stack)
			out = outcome{lost: true}
		}
	}()
	return l.execute(ctx, c, func(ctx context.Context) (context.Context, func(), error) { return l.turn(ctx, o) })
}

// refused closes a job that was not claimed.
func (l *Lane) refused(o *openJob, got claiming) {
	if got.verdict == claimError {
		l.seldom.warn("jobs are not claimed for now", "error", got.err)
	}
	again := l.now()
	if got.verdict == claimLater {
		again = l.instantOf(got.again)
	}
	l.board.refused(o, got, l.now(), again)
}

// Waits after a claim that failed, which grow while they all do.
const (
	pauseFirst = 500 * time.Millisecond
	pauseMost  = 5 * time.Second
)

// refused takes a job that was not claimed to where it belongs.
func (b *board) refused(o *openJob, got claiming, now, again instant) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q, w := o.queue, o.waiting
	b.close(o)
	switch got.verdict {
	case claimGone, claimOther:
	case claimNewer:
		w.known, w.lapsed = true, false
		b.strand(jobKey{q.connection, w.id}, w)
	case claimLost:
		if o.over {
			break
		}
		if o.free {
			w.known, w.lapsed = true, false
			b.comeBack(q, w, now)
			break
		}
		h := b.hold(q, w, cmp.Or(got.hash, o.foreign), now)
		h.job, h.beat = o.job, got.beat
	case claimLater:
		w.known, w.lapsed, w.after = true, false, again
		b.comeBack(q, w, now)
	case claimError:
		w.known = true
		b.comeBack(q, w, now)
		if now >= b.paused {
			b.pause = min(max(2*b.pause, pauseFirst), pauseMost)
			b.paused = now.after(b.pause)
		}
	}
	if got.verdict != claimError {
		b.pause = 0
	}
	b.settle(q, now, false)
}

// opening has an execution end where the board says so.
func (b *board) opening(o *openJob, lose func(error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o.lose = lose
}

// operation is what a job's subject named, as far as it is kept.
func (b *board) operation(o *openJob) messages.Operation {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ops.names[o.op]
}

// isHeld reports whether another process was heard to run a job.
func (b *board) isHeld(o *openJob) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return o.foreign != 0 || o.over
}

// owned notes that a claim was made.
func (b *board) owned(o *openJob) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o.claiming = false
}

// leastHeld is what a page is taken to hold in any case, in bytes.
const leastHeld = 4 << 10

// memoryWait is how long a page waits for memory with its turn; then the job is given back.
const memoryWait = 10 * time.Second

// turn waits until a job may read one more page: see [route.Job]. The first one uses the
// slot of the claim. Who finds no memory gives the slot to others meanwhile.
func (l *Lane) turn(ctx context.Context, o *openJob) (context.Context, func(), error) {
	for until := time.Now().Add(memoryWait); ; {
		if err := l.slot(ctx, o); err != nil {
			return ctx, nil, err
		}
		account, err := l.options.Memory.Open(leastHeld)
		if err == nil {
			page := dynamics.WithBackground(budget.With(ctx, account))
			return page, sync.OnceFunc(func() {
				account.Close()
				l.board.turned(o)
				l.slots.Give()
			}), nil
		}
		l.slots.Give()
		full, ok := errors.AsType[*budget.Error](err)
		if !ok || time.Now().Add(full.After).After(until) {
			return ctx, nil, err
		}
		wait := time.NewTimer(full.After)
		select {
		case <-ctx.Done():
			wait.Stop()
			return ctx, nil, context.Cause(ctx)
		case <-wait.C:
		}
	}
}

// slot waits for a slot and the connection's turn.
func (l *Lane) slot(ctx context.Context, o *openJob) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p, has := l.board.queuePage(o, l.now())
	if has {
		return nil
	}
	l.wake()
	select {
	case <-p.granted:
		return nil
	case <-ctx.Done():
		if !l.board.withdraw(p, l.now()) {
			l.slots.Give()
		}
		return context.Cause(ctx)
	}
}

// lookAfter is when the record of an open job is read that somebody else was heard to write:
// it is heard before it is stored, and may be refused.
var lookAfter = [...]time.Duration{20 * time.Millisecond, 200 * time.Millisecond, time.Second}

// look reads the record of an open job that somebody else wrote, and ends its execution
// where it is not this process's any more.
func (l *Lane) look(o *openJob) {
	l.work.Go(func() {
		for again := true; again; again = l.board.looked(o) {
			for _, wait := range lookAfter {
				pauseFor(l.working, wait)
				record, at, err := l.ledger.read(l.working, o.queue.connection, o.id)
				if err == nil && at != 0 && (record.State.Ended() || record.Owner != l.name) {
					l.board.lose(o, errNotOurs)
					return
				}
			}
		}
	})
}

// looked reports whether a job's record was heard to be written again meanwhile.
func (b *board) looked(o *openJob) (again bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	again = o.lookAgain && b.isOpen(o)
	o.looking, o.lookAgain = again, false
	return again
}

func (b *board) isOpen(o *openJob) bool { return o.queue.open[o.id] == o }

func (b *board) lose(o *openJob, cause error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if o.lose != nil && b.isOpen(o) {
		o.lose(cause)
	}
}
