package durable

import (
	"cmp"
	"context"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/messages"
)

// tickEvery is how often what only time changes is looked at.
const tickEvery = time.Second

// dispatch gives free slots to whose turn it is until ctx ends.
func (l *Lane) dispatch(ctx context.Context) {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	soon := time.NewTimer(tickEvery)
	defer soon.Stop()
	var cut time.Duration // for how long NATS is away
	last := l.now()
	for reconnects := l.nc.Stats().Reconnects; ; {
		l.fill(ctx)
		l.refillHungry()
		soon.Reset(l.board.wakesIn(l.now()))
		select {
		case <-ctx.Done():
			return
		case <-l.kick:
		case <-l.slots.Freed():
		case <-soon.C:
			l.board.awake(l.now())
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
			l.verify(l.board.tick(now))
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
			l.metrics.begins(got.claimed)
			out := l.runOne(ctx, o, got.claimed)
			l.metrics.running.Dec()
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
			w.known, w.lapsed, w.after, w.back = true, false, o.after, o.beat
			b.comeBack(q, w, now)
			break
		}
		h := b.hold(q, w, cmp.Or(got.hash, o.foreign), now)
		h.job, h.owner, h.beat = o.job, cmp.Or(got.owner, o.owner), got.beat
		if got.hash == 0 || o.foreign != 0 || w.back > got.beat {
			h.look = now.after(b.lookIn()) // what was heard counts for more, or nothing was read
		}
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
	if o.claiming = false; o.yields != 0 && o.owner == "" { // otherwise somebody else tried, too
		b.peers.claimed(o.seq, b.peers.own)
	}
}
