package interactive

import (
	"sync"
	"time"

	"github.com/crmbridge/crmbridge/messages"
)

// An admission decides which requests run, which wait and which are refused, so that
// one connection whose environment hangs or whose requesters flood holds up nobody
// else. Of one connection's requests only so many run as Dataverse takes at once.
// Deciding never blocks.
type admission struct {
	bounds admissionBounds
	run    func(*request)          // begins the work on one, and returns at once
	refuse func(*request, verdict) // answers one without work, and returns at once

	mu      sync.Mutex
	closed  bool
	inHand  int
	lines   map[string]*line // of the connections that have, or lately had, something here
	waiting []*line          // those with something in the backlog, which take turns
	next    int
	backlog int       // messages that wait
	bytes   int       // of them
	tidied  time.Time // when lines that nothing happens on were last taken out
}

type admissionBounds struct {
	inHand        int // requests in hand, of all connections
	perConnection int // of one
	messages      int // that wait, of all connections; one may have a quarter of it
	bytes         int // of them
}

// maxLines is how many connections are told apart. Names beyond it, which only
// requesters with a right to all connections can make up, share a line.
const maxLines = 1000

// A verdict is why a request is not worked on, and when its requester should try again.
type verdict struct {
	code     messages.Code
	patience time.Duration
}

func newAdmission(bounds admissionBounds, run func(*request), refuse func(*request, verdict)) *admission {
	bounds.perConnection = min(bounds.inHand, bounds.perConnection)
	return &admission{bounds: bounds, run: run, refuse: refuse, lines: map[string]*line{}}
}

// push lets a request run, wait, or be refused, which may push out others that wait.
func (a *admission) push(r *request, name string, who requester) {
	begin, out := a.decide(r, name, who)
	if begin {
		a.run(r)
	}
	a.turnAway(out)
}

func (a *admission) decide(r *request, name string, who requester) (begin bool, out []denied) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.line = a.line(name, r.arrived); a.closed {
		return false, []denied{{r, verdict{messages.Unavailable, time.Second}}}
	}
	return a.take(r, who, r.arrived)
}

type denied struct {
	r   *request
	why verdict
}

// turnAway refuses what was decided to be, outside the lock.
func (a *admission) turnAway(out []denied) {
	for _, o := range out {
		a.refuse(o.r, o.why)
	}
}

func (a *admission) line(name string, now time.Time) *line {
	if l := a.lines[name]; l != nil {
		return l
	}
	if len(a.lines) >= maxLines && now.Sub(a.tidied) > time.Second {
		a.tidied = now
		for name, l := range a.lines {
			if l.running == 0 && l.lanes.size() == 0 {
				delete(a.lines, name)
			}
		}
	}
	if len(a.lines) >= maxLines {
		name = ""
		if l := a.lines[name]; l != nil {
			return l
		}
	}
	l := &line{name: name, lanes: newLanes()}
	a.lines[name] = l
	return l
}

// take decides on one that came. What is refused because its requester has most
// waiting, which is nearly all of a flood, is not looked at.
func (a *admission) take(r *request, who requester, now time.Time) (begin bool, out []denied) {
	l := r.line
	if l.lanes.size() == 0 && a.mayRun(l, now) {
		a.begin(r, now)
		return true, nil
	}
	of := l.lanes.lane(who, now)
	full := a.full(l, r.size, now)
	if full && !l.givesWay(of) {
		return false, []denied{{r, verdict{messages.Overloaded, l.patience(0, a.bounds)}}}
	}
	r.deadline = deadlineOf(r.msg, r.arrived)
	if left := r.deadline.Sub(now); left <= 0 {
		return false, []denied{{r, verdict{code: messages.DeadlineExceeded}}}
	} else if need := l.expected(of, now); need > left {
		return false, []denied{{r, verdict{messages.Overloaded, l.patience(need, a.bounds)}}}
	}
	// Where there is no room, who has most waiting gives way: of the connection's
	// requesters, then of the connections. Who has most is refused itself.
	for ; full; full = a.full(l, r.size, now) {
		if !l.givesWay(of) {
			return false, append(out, denied{r, verdict{messages.Overloaded, l.patience(0, a.bounds)}})
		}
		out = a.pushOut(l, out)
	}
	for a.backlog+1 > a.bounds.messages || a.bytes+r.size > a.bounds.bytes && a.backlog > 0 {
		longest := a.longest()
		if longest == nil || longest.weight() <= l.weight()+1 {
			return false, append(out, denied{r, verdict{messages.Overloaded, l.patience(0, a.bounds)}})
		}
		out = a.pushOut(longest, out)
	}
	of.push(r)
	a.backlog++
	a.bytes += r.size
	if !l.listed {
		l.listed = true
		a.waiting = append(a.waiting, l)
	}
	return false, out
}

// pushOut takes the last message out of the lane of a line that has most waiting.
func (a *admission) pushOut(l *line, out []denied) []denied {
	from := l.lanes.fullest()
	r := from.remove(len(from.waiting) - 1)
	a.backlog--
	a.bytes -= r.size
	return append(out, denied{r, verdict{messages.Overloaded, l.patience(0, a.bounds)}})
}

// partOfBacklog is how many times a connection's part fits the backlog.
const partOfBacklog = 4

// full reports whether one more message does not fit a connection's part of the
// backlog, or would stand there.
func (a *admission) full(l *line, size int, now time.Time) bool {
	waits := l.lanes.size()
	return waits+1 > max(a.bounds.messages/partOfBacklog, 1) ||
		l.lanes.bytes()+size > a.bounds.bytes/partOfBacklog && waits > 0 ||
		l.running == a.bounds.perConnection && l.standing(now)
}

// longest is the line that fills the backlog most.
func (a *admission) longest() (most *line) {
	for _, l := range a.waiting {
		if most == nil || l.weight() > most.weight() {
			most = l
		}
	}
	return most
}

// A quarter of the places is kept for connections that hold few, and a connection
// that hangs gets few of what is left once half of it is taken: requests that only
// wait for an environment do not use up the room of others.
const (
	keptFor  = 4                // the part of the places that is kept, as a divisor
	hangsFor = 5 * time.Second  // without an answer, and hangsTimes longer than it takes
	hangsFew = 32               // the part of the places that a hanging connection may hold then, as a divisor
	hangsNot = 4 * time.Second  // a pace up to which hangsTimes counts
	hangsBy  = time.Duration(4) // how many times longer than its pace
)

// mayRun reports whether one more request of a connection may run.
func (a *admission) mayRun(l *line, now time.Time) bool {
	free := a.bounds.inHand - a.inHand
	switch {
	case free <= 0 || l.running >= a.bounds.perConnection:
		return false
	case l.running == 0:
		return true
	case free <= a.bounds.inHand/2 && l.hangs(now):
		return l.running < max(a.bounds.inHand/hangsFew, 1)
	case free > a.bounds.inHand/keptFor:
		return true
	default:
		return l.running < max(free/keptFor, 1)
	}
}

func (a *admission) begin(r *request, now time.Time) {
	r.begun = now
	if r.line.running == 0 {
		r.line.alive = now
	}
	r.line.running++
	a.inHand++
}

// leave ends a request that ran, and lets the next ones run. answered says that it did
// not end for want of an answer.
func (a *admission) leave(r *request, answered bool) {
	for _, next := range a.left(r, answered, time.Now()) {
		a.run(next)
	}
}

func (a *admission) left(r *request, answered bool, now time.Time) []*request {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := r.line
	l.running--
	a.inHand--
	l.learn(now.Sub(r.begun))
	if answered {
		l.alive = now
	}
	return a.dispatch(now)
}

// dispatch begins what may run of what waits, connections in turn.
func (a *admission) dispatch(now time.Time) (begun []*request) {
	for passed := 0; passed < len(a.waiting); {
		if a.next >= len(a.waiting) {
			a.next = 0
		}
		l := a.waiting[a.next]
		if l.lanes.size() == 0 {
			a.unlist(a.next)
			continue
		}
		a.next++
		if !a.mayRun(l, now) {
			passed++
			continue
		}
		passed = 0
		r := l.lanes.pop()
		a.backlog--
		a.bytes -= r.size
		a.begin(r, now)
		begun = append(begun, r)
	}
	return begun
}

func (a *admission) unlist(i int) {
	a.waiting[i].listed = false
	a.waiting = append(a.waiting[:i], a.waiting[i+1:]...)
}

// load is how many messages wait, and their bytes.
func (a *admission) load() (backlog, bytes int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.backlog, a.bytes
}
