package handlers

import (
	"slices"
	"time"
)

// Bounds of the lanes of one connection. Requesters beyond them share one.
const (
	// mostAccounts have a lane each; the operator's account imports bound them too.
	mostAccounts = 64
	// mostInboxes is small because inboxes cost nothing to make up: a requester that
	// has one of the lanes keeps a fifth of what the connection gives to inboxes,
	// however many names a flood invents.
	mostInboxes = 4
	// laneKept is how long a requester keeps its lane while it asks nothing.
	laneKept = 30 * time.Second
)

// A lane is what waits of one requester, in the order of arrival.
type lane struct {
	of      *group
	waiting []*request
	bytes   int
	seen    time.Time
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

// A group is requesters of one kind, each with a lane of its own while there are few,
// and a lane that all others share.
type group struct {
	most   int
	own    map[string]*lane
	shared *lane
	turns  []*lane // own in the order of coming, shared at the end once it is needed
	next   int
	size   int // that wait in all lanes
	bytes  int // of them
}

func newGroup(most int) *group { return &group{most: most, own: map[string]*lane{}} }

// lane finds a requester's lane. Lanes are given to those who come first, and taken
// from those who have asked nothing for a while.
func (g *group) lane(name string, now time.Time) *lane {
	l := g.own[name]
	if l == nil && len(g.own) >= g.most {
		g.retire(now)
	}
	switch {
	case l == nil && len(g.own) < g.most:
		l = &lane{of: g}
		g.own[name] = l
		g.turns = append(g.turns, l)
	case l == nil:
		if g.shared == nil {
			g.shared = &lane{of: g}
			g.turns = append(g.turns, g.shared)
		}
		l = g.shared
	}
	l.seen = now
	return l
}

func (g *group) retire(now time.Time) {
	for name, l := range g.own {
		if len(l.waiting) == 0 && now.Sub(l.seen) > laneKept {
			delete(g.own, name)
			at := slices.Index(g.turns, l)
			g.turns = slices.Delete(g.turns, at, at+1)
			if at < g.next {
				g.next--
			}
		}
	}
}

// pop takes the first of the lane whose turn it is.
func (g *group) pop() *request {
	for range g.turns {
		l := g.turns[g.next%len(g.turns)]
		g.next = (g.next + 1) % len(g.turns)
		if len(l.waiting) > 0 {
			return l.remove(0)
		}
	}
	return nil
}

// lanes are what waits of one connection. Accounts and the inboxes of those without
// one take turns: each account has a turn, and all inboxes together have one, which
// they take in turn.
type lanes struct {
	accounts, inboxes *group
	turn              int // counts accounts' turns since that of the inboxes
}

func newLanes() lanes { return lanes{accounts: newGroup(mostAccounts), inboxes: newGroup(mostInboxes)} }

func (s *lanes) lane(who requester, now time.Time) *lane {
	if who.vouched {
		return s.accounts.lane(who.name, now)
	}
	return s.inboxes.lane(who.name, now)
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
