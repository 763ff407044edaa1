package durable

import (
	"hash/fnv"
	"slices"
	"time"
)

// Every process knows every job. If all tried to claim each, all but one would pay for nothing;
// and since a claim is heard by all, also one that is refused, a job would cost messages with
// the square of the processes. So each job has an order of the processes, the same in each: by
// a hash of its sequence and their names. The first tries at once. The others leave the job to
// those before them for a moment, and do not try when they hear that it was claimed.
//
// Nobody announces itself: a process is known to the others by its claims. One that does not
// claim what it comes first for is forgotten until it is heard again: it is gone, or has enough
// to do. Where processes know different ones, more than one tries, which is what makes them
// known. The order decides nothing but who tries first: the record's guard says who has a job.

const (
	// yieldStep is how long a job is left to one process. A claim is heard within a few
	// milliseconds; a machine whose cores are all busy takes longer.
	yieldStep = 50 * time.Millisecond
	// yieldSteps is how many processes a job is left to at most, one after the other.
	yieldSteps = 4
	// peerMisses is how many jobs on end are left unclaimed by one that came first for them.
	peerMisses = 3
	// peersMost bounds the processes that are known; peerName a name, in bytes.
	peersMost = 256
	peerName  = 64
)

// A peer is another process, as it is known by its claims.
type peer struct {
	name   string
	hash   uint64
	misses int // jobs on end that it came before whoever claimed them
}

// peers are the other processes that claim jobs.
type peers struct {
	own uint64 // hash of this process's name
	all []peer
}

func newPeers(name string) peers { return peers{own: hashOfName(name)} }

// hashOfName is the same in every process.
func hashOfName(name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // it never fails
	return h.Sum64()
}

// rankOf says how far ahead a process is in a job's order: the greatest is the first.
func rankOf(seq, name uint64) uint64 {
	x := seq*0x9e3779b97f4a7c15 ^ name
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// ahead counts the processes that come before this one for a job, up to most.
func (p *peers) ahead(seq uint64, most int) (n int) {
	own := rankOf(seq, p.own)
	for i := 0; i < len(p.all) && n < most; i++ {
		if rankOf(seq, p.all[i].hash) > own {
			n++
		}
	}
	return n
}

// first reports whether no process that is known comes before this one for a job.
func (p *peers) first(seq uint64) bool { return p.ahead(seq, 1) == 0 }

// heard notes a process that tried to claim a job.
func (p *peers) heard(name string) {
	if name == "" || len(name) > peerName {
		return
	}
	if at := slices.IndexFunc(p.all, func(o peer) bool { return o.name == name }); at >= 0 {
		p.all[at].misses = 0
		return
	}
	if len(p.all) >= peersMost { // names that are made up must not keep others out
		p.all = slices.Delete(p.all, 0, 1)
	}
	p.all = append(p.all, peer{name: name, hash: hashOfName(name)})
}

// claimed notes that a job has gone to a process, and that those before it have let it pass.
func (p *peers) claimed(seq, name uint64) {
	by := rankOf(seq, name)
	p.all = slices.DeleteFunc(p.all, func(o peer) bool { return rankOf(seq, o.hash) > by && o.misses+1 >= peerMisses })
	for i := range p.all {
		if rankOf(seq, p.all[i].hash) > by {
			p.all[i].misses++
		}
	}
}

// leave has a job that may be claimed from an instant on be left to those before this process.
func (b *board) leave(w waiting, now instant) waiting {
	if n := b.peers.ahead(w.seq, yieldSteps); n > 0 {
		w.yields = max(w.after, now).after(time.Duration(n) * b.step)
	}
	return w
}

// heardOfClaim notes that another process has claimed a job that waits: after those before it have
// had their time, or because it does not know them.
func (b *board) heardOfClaim(w waiting, owner string, now instant) {
	n := b.peers.ahead(w.seq, yieldSteps)
	if n > 0 && w.yields != 0 && now >= w.yields.after(b.step/2-time.Duration(n)*b.step) {
		b.peers.claimed(w.seq, hashOfName(owner))
	}
}

// soon notes a queue that has something to offer in a moment, if nothing else changes.
func (b *board) soon(q *queue, now instant) {
	if q.wakes >= now.after(tickEvery) {
		delete(b.waking, q)
		return
	}
	b.waking[q] = struct{}{}
	b.wakes = min(b.wakes, q.wakes)
}

// wakesIn is how long nothing comes to offer by itself, a tick at most.
func (b *board) wakesIn(now instant) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Duration(min(max(b.wakes-now, 0), instant(tickEvery)))
}

// awake puts queues where they belong that have come to offer something.
func (b *board) awake(now instant) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now < b.wakes {
		return
	}
	b.wakes = never
	for q := range b.waking {
		if q.wakes > now {
			b.wakes = min(b.wakes, q.wakes)
			continue
		}
		delete(b.waking, q)
		b.settle(q, now, false)
	}
}
