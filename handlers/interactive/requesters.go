package interactive

import (
	"hash/maphash"
	"math"
	"slices"
	"time"
)

// Bounds of the requester queues of one connection.
const (
	// maxAccounts have a queue each; the operator's account imports bound them too.
	maxAccounts = 64
	// maxInboxes is small because inboxes cost nothing to make up: whoever has one of
	// the queues gets a fifth of what the connection gives to inboxes.
	maxInboxes = 4
	// maxRates is for how many requesters the rate of requests is known.
	maxRates = 64
	// rateHalves is after what time a request counts half.
	rateHalves = 5 * time.Second
	// swapEvery bounds how often a queue passes to another requester.
	swapEvery = time.Second
)

// A requesterQueue has the requests of one requester that wait, in the order of arrival.
type requesterQueue struct {
	of      *group
	waiting []*request
	bytes   int
}

// weight is how much of the backlog a queue takes: a long message counts as several.
func (q *requesterQueue) weight() int { return len(q.waiting) + q.bytes/(4<<10) }

func (q *requesterQueue) push(r *request) {
	q.waiting = append(q.waiting, r)
	q.bytes += r.size
	q.of.size++
	q.of.bytes += r.size
}

func (q *requesterQueue) remove(i int) *request {
	r := q.waiting[i]
	q.waiting = slices.Delete(q.waiting, i, i+1)
	q.bytes -= r.size
	q.of.size--
	q.of.bytes -= r.size
	return r
}

// A group has the requesters of one kind. Those that ask most have a queue each, and the
// others share one: whoever asks much delays only itself, and a thousand names that are
// made up get no more than one queue. Names are kept as hashes.
type group struct {
	most   int
	own    map[uint64]*requesterQueue
	shared *requesterQueue
	turns  []*requesterQueue // all that have a turn, also former queues that are not empty yet
	next   int
	size   int // messages in all queues
	bytes  int // of these messages

	rates   map[uint64]*rate
	swapped time.Time
}

// A rate is how many requests a requester has sent lately.
type rate struct {
	n  float64
	at time.Time
}

func (r *rate) now(now time.Time) float64 {
	return r.n * math.Exp2(-float64(now.Sub(r.at))/float64(rateHalves))
}

func newGroup(most int) *group {
	g := &group{most: most, own: map[uint64]*requesterQueue{}, rates: map[uint64]*rate{}}
	g.shared = g.open()
	return g
}

func (g *group) open() *requesterQueue {
	q := &requesterQueue{of: g}
	g.turns = append(g.turns, q)
	return q
}

// queue finds a requester's queue. A requester without one gets the queue of somebody who
// asks less than half as much, or the shared one.
func (g *group) queue(name uint64, now time.Time) *requesterQueue {
	asks := g.count(name, now)
	if q := g.own[name]; q != nil {
		return q
	}
	if len(g.own) >= g.most {
		if now.Sub(g.swapped) < swapEvery {
			return g.shared
		}
		least, n := g.least(now)
		if asks <= 2*n {
			return g.shared
		}
		g.swapped = now
		delete(g.own, least)
	}
	g.own[name] = g.open()
	return g.own[name]
}

// least is the requester that asks least of those with a queue. Where its rate is no
// longer known, the least known rate counts: it may have been as high. With 0 in its place
// the queue would go to the next of a thousand made-up names.
func (g *group) least(now time.Time) (least uint64, n float64) {
	n = math.Inf(1)
	_, unknown := g.leastKnown(now)
	for name := range g.own {
		asks := unknown
		if r := g.rates[name]; r != nil {
			asks = r.now(now)
		}
		if asks < n {
			least, n = name, asks
		}
	}
	return least, n
}

// leastKnown is the least of the rates that are known.
func (g *group) leastKnown(now time.Time) (least uint64, n float64) {
	n = math.Inf(1)
	for name, r := range g.rates {
		if asks := r.now(now); asks < n {
			least, n = name, asks
		}
	}
	return least, n
}

// count adds one request to a requester's rate. A requester that is not known takes over
// the entry of the one that asks least, with its rate, so that nobody who asks much is
// overlooked (Metwally's Space-Saving).
func (g *group) count(name uint64, now time.Time) float64 {
	r := g.rates[name]
	if r == nil && len(g.rates) >= maxRates {
		least, _ := g.leastKnown(now)
		r = g.rates[least]
		delete(g.rates, least)
		g.rates[name] = r
	}
	if r == nil {
		r = &rate{at: now}
		g.rates[name] = r
	}
	r.n, r.at = r.now(now)+1, now
	return r.n
}

// pop takes the first request of the queue whose turn it is.
func (g *group) pop() *request {
	for g.size > 0 {
		g.next %= len(g.turns)
		switch q := g.turns[g.next]; {
		case len(q.waiting) > 0:
			g.next++
			return q.remove(0)
		case q == g.shared || g.owned(q):
			g.next++
		default:
			g.turns = slices.Delete(g.turns, g.next, g.next+1)
		}
	}
	return nil
}

func (g *group) owned(q *requesterQueue) bool {
	for _, own := range g.own {
		if own == q {
			return true
		}
	}
	return false
}

// requesterQueues are the queues of one connection's requesters. Accounts and inboxes take
// turns: each account has a turn, and all inboxes, of requesters without an account,
// have one together.
type requesterQueues struct {
	accounts, inboxes *group
	turn              int // how many accounts had a turn since the inboxes had theirs
}

var nameSeed = maphash.MakeSeed()

func newRequesterQueues() requesterQueues {
	return requesterQueues{accounts: newGroup(maxAccounts), inboxes: newGroup(maxInboxes)}
}

func (s *requesterQueues) queue(who requester, now time.Time) *requesterQueue {
	if who.vouched {
		return s.accounts.queue(maphash.String(nameSeed, who.name), now)
	}
	return s.inboxes.queue(maphash.String(nameSeed, who.name), now)
}

func (s *requesterQueues) size() int { return s.accounts.size + s.inboxes.size }

func (s *requesterQueues) bytes() int { return s.accounts.bytes + s.inboxes.bytes }

func (s *requesterQueues) all(yield func(*requesterQueue) bool) {
	for _, g := range []*group{s.accounts, s.inboxes} {
		for _, q := range g.turns {
			if !yield(q) {
				return
			}
		}
	}
}

// pop takes the next request in turn, nil where nothing waits.
func (s *requesterQueues) pop() *request {
	busy := 0
	for _, q := range s.accounts.turns {
		if len(q.waiting) > 0 {
			busy++
		}
	}
	if s.inboxes.size > 0 && s.turn >= busy || busy == 0 {
		s.turn = 0
		return s.inboxes.pop()
	}
	s.turn++
	return s.accounts.pop()
}

// fullest is the queue that fills the backlog most.
func (s *requesterQueues) fullest() (most *requesterQueue) {
	for q := range s.all {
		if most == nil || q.weight() > most.weight() {
			most = q
		}
	}
	return most
}

// busy counts the queues that are not empty.
func (s *requesterQueues) busy() (n int) {
	for q := range s.all {
		if len(q.waiting) > 0 {
			n++
		}
	}
	return n
}
