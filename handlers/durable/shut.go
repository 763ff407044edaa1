package durable

// shut takes a job out of those that are open. Where it may be run again it waits again.
func (b *board) shut(o *openJob, out outcome, now instant, again instant) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := o.queue
	b.close(o)
	switch {
	case out.ended:
	case out.lost:
		b.hold(q, o.waiting, 0, now).look = now.after(b.lookIn())
	default:
		w := o.waiting
		w.known, w.lapsed, w.hash = true, false, 0
		if w.after = again; out.blocked {
			q.blocked = max(q.blocked, again)
		}
		b.comeBack(q, w, now)
	}
	b.settle(q, now, false)
}

func (b *board) close(o *openJob) {
	q := o.queue
	delete(q.open, o.id)
	if len(q.open) == 0 {
		delete(b.busy, q)
	}
	b.opened--
	if o.leaving {
		b.leaving--
	}
}

// comeBack lets a job wait again. One that lies where the stream is still to be read is found
// there.
func (b *board) comeBack(q *queue, w waiting, now instant) {
	switch {
	case b.leftAlone(w, now):
		b.strand(jobKey{q.connection, w.id}, w)
	case b.delay(q, b.leave(w, now), now):
	case q.more && w.seq >= q.from:
		q.beyond++
	default:
		b.insert(q, b.leave(w, now))
	}
}

// hold notes that another process runs a job, as its record was read.
func (b *board) hold(q *queue, w waiting, hash uint64, now instant) *held {
	if q.others == nil {
		q.others = map[string]*held{}
	}
	h := &held{waiting: w, look: never}
	h.gen = b.gen
	h.renew(hash, now, b)
	q.others[w.id] = h
	return h
}

// renew begins the lease of a job's owner anew.
func (h *held) renew(hash uint64, now instant, b *board) {
	h.hash, h.known, h.lapsed = hash, true, false
	h.lapses = now.after(b.lease + b.jitter())
}
