package tokens

import (
	"container/list"
	"sync"
	"time"
)

// A copy of a grant in this process's memory serves a request without asking
// Redis. What makes that safe is knowing until when the copy is known to be the
// newest: every change is published to every process (fence.go), and watch.go keeps
// proving that this process has received every change before a moment.

const (
	localMost = 4096
	// localTrust is how old that moment may be for a copy to count as the newest.
	// A deletion ends its use within this time in every process that reaches Redis;
	// messages/README.md#connections promises 1 s.
	localTrust = 900 * time.Millisecond
	// localReread is how long a copy is used without a look at Redis, however
	// healthy the subscription seems. In a cluster, where a message can be lost
	// between the nodes, it is localTrust.
	localReread = 30 * time.Second
	// localCutOff is how long a copy is used when Redis is away, from the last
	// moment at which it was known to be the newest, as messages/README.md#connections says.
	localCutOff = 5 * time.Minute
	// awayPause is how often one request tries a Redis that was away, while the
	// others go on with their copies.
	awayPause = 2 * time.Second
)

// local holds copies of the active grants that were used last, without their
// refresh tokens.
type local struct {
	cutOff   time.Duration
	reread   time.Duration // how old a copy may be without a look at Redis
	useEvery time.Duration // how often it is written down that a connection is in use

	mu      sync.Mutex // guards everything below
	entries map[string]*entry
	recent  list.List // of *entry, the last used in front
	epoch   int64     // number of the subscription; copies from before it are not trusted
	live    bool      // the subscription stands
	heard   time.Time // every change before it was received, in this epoch
	trusted instant   // until when heard proves the copies
	away    time.Time // Redis is believed away, and is not tried before; zero: it is there

	base time.Time // of every instant; never changed
}

// entry is one copy, or the place of one that is being loaded. A change removes
// it, so that a load which began before the change finds its place gone.
type entry struct {
	id    string
	at    *list.Element
	held  *held // nil while it is being loaded
	epoch int64
	seen  time.Time // when the load began that held comes from
	again instant   // until when held is used without another look
	use   instant   // until when its use need not be written down again
}

func newLocal(cutOff, useEvery time.Duration) *local {
	return &local{cutOff: cutOff, reread: localReread, useEvery: useEvery, entries: map[string]*entry{},
		base: time.Now()}
}

// get returns the copy that is known to be the newest, nil for none. due: the
// connection's use should be written down again.
func (l *local) get(id string, now time.Time) (h *held, due bool) {
	at := l.instant(now)
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[id]
	if e == nil || e.held == nil || e.epoch != l.epoch || !l.live || at.after(l.trusted) || at.after(e.again) {
		return nil, false
	}
	l.recent.MoveToFront(e.at)
	return e.held, l.due(e, at, now)
}

// fallback returns the copy that may be used while Redis is away, nil for none.
func (l *local) fallback(id string, now time.Time) *held {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[id]
	if e == nil || e.held == nil || age(now, l.known(e)) > l.cutOff {
		return nil
	}
	l.recent.MoveToFront(e.at)
	return e.held
}

// known is the last moment at which the copy was the newest.
func (l *local) known(e *entry) time.Time {
	if e.epoch == l.epoch && l.heard.After(e.seen) {
		return l.heard
	}
	return e.seen
}

func (l *local) due(e *entry, at instant, now time.Time) bool {
	if !at.reached(e.use) {
		return false
	}
	e.use = l.instant(now.Add(l.useEvery))
	return true
}

// loading is a look at Redis under way.
type loading struct {
	place *entry
	epoch int64
	began time.Time
}

func (l *local) begin(id string, now time.Time) loading {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[id]
	if e == nil {
		e = &entry{id: id}
		e.at = l.recent.PushFront(e)
		l.entries[id] = e
		if len(l.entries) > localMost {
			l.remove(l.recent.Back().Value.(*entry))
		}
	}
	return loading{e, l.epoch, now}
}

// put keeps what a look found, unless a change arrived meanwhile or a later
// look was quicker. due as in get.
func (l *local) put(from loading, r record) (due bool) {
	h := hold(r)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = time.Time{}
	e := from.place
	switch {
	case l.entries[e.id] != e || e.held != nil && from.began.Before(e.seen):
		return false
	case r.Status != StatusActive:
		l.remove(e)
		return false
	}
	e.held, e.epoch, e.seen = h, from.epoch, from.began
	e.again = l.instant(e.seen.Add(min(l.reread, l.cutOff)))
	now := time.Now()
	return l.due(e, l.instant(now), now)
}

// drop forgets a copy at once.
func (l *local) drop(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.entries[id]; e != nil {
		l.remove(e)
	}
}

// changed drops what is older than a published change; version 0 is a deletion.
func (l *local) changed(id, incarnation string, version int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[id]
	if e == nil || version > 0 && e.held != nil && e.held.Incarnation == incarnation && e.held.Version >= version {
		return
	}
	l.remove(e)
}

func (l *local) remove(e *entry) {
	l.recent.Remove(e.at)
	delete(l.entries, e.id)
}

// renewed begins a new subscription: changes before it may have gone unheard, so
// that every copy must be read again. Until then copies only serve as fallback.
func (l *local) renewed() (epoch int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		e.seen = l.known(e) // again is of no use until the copy is put anew: the epoch has passed
	}
	l.epoch++
	l.live, l.heard = false, time.Time{}
	return l.epoch
}

// confirmed says that in this epoch every change before t was received.
func (l *local) confirmed(epoch int64, t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if epoch == l.epoch {
		l.live, l.heard, l.away = true, t, time.Time{}
		l.trusted = l.instant(t.Add(localTrust))
	}
}

// gap ends the trust in the copies, since changes may go unheard from now on.
func (l *local) gap() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.live = false
}

// proven reports whether Redis, every primary of it, has taken a write just now, so that
// what it says is the newest.
func (l *local) proven(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.live && age(now, l.heard) <= localTrust
}

// isAway reports whether Redis is believed away.
func (l *local) isAway() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.away.IsZero()
}

// mayTry reports whether this request should try Redis: always while it is
// believed there, otherwise one of many.
func (l *local) mayTry(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away.IsZero() {
		return true
	}
	if now.Before(l.away) {
		return false
	}
	l.away = now.Add(awayPause)
	return true
}

// failed says that Redis did not answer.
func (l *local) failed(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = now.Add(awayPause)
}
