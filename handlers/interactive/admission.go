package interactive

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/crmbridge/crmbridge/messages"
)

// An admission limits the requests in flight: it decides which run, which wait and which
// are refused, so that one connection whose environment hangs or whose requesters flood
// holds up nobody else. A slot is held by one request in flight; a connection gets no
// more slots than Dataverse takes calls of one user at once. Deciding never blocks.
type admission struct {
	bounds admissionBounds
	run    func(*request)          // begins the work on a request, and returns at once
	refuse func(*request, verdict) // answers a request without work, and returns at once

	mu       sync.Mutex
	closed   bool
	inFlight int                   // requests
	pages    int                   // slots that pages of jobs have
	freed    chan struct{}         // tells jobs
	asked    time.Time             // when a job last found no slot of its least; zero where it got one
	lapsing  bool                  // what is owed to jobs goes to requests in a moment
	queues   map[string]*connQueue // of connections with requests, now or lately
	waiting  []*connQueue          // the queues that are not empty; they take turns
	next     int
	busy     int          // connections with requests that run or wait
	lingers  atomic.Int64 // requests that are answered and not over yet, without a slot
	backlog  int          // messages that wait
	bytes    int          // of them
	tidied   time.Time    // when idle queues were last removed
}

type admissionBounds struct {
	inFlight      int // slots
	perConnection int // slots that one connection may hold
	messages      int // that wait, of all connections; one connection may have a quarter
	bytes         int // of the messages that wait; likewise
}

// maxQueues is how many connections have a queue of their own. Names beyond it, which
// only requesters with a right to all connections can make up, share one.
const maxQueues = 1000

// A verdict is why a request is refused, and when its requester should try again.
type verdict struct {
	code       messages.Code
	retryAfter time.Duration
}

func newAdmission(bounds admissionBounds, run func(*request), refuse func(*request, verdict)) *admission {
	bounds.perConnection = min(bounds.inFlight, bounds.perConnection)
	return &admission{bounds: bounds, run: run, refuse: refuse, queues: map[string]*connQueue{},
		freed: make(chan struct{}, 1)}
}

// push lets a request run, lets it wait, or refuses it. It may refuse others that wait.
func (a *admission) push(r *request, name string) {
	begin, out := a.decide(r, name)
	if begin {
		a.run(r)
	}
	a.reject(out)
}

func (a *admission) decide(r *request, name string) (begin bool, out []denied) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.queue = a.queueOf(name, r.arrived); a.closed {
		return false, []denied{{r, verdict{messages.Unavailable, time.Second}}}
	}
	return a.take(r, r.arrived)
}

type denied struct {
	r   *request
	why verdict
}

// reject answers the requests that were refused. It must be called without the lock.
func (a *admission) reject(out []denied) {
	for _, o := range out {
		a.refuse(o.r, o.why)
	}
}

func (a *admission) queueOf(name string, now time.Time) *connQueue {
	if q := a.queues[name]; q != nil {
		return q
	}
	if len(a.queues) >= maxQueues && now.Sub(a.tidied) > time.Second {
		a.tidied = now
		for name, q := range a.queues {
			if q.running == 0 && q.requesters.size() == 0 {
				delete(a.queues, name)
			}
		}
	}
	if len(a.queues) >= maxQueues {
		name = ""
		if q := a.queues[name]; q != nil {
			return q
		}
	}
	q := &connQueue{name: name, requesters: newRequesterQueues()}
	a.queues[name] = q
	return q
}

// take decides on a request that arrived. Nearly all of a flood is refused because its
// requester has most requests waiting; of these not even the headers are read.
func (a *admission) take(r *request, now time.Time) (begin bool, out []denied) {
	q := r.queue
	if q.requesters.size() == 0 && a.mayRun(q, now) {
		a.begin(r, now)
		return true, nil
	}
	of := q.requesters.queue(requesterOf(r.msg), now)
	full := a.full(q, r.size, now)
	if full && !q.givesWay(of) {
		return false, []denied{{r, verdict{messages.Overloaded, q.retryAfter(0, a.bounds)}}}
	}
	r.deadline = deadlineOf(r.msg, r.arrived)
	if left := r.deadline.Sub(now); left <= 0 {
		return false, []denied{{r, verdict{code: messages.DeadlineExceeded}}}
	} else if need := q.expected(of, now); need > left && !a.even(q, 1) {
		return false, []denied{{r, verdict{messages.Overloaded, q.retryAfter(need, a.bounds)}}}
	}
	// Where there is no room, the longest queue loses its last request: first among the
	// connection's requesters, then among the connections. If the longest is this
	// request's own, this request is refused.
	for ; full; full = a.full(q, r.size, now) {
		if !q.givesWay(of) {
			return false, append(out, denied{r, verdict{messages.Overloaded, q.retryAfter(0, a.bounds)}})
		}
		out = a.pushOut(q, out)
	}
	for a.backlog+1 > a.bounds.messages || a.bytes+r.size > a.bounds.bytes && a.backlog > 0 {
		longest := a.longest()
		if longest == nil || longest.weight() <= q.weight()+1 {
			return false, append(out, denied{r, verdict{messages.Overloaded, q.retryAfter(0, a.bounds)}})
		}
		out = a.pushOut(longest, out)
	}
	of.push(r)
	a.backlog++
	a.bytes += r.size
	a.tally(q)
	a.lapse(now)
	if !q.listed {
		q.listed = true
		a.waiting = append(a.waiting, q)
	}
	return false, out
}

// pushOut refuses the last request of the connection's longest requester queue.
func (a *admission) pushOut(q *connQueue, out []denied) []denied {
	from := q.requesters.fullest()
	r := from.remove(len(from.waiting) - 1)
	a.backlog--
	a.bytes -= r.size
	a.tally(q)
	return append(out, denied{r, verdict{messages.Overloaded, q.retryAfter(0, a.bounds)}})
}

// backlogShare is the part of the backlog that one connection may have, as a divisor.
const backlogShare = 4

// full reports whether a connection's queue takes no further message of the given size:
// its part of the backlog is used up, or it does not get shorter.
func (a *admission) full(q *connQueue, size int, now time.Time) bool {
	waits := q.requesters.size()
	return waits+1 > max(a.bounds.messages/backlogShare, 1) ||
		q.requesters.bytes()+size > a.bounds.bytes/backlogShare && waits > 0 ||
		q.running == a.bounds.perConnection && q.standing(now) && !a.even(q, 1)
}

// even reports whether a connection has, with some more, no more requests than its even share
// of the slots. Such a connection asks for nothing that there is no room for: where its
// requests wait, others have more than theirs, or the machine stands still, and none of them
// is refused for want of pace.
func (a *admission) even(q *connQueue, more int) bool {
	connections := a.busy
	if !q.busy {
		connections++
	}
	share := min(a.bounds.inFlight/connections, a.bounds.perConnection)
	return q.running+q.requesters.size()+more <= share
}

// tally counts the connection among the busy ones, or no more. It follows each change of
// what it has.
func (a *admission) tally(q *connQueue) {
	if busy := q.running > 0 || q.requesters.size() > 0; busy != q.busy {
		q.busy = busy
		if busy {
			a.busy++
		} else {
			a.busy--
		}
	}
}

// longest is the queue that fills the backlog most.
func (a *admission) longest() (most *connQueue) {
	for _, q := range a.waiting {
		if most == nil || q.weight() > most.weight() {
			most = q
		}
	}
	return most
}

// A quarter of the slots is kept for connections that hold few. Once half of the slots
// are taken, a connection that hangs gets few more: requests that only wait for an
// environment must not use up the slots of others.
const (
	reserved   = 4                // the part of the slots that is kept, as a divisor
	hangsAfter = 5 * time.Second  // a connection hangs after so long without an answer,
	hangsTimes = time.Duration(4) // and after so many times its pace,
	hangsPace  = 4 * time.Second  // which counts up to this
	hangsShare = 32               // the part of the slots for a connection that hangs, as a divisor
)

// shareFactor limits a connection to a part of the free slots, as a divisor, once only
// the reserved ones are left (a dynamic threshold: the fewer are free, the fewer it gets).
const shareFactor = 4

// mayRun reports whether one more request of a connection may run.
func (a *admission) mayRun(q *connQueue, now time.Time) bool {
	free := a.bounds.inFlight - a.taken() - a.owed(now)
	switch {
	case free <= 0 || q.running >= a.bounds.perConnection:
		return false
	case q.running == 0:
		return true
	case free <= a.bounds.inFlight/2 && q.hangs(now):
		return q.running < max(a.bounds.inFlight/hangsShare, 1)
	case free > a.bounds.inFlight/reserved:
		return true
	default:
		return q.running < max(free/shareFactor, 1)
	}
}

func (a *admission) begin(r *request, now time.Time) {
	r.begun = now
	if r.queue.running == 0 {
		r.queue.alive = now
	}
	r.queue.running++
	a.inFlight++
	a.tally(r.queue)
}

// answers is called before the last reply to a request goes out, and frees its slot: with the
// answer its requester asks again, and that one's place is this one's. What is left to do
// takes microseconds, but where the log or NATS stands still: as many requests as there are
// slots may linger without one. alive is false where no answer came in time.
func (a *admission) answers(r *request, alive bool, now time.Time) {
	a.runAll(a.answered(r, alive, now))
}

func (a *admission) answered(r *request, alive bool, now time.Time) *request {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended(r, alive, now)
	if a.lingers.Load() >= int64(a.bounds.inFlight) {
		return nil // it keeps its slot until it is over
	}
	r.lingers = true
	a.lingers.Add(1)
	return a.vacate(now)
}

// ended counts a request as one that does not run any more.
func (a *admission) ended(r *request, alive bool, now time.Time) {
	r.answered = true
	q := r.queue
	q.running--
	q.learn(now.Sub(r.begun))
	if alive {
		q.alive = now
	}
	a.tally(q)
}

// vacate frees a slot and lets the next ones run.
func (a *admission) vacate(now time.Time) *request {
	a.inFlight--
	begun := a.dispatch(now)
	a.free()
	return begun
}

// leave ends a request, and frees its slot where it still has one.
func (a *admission) leave(r *request, alive bool) {
	if r.lingers { // as its worker has set it
		a.lingers.Add(-1)
		return
	}
	a.runAll(a.left(r, alive))
}

func (a *admission) left(r *request, alive bool) *request {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if !r.answered {
		a.ended(r, alive, now)
	}
	return a.vacate(now)
}

// runAll runs the requests of a list, which ends with it.
func (a *admission) runAll(first *request) {
	for r := first; r != nil; {
		next := r.next
		r.next = nil
		a.run(r)
		r = next
	}
}

// dispatch lets requests that wait run, as far as there are slots; connections take turns.
func (a *admission) dispatch(now time.Time) (begun *request) {
	last := &begun
	for passed := 0; passed < len(a.waiting); {
		if a.next >= len(a.waiting) {
			a.next = 0
		}
		q := a.waiting[a.next]
		if q.requesters.size() == 0 {
			a.unlist(a.next)
			continue
		}
		a.next++
		if !a.mayRun(q, now) {
			passed++
			continue
		}
		passed = 0
		r := q.requesters.pop()
		a.backlog--
		a.bytes -= r.size
		a.begin(r, now)
		*last, last = r, &r.next
	}
	a.lapse(now)
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
