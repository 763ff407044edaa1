package interactive

import (
	"hash/maphash"
	"math"
	"slices"
	"time"
)

// Bounds of the lanes of one connection.
const (
	// mostAccounts have a lane each; the operator's account imports bound them too.
	mostAccounts = 64
	// mostInboxes is small because inboxes cost nothing to make up: whoever has one of
	// the lanes keeps a fifth of what the connection gives to inboxes.
	mostInboxes = 4
	// mostRates is of how many requesters it is known how much they ask.
	mostRates = 64
	// rateHalves is after what time half as much counts.
	rateHalves = 5 * time.Second
	// swapEvery bounds how often a lane passes to another requester.
	swapEvery = time.Second
)

// A lane is what waits of one requester, in the order of arrival.
type lane struct {
	of      *group
	waiting []*request
	bytes   int
}

// weight is by how much a lane fills the backlog: a long message counts as several.
func (l *lane) weight() int { return len(l.waiting) + l.bytes/(4<<10) }

func (l *lane) push(r *request) {
	l.waiting = append(l.waiting, r)
	l.bytes += r.size
	r.lane = l
	l.of.size++
	l.of.bytes += r.size
}

func (l *lane) remove(i int) *request {
	r := l.waiting[i]
	l.waiting = slices.Delete(l.waiting, i, i+1)
	l.bytes -= r.size
	l.of.size--
	l.of.bytes -= r.size
	return r
}

// A group is requesters of one kind. Those that ask most have a lane each, and the
// others share one: who asks much waits behind the own requests, and a thousand names
// that are made up are one lane like any other. Names are kept as hashes.
type group struct {
	most   int
	own    map[uint64]*lane
	shared *lane
	turns  []*lane // all that have a turn, also lanes that were passed on and are not empty yet
	next   int
	size   int // that wait in all lanes
	bytes  int // of them

	rates   map[uint64]*rate
	swapped time.Time
}

// A rate is how much a requester has asked lately.
type rate struct {
	n  float64
	at time.Time
}

func (r *rate) now(now time.Time) float64 {
	return r.n * math.Exp2(-float64(now.Sub(r.at))/float64(rateHalves))
}

func newGroup(most int) *group {
	g := &group{most: most, own: map[uint64]*lane{}, rates: map[uint64]*rate{}}
	g.shared = g.open()
	return g
}

func (g *group) open() *lane {
	l := &lane{of: g}
	g.turns = append(g.turns, l)
	return l
}

// lane finds a requester's lane, or gives it one in the place of somebody who asks less.
func (g *group) lane(name uint64, now time.Time) *lane {
	asks := g.count(name, now)
	if l := g.own[name]; l != nil {
		return l
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

// least is the requester with a lane that asks least. One whose rate is not known any
// more counts as much as the least that is known: it may have asked so much, and taken
// for nothing its lane would go to whoever of a thousand made-up names comes next.
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

// leastKnown is the least of the rates that are kept.
func (g *group) leastKnown(now time.Time) (least uint64, n float64) {
	n = math.Inf(1)
	for name, r := range g.rates {
		if asks := r.now(now); asks < n {
			least, n = name, asks
		}
	}
	return least, n
}

// count adds one request to a requester's rate. Of those that are not known any more the
// rate is that of the one in whose place they come, so that nobody who asks much is
// overlooked (Metwally's Space-Saving).
func (g *group) count(name uint64, now time.Time) float64 {
	r := g.rates[name]
	if r == nil && len(g.rates) >= mostRates {
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

// pop takes the first of the lane whose turn it is.
func (g *group) pop() *request {
	for g.size > 0 {
		g.next %= len(g.turns)
		switch l := g.turns[g.next]; {
		case len(l.waiting) > 0:
			g.next++
			return l.remove(0)
		case l == g.shared || g.owned(l):
			g.next++
		default:
			g.turns = slices.Delete(g.turns, g.next, g.next+1)
		}
	}
	return nil
}

func (g *group) owned(l *lane) bool {
	for _, own := range g.own {
		if own == l {
			return true
		}
	}
	return false
}

// lanes are what waits of one connection. Accounts and the inboxes of those without
// one take turns: each account has a turn, and all inboxes together have one, which
// they take in turn.
type lanes struct {
	accounts, inboxes *group
	turn              int // counts accounts' turns since that of the inboxes
}

var nameSeed = maphash.MakeSeed()

func newLanes() lanes { return lanes{accounts: newGroup(mostAccounts), inboxes: newGroup(mostInboxes)} }

func (s *lanes) lane(who requester, now time.Time) *lane {
	if who.vouched {
		return s.accounts.lane(maphash.String(nameSeed, who.name), now)
	}
	return s.inboxes.lane(maphash.String(nameSeed, who.name), now)
}

func (s *lanes) size() int { return s.accounts.size + s.inboxes.size }

func (s *lanes) bytes() int { return s.accounts.bytes + s.inboxes.bytes }

func (s *lanes) all(yield func(*lane) bool) {
	for _, g := range []*group{s.accounts, s.inboxes} {
		for _, l := range g.turns {
			if !yield(l) {
				return
			}
		}
	}
}

// pop takes the next in turn, nil where nothing waits.
func (s *lanes) pop() *request {
	busy := 0
	for _, l := range s.accounts.turns {
		if len(l.waiting) > 0 {
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

// fullest is the lane that fills the backlog most.
func (s *lanes) fullest() (most *lane) {
	for l := range s.all {
		if most == nil || l.weight() > most.weight() {
			most = l
		}
	}
	return most
}

// busy is in how many lanes something waits.
func (s *lanes) busy() (n int) {
	for l := range s.all {
		if len(l.waiting) > 0 {
			n++
		}
	}
	return n
}
