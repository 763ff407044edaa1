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
func (q *queue) when(w *waiting) instant { return min(w.expires, max(w.after, w.yields, q.blocked)) }

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
		if q.in = &b.ring; fresh || q.fresh {
			q.in = &b.fresh
		}
		q.place, q.fresh = q.in.PushBack(q), false
	case !offers:
		b.unlist(q)
		q.fresh = (fresh || q.fresh) && wakes < now.after(tickEvery)
	}
	b.soon(q, now)
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

// choose opens one of a queue's first jobs: of those that this process comes first for, and the
// eldest. One whose id another job has, which has not ended, is passed over for a moment.
func (b *board) choose(q *queue, now instant) *openJob {
	var first [among]int
	n := 0
	for i, seen := 0, 0; i < len(q.jobs) && seen < among; i++ {
		w := &q.jobs[i]
		if !q.due(w, now) {
			continue
		}
		if q.open[w.id] != nil || q.others[w.id] != nil {
			w.after, w.expires = now.after(b.lease), max(w.expires, now.after(b.lease))
			continue
		}
		// The eldest always, so that none is passed over for ever.
		if seen++; n == 0 || b.peers.first(w.seq) {
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
