package durable

import (
	"context"
	"time"

	"github.com/crmbridge/crmbridge/messages"
)

// What is heard of a job is published, and not yet stored, or it is refused and never stored.
// Nothing that is heard keeps a job from being run for a lease by itself: a job that was heard
// to run elsewhere has its record read a little later, and waits again where that says
// something else.

const (
	// lookFirst is after how long a record is read, and up to as much again. Most jobs have
	// ended by then.
	lookFirst = time.Second
	// looksMost is how many records are read in one go.
	looksMost = 256
)

// A heldLook is a job of another process whose record is to be read, and what was known of it.
type heldLook struct {
	key   jobKey
	seq   uint64
	beat  int64
	owner string
}

// A lookedUp is what was read for a look.
type lookedUp struct {
	stored bool // there is a record
	record messages.JobRecord
	hash   uint64
	again  instant // when the job may be run, where it waits
}

// verify reads records of jobs that were heard to run elsewhere.
func (l *Lane) verify(looks []heldLook) {
	if len(looks) == 0 {
		return
	}
	l.intake.Go(func() {
		defer l.wake()
		defer l.board.lookedAll()
		for i, look := range looks {
			got, err := l.lookAt(l.following, look)
			if err != nil {
				l.board.lookLater(looks[i:], l.now())
				return
			}
			l.board.verified(look, got, l.now())
		}
	})
}

func (l *Lane) lookAt(ctx context.Context, look heldLook) (lookedUp, error) {
	o := &openJob{waiting: waiting{id: look.key.id, seq: look.seq}, queue: &queue{connection: look.key.connection}}
	record, at, hash, err := l.record(ctx, o)
	got := lookedUp{stored: at != 0, record: record.JobRecord, hash: hash, again: l.now()}
	if record.RetryAt != nil {
		got.again = l.instantOf(*record.RetryAt)
	}
	return got, err
}

// verified takes in the record of a job that another process was heard to run.
func (b *board) verified(look heldLook, got lookedUp, now instant) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.queues[look.key.connection]
	if q == nil {
		return
	}
	h := q.others[look.key.id]
	switch {
	case h == nil || h.seq != look.seq:
		return
	case h.beat != look.beat || h.owner != look.owner: // more was heard meanwhile
		h.look = min(h.look, now.after(b.lookIn()))
		return
	case got.record.Owner != "":
		if h.owner, h.beat, h.job = got.record.Owner, got.record.Beat, got.record.Job; h.hash != got.hash {
			h.renew(got.hash, now, b)
		}
		return
	}
	fresh := q.idle()
	delete(q.others, look.key.id)
	w := h.waiting
	w.known, w.lapsed, w.after = got.stored, false, got.again
	if got.record.State.Ended() { // its message is being deleted, or is left
		w.after = now.after(heardEndAgain)
	}
	b.comeBack(q, w, now)
	b.settle(q, now, fresh)
}

// lookLater has records be looked at again that could not be read.
func (b *board) lookLater(looks []heldLook, now instant) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, look := range looks {
		if q := b.queues[look.key.connection]; q != nil {
			if h := q.others[look.key.id]; h != nil && h.seq == look.seq {
				h.look = min(h.look, now.after(b.lookIn()))
			}
		}
	}
}

// lookedAll ends a reading of records.
func (b *board) lookedAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.looking = false
}

// lookAfter is when the record of an open job is read that somebody else was heard to write:
// it is heard before it is stored, and may be refused.
var lookAfter = [...]time.Duration{0, 20 * time.Millisecond, 200 * time.Millisecond, time.Second}

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

// end ends the execution of a job that this process runs and that is cancelled.
func (b *board) end(key jobKey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if q := b.queues[key.connection]; q != nil {
		if o := q.open[key.id]; o != nil && o.lose != nil {
			o.lose(errNotOurs)
		}
	}
}

func (b *board) lose(o *openJob, cause error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if o.lose != nil && b.isOpen(o) {
		o.lose(cause)
	}
}
