package durable

import (
	"hash/maphash"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/messages"
)

// hashSeed is for the hashes of records, which are compared within this process only.
var hashSeed = maphash.MakeSeed()

// hashOf tells the revisions of a record apart: no two are equal, since it counts its writes.
func hashOf(record []byte) uint64 { return maphash.Bytes(hashSeed, record) }

// longestWait bounds how far a time lies ahead, and longestRetry how long a record can have its
// job wait, or by a throttle its connection: no process of crmbridge asks for more, and whoever
// else may publish records must not hold up a connection with one of them.
const (
	longestWait  = 30 * 24 * time.Hour
	longestRetry = max(mostRetry, dynamics.MaxRetryAfter)
)

// instantOf is a time of the wall clock on the lane's own.
func (l *Lane) instantOf(at time.Time) instant {
	return l.now().after(min(time.Until(at), longestWait))
}

// now is the present instant.
func (l *Lane) now() instant { return instant(time.Since(l.began)) }

// hear takes in what was published as a job's record. It is a hint: what is published may
// be refused by the stream, and what is stored may be missed. So nothing that cannot be
// repaired is done on it.
func (l *Lane) hear(subject string, body []byte) {
	rest, _ := strings.CutPrefix(subject, "crm.state.")
	connection, id, ok := strings.Cut(rest, ".")
	if !ok || len(body) > messages.MaxJobRecord || !messages.ValidConnection(connection) || len(id) > longestID {
		return
	}
	key := jobKey{connection, id}
	concerns, read := l.board.concerns(key)
	if !read {
		l.early.keep(key, body)
	}
	if !concerns {
		return // every process hears of every job: most are no business of it
	}
	var record messages.JobRecord
	if json.Unmarshal(body, &record) != nil {
		return
	}
	record.Connection, record.ID = connection, id
	again := l.now()
	if record.RetryAt != nil {
		again = min(l.instantOf(*record.RetryAt), again.after(longestRetry))
	}
	if look := l.board.heard(record, hashOf(body), l.now(), again); look != nil {
		l.look(look)
	}
	l.wake()
}

// concerns reports whether a job's record can change anything here, and whether the job itself
// was read from CRM_JOBS, or is among those that memory has no room for.
func (b *board) concerns(key jobKey) (concerns, read bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, strange := b.strangers[key]; strange {
		return true, true
	}
	q := b.queues[key.connection]
	if q == nil {
		return false, false
	}
	return true, q.more || q.open[key.id] != nil || q.others[key.id] != nil || q.peek(key.id) != nil
}

// heard takes in a record. It returns an open job of this process where the record says that
// it is not this process's any more.
func (b *board) heard(record messages.JobRecord, hash uint64, now, again instant) (look *openJob) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.queues[record.Connection]
	if q != nil && q.open[record.ID] != nil {
		return b.heardOpen(q.open[record.ID], record, hash, again)
	}
	switch {
	case record.State.Ended():
		b.heardEnd(record, now)
	case record.Owner == b.name:
		// It was written just before the job was closed here.
	case record.Owner != "":
		b.heardClaim(record, hash, now)
	case q != nil:
		b.heardReturn(q, record, now, again)
	}
	return nil
}

func (b *board) heardOpen(o *openJob, record messages.JobRecord, hash uint64, again instant) (look *openJob) {
	if record.Owner != b.name {
		b.peers.heard(record.Owner)
	}
	switch {
	case record.Owner == b.name:
		o.job, o.beat = record.Job, max(o.beat, record.Beat)
		return nil
	case o.claiming && (o.isOlder(record) || record.Beat < o.beat):
		return nil
	case o.claiming:
		o.foreign, o.owner, o.beat, o.job = 0, record.Owner, record.Beat, record.Job
		o.over, o.free = record.State.Ended(), false
		if record.Owner != "" {
			o.foreign = hash
		} else if !o.over {
			o.free, o.after = true, again
		}
		return nil
	}
	// A claim that counts no further than this process's own was refused.
	foreign := record.State == messages.JobCancelled || record.Owner != "" && record.Beat > o.beat
	if !foreign || o.looking {
		o.lookAgain = o.lookAgain || foreign
		return nil
	}
	o.looking = true
	return o
}

// isOlder reports whether a record is of a job that was published under the same id before.
func (w waiting) isOlder(record messages.JobRecord) bool {
	return !record.QueuedAt.IsZero() && record.QueuedAt.UnixNano() < w.at
}

// heardEndAgain is when a job is looked at that ended before it was heard to run.
const heardEndAgain = time.Second

// heardEnd forgets a job that another process has ended. If its message is still there when
// that process is gone, the count of the stream's messages tells.
func (b *board) heardEnd(record messages.JobRecord, now instant) {
	key := jobKey{record.Connection, record.ID}
	delete(b.strangers, key)
	q := b.queues[key.connection]
	if q == nil {
		return
	}
	h := q.others[key.id]
	switch w := q.peek(key.id); {
	case h != nil && !h.isOlder(record):
		delete(q.others, key.id)
	case h != nil:
	case w != nil && !w.isOlder(record):
		// It was cancelled, or run while nothing was heard, or the record was refused.
		w, _ := b.pull(q, key.id)
		w.known, w.after = true, now.after(heardEndAgain)
		b.place(q, w)
	case w == nil && q.beyond > 0:
		q.beyond--
	}
	b.settle(q, now, false)
}

// heardClaim notes that another process runs a job. One that is not known is met when the
// stream is read that far: a claim that was refused is heard too, also after the job's end.
func (b *board) heardClaim(record messages.JobRecord, hash uint64, now instant) {
	key := jobKey{record.Connection, record.ID}
	s, strange := b.strangers[key]
	q := b.queues[key.connection]
	if strange {
		delete(b.strangers, key)
		q = b.queueOf(key.connection)
		b.hold(q, s, hash, now)
	} else if q == nil {
		return
	} else if w := q.peek(key.id); q.others[key.id] == nil && w != nil && !w.isOlder(record) && record.Beat > w.back {
		w, _ := b.pull(q, key.id)
		b.heardOfClaim(w, record.Owner, now)
		b.hold(q, w, hash, now)
	}
	h := q.others[key.id]
	if h == nil || h.owner != record.Owner {
		b.peers.heard(record.Owner)
	}
	switch {
	case h == nil:
	case h.owner == "": // it was not held, or nothing was known of its owner
		h.renew(hash, now, b)
		h.job, h.owner, h.beat = record.Job, record.Owner, record.Beat
		h.look = now.after(b.lookIn())
	case h.owner != record.Owner:
		// It was taken over, or that was refused: every process that starts tries to claim what is
		// claimed, and must not prolong the lease of the dead.
		h.look = min(h.look, now.after(b.lookIn()))
	case record.Beat > h.beat: // a record counts its writes: one that counts no further was not stored
		h.renew(hash, now, b)
		h.job, h.beat = record.Job, record.Beat
	}
	b.settle(q, now, false)
}

// heardReturn lets a job wait that its owner has given back. Where that was refused, a claim
// finds its owner. A time that is far away is believed for a lease only: whoever claims the job
// then reads when it is to run.
func (b *board) heardReturn(q *queue, record messages.JobRecord, now, again instant) {
	fresh := q.idle()
	if record.Error != nil && record.Error.Code == messages.Throttled {
		q.blocked = max(q.blocked, again)
	}
	again = min(again, now.after(b.lease+b.jitter()))
	if h := q.others[record.ID]; h != nil {
		delete(q.others, record.ID)
		w := h.waiting
		w.after, w.known, w.lapsed, w.back = again, true, false, max(w.back, record.Beat)
		b.comeBack(q, w, now)
	} else if w := q.peek(record.ID); w != nil && record.Beat >= w.back && !w.isOlder(record) {
		w, _ := b.pull(q, record.ID)
		w.after, w.known, w.back = again, true, record.Beat
		b.comeBack(q, w, now)
	}
	b.settle(q, now, fresh)
}

// tick does what time brings: leases run out, and queues that waited for a time have
// something to offer again. It returns jobs whose records are to be read.
func (b *board) tick(now instant) (looks []heldLook) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, s := range b.strangers {
		if now >= s.expires {
			delete(b.strangers, key)
			q := b.queueOf(key.connection)
			fresh := q.idle()
			b.insert(q, s)
			b.settle(q, now, fresh)
		}
	}
	for q := range b.watched {
		fresh := q.idle()
		for id, h := range q.others {
			if now >= h.lapses {
				delete(q.others, id)
				b.lapse(q, h, now)
			} else if now >= h.look && !b.looking && len(looks) < looksMost {
				h.look = never
				looks = append(looks, heldLook{key: jobKey{q.connection, id}, seq: h.seq, beat: h.beat, owner: h.owner})
			}
		}
		b.settle(q, now, fresh)
	}
	b.looking = b.looking || len(looks) > 0
	return looks
}

// lapse lets a job wait whose owner has not been heard of for a lease.
func (b *board) lapse(q *queue, h *held, now instant) {
	w := h.waiting
	w.lapsed, w.after = true, 0
	if b.leftAlone(w, now) {
		b.strand(jobKey{q.connection, w.id}, w)
		return
	}
	// Also where the stream is to be read on before it: its record is known here only.
	b.insert(q, w)
}

// leftAlone reports whether a job is of an operation that this process does not have, and
// has not expired.
func (b *board) leftAlone(w waiting, now instant) bool {
	return w.op != 0 && now < w.expires && !b.knows(b.ops.names[w.op])
}

// stoodStill prolongs all leases by a time in which this process was cut off, as the owners may
// have been. They do not begin anew: where connections break again and again, the jobs of the
// dead would never be taken over.
func (b *board) stoodStill(deaf time.Duration, now instant) {
	if deaf <= 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for q := range b.watched {
		for _, h := range q.others {
			h.lapses = min(h.lapses.after(deaf), now.after(b.lease+b.jitter()))
			h.look = min(h.look, now.after(b.lookIn()))
		}
	}
}
