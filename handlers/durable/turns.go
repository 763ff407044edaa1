package durable

import (
	"container/list"
	"math/rand/v2"
	"slices"
)

// freshRun is how many queues that had nothing go first before one of the others has its
// turn: many connections that send one job after the other must not hold up the rest.
const freshRun = 8

// A pageTurn is an open job that waits for a slot for one more page.
type pageTurn struct {
	job     *openJob
	granted chan struct{}
}

// A next is what a free slot is for: a page of an open job, or a job that is to be claimed.
type next struct {
	page *pageTurn
	job  *openJob
}

// due reports whether a job may be claimed.
func (q *queue) due(w *waiting, now instant) bool { return now >= q.when(w) }

// when is from when on a job may be claimed.
func (q *queue) when(w *waiting) instant { return min(w.expires, max(w.after, q.blocked)) }

// claimable reports whether one of the connection's jobs may be claimed, and if not, when
// that may change by itself.
func (q *queue) claimable(now instant) (ok bool, wakes instant) {
	wakes = never
	if len(q.open) >= openPerQueue {
		return false, never
	}
	for i := range q.jobs {
		at := q.when(&q.jobs[i])
		if at <= now {
			return true, never
		}
		wakes = min(wakes, at)
	}
	if len(q.delayed) > 0 {
		wakes = min(wakes, q.soonest)
	}
	return false, wakes
}

// settle puts a queue where it belongs after a change: among those that take turns while it
// has something to offer, and nowhere as soon as it has not. fresh says that it had nothing
// before the change.
func (b *board) settle(q *queue, now instant, fresh bool) {
	b.ripen(q, now)
	claimable, wakes := q.claimable(now)
	q.wakes = wakes
	switch offers := claimable || len(q.pages) > 0; {
	case offers && q.in == nil:
		if q.in = &b.ring; fresh {
			q.in = &b.fresh
		}
		q.place = q.in.PushBack(q)
	case !offers:
		b.unlist(q)
	}
	if len(q.others) > 0 || wakes < never {
		b.watched[q] = struct{}{}
	} else {
		delete(b.watched, q)
	}
	b.forget(q)
}

func (b *board) unlist(q *queue) {
	if q.in != nil {
		q.in.Remove(q.place)
		q.in, q.place = nil, nil
	}
}

// wants reports whether a free slot is of use.
func (b *board) wants(now instant) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, _, ok := b.find(now)
	return ok
}

// find is the queue whose turn it is, and whether it is a page's.
func (b *board) find(now instant) (q *queue, page, ok bool) {
	claims := b.opened < b.openMax && now >= b.paused
	if !claims && b.paging == 0 {
		return nil, false, false
	}
	lists := []*list.List{&b.fresh, &b.ring}
	if b.firsts >= freshRun {
		slices.Reverse(lists)
	}
	for _, from := range lists {
		for at := from.Front(); at != nil; at = at.Next() {
			q := at.Value.(*queue)
			claim := claims
			if claim {
				claim, _ = q.claimable(now)
			}
			if page := len(q.pages) > 0 && !(claim && q.claim); page || claim {
				return q, page, true
			}
		}
	}
	return nil, false, false
}

// pop takes out what a slot is for; ok is false where there is nothing any more. Pages and
// claims of one connection alternate where it has both.
func (b *board) pop(now instant) (n next, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		q, page, found := b.find(now)
		if !found {
			return next{}, false
		}
		if q.in == &b.fresh && b.ring.Len() > 0 {
			b.firsts++
		} else {
			b.firsts = 0
		}
		b.unlist(q) // to the end of the ring
		if q.claim = page; page {
			n.page = q.pages[0]
			q.pages = slices.Delete(q.pages, 0, 1)
			b.paging--
		} else {
			n.job = b.choose(q, now)
		}
		b.settle(q, now, false)
		if n.page != nil || n.job != nil {
			return n, true
		}
	}
}

// choose opens one of a queue's first jobs. One whose id another job has, which has not
// ended, is passed over for a moment.
func (b *board) choose(q *queue, now instant) *openJob {
	var first [among]int
	n := 0
	for i := 0; i < len(q.jobs) && n < among; i++ {
		w := &q.jobs[i]
		switch {
		case !q.due(w, now):
		case q.open[w.id] != nil || q.others[w.id] != nil:
			w.after, w.expires = now.after(b.lease), max(w.expires, now.after(b.lease))
		default:
			first[n] = i
			n++
		}
	}
	if n == 0 {
		return nil
	}
	o := &openJob{waiting: b.take(q, first[rand.N(n)]), queue: q, slot: true, claiming: true}
	o.beat = o.back
	if q.open == nil {
		q.open = map[string]*openJob{}
	}
	q.open[o.id] = o
	b.busy[q] = struct{}{}
	b.opened++
	return o
}

// queuePage lets an open job wait for a slot for one more page, unless it has one still.
func (b *board) queuePage(o *openJob, now instant) (p *pageTurn, has bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if o.slot {
		o.slot = false
		return nil, true
	}
	p = &pageTurn{job: o, granted: make(chan struct{})}
	o.queue.pages = append(o.queue.pages, p)
	b.paging++
	b.settle(o.queue, now, false)
	return p, false
}

// withdraw ends the waiting for a slot; it reports false where the slot came first.
func (b *board) withdraw(p *pageTurn, now instant) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := slices.Index(p.job.queue.pages, p)
	if at < 0 {
		return false
	}
	p.job.queue.pages = slices.Delete(p.job.queue.pages, at, at+1)
	b.paging--
	b.settle(p.job.queue, now, false)
	return true
}

// turned counts a page that a job has read and stored, or will not store.
func (b *board) turned(o *openJob) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o.turns++
}

// unused takes back the slot of a job's claim, if it is not used yet.
func (b *board) unused(o *openJob) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	had := o.slot
	o.slot = false
	return had
}

// makeWay chooses an open job that is given back so that a connection without any open job
// gets one, where as many jobs are open as may be: of the connection with the most, one that
// waits between two pages. Where nobody has more than one, it has read a page at least.
func (b *board) makeWay(now instant) (lose func(cause error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.opened < b.openMax || now < b.paused || b.needy(now, b.leaving+1) <= b.leaving {
		return nil
	}
	var victim *openJob
	most := 0
	for q := range b.busy {
		stays := 0
		for _, o := range q.open {
			if !o.leaving {
				stays++
			}
		}
		if stays <= most {
			continue
		}
		for _, p := range q.pages {
			if !p.job.leaving && (stays > 1 || p.job.turns > 0) {
				victim, most = p.job, stays
				break
			}
		}
	}
	if victim == nil {
		return nil
	}
	victim.leaving = true
	b.leaving++
	return victim.lose
}

// needy counts the queues that have a job to claim and none open, up to most.
func (b *board) needy(now instant, most int) (n int) {
	for _, from := range []*list.List{&b.fresh, &b.ring} {
		for at := from.Front(); at != nil && n < most; at = at.Next() {
			if q := at.Value.(*queue); len(q.open) == 0 {
				if ok, _ := q.claimable(now); ok {
					n++
				}
			}
		}
	}
	return n
}

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
	case b.delay(q, w, now):
	case q.more && w.seq >= q.from:
		q.beyond++
	default:
		b.insert(q, w)
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
