package durable

import (
	"container/list"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/crmbridge/crmbridge/messages"
)

// An instant is a time on this process's own monotonic clock, in nanoseconds since the lane
// was made. No instant is ever compared with another process's.
type instant int64

// never is later than any instant that is met.
const never = instant(1) << 62

// after adds a duration, without running over.
func (i instant) after(d time.Duration) instant {
	if d > time.Duration(never-i) {
		return never
	}
	return i + instant(max(d, -time.Duration(i)))
}

// A waiting is a job that waits to be claimed, of about 120 bytes with its id.
type waiting struct {
	seq     uint64 // in CRM_JOBS
	id      string
	at      int64   // when it was published, in nanoseconds since 1970
	expires instant // then it is met whatever else holds it back, to be ended
	after   instant // it is passed over until then
	yields  instant // it is left to other processes until then
	hash    uint64  // of the record that was not changed for a lease
	back    int64   // beat of the record by which it was heard to be given back
	op      opIndex
	gen     uint8 // of the last reading of the stream that had it
	known   bool  // it has a record, as far as is known
	lapsed  bool  // it had an owner, whose lease has run out
}

// A held is a job that another process runs, as far as was heard.
type held struct {
	waiting
	lapses instant      // then it may be taken over, if its record stays as it is
	owner  string       // of that record, "" where it was not read or heard
	beat   int64        // of that record; what is heard with none above it was refused
	job    messages.Job // as its record was heard last
	look   instant      // then its record is read, to see whether what was heard is so
}

// An openJob is one that this process has claimed, or is about to.
type openJob struct {
	waiting
	queue *queue
	// lose ends the execution, with one of the causes in outcome.go.
	lose      func(cause error)
	slot      bool // it has the slot of its claim still
	turns     int  // that ended
	leaving   bool // it was told to make way
	looking   bool // its record is being read, since somebody else wrote it,
	lookAgain bool // and has written it again
	job       messages.Job

	claiming bool   // it is not known yet whether it is this process's
	foreign  uint64 // hash of the record by which another process was heard to have it, 0 for none
	owner    string // of that record
	beat     int64  // of the record that was heard last, of those that may count
	over     bool   // it was heard to have ended meanwhile,
	free     bool   // or to have been given back
}

// A queue has the jobs of one connection.
type queue struct {
	connection string
	jobs       []waiting          // in the order of the stream
	delayed    map[string]waiting // not to be run for a while, by id
	soonest    instant            // of these
	others     map[string]*held
	open       map[string]*openJob
	pages      []*pageTurn // of open jobs that wait for a slot

	// Jobs beyond those in memory are read when these have become few.
	from    uint64 // where the stream is read on for them; below it everything was looked at
	more    bool   // there are jobs from there on
	beyond  int    // about how many
	late    int    // of these, how many came while the last reading was under way
	filling bool

	blocked instant // until then Dataverse wants nothing of the user

	in    *list.List // board.ring or board.fresh, nil while it has nothing to offer
	place *list.Element
	wakes instant // when it has something to offer, if nothing else changes
	claim bool    // of a page and a claim, a claim is next
	fresh bool    // it had nothing, and what it has now is left to another process for a moment
}

// Bounds of what is kept in memory.
const (
	queueMost = 1_000
	boardMost = 200_000
	// refillBelow is how few jobs of a queue in memory have the next ones read.
	refillBelow = 500
	// among is how many of a queue's first jobs one is chosen from, so that processes
	// seldom choose the same.
	among = 64
	// openPerQueue bounds the open jobs of a connection in one process.
	openPerQueue = 16
	// openFactor is how many jobs may be open for each slot.
	openFactor = 4
)

// A board has the queues of all connections, and says what is next.
type board struct {
	perUser int                              // USER_CONCURRENCY
	openMax int                              // how many jobs may be open
	lease   time.Duration                    // of records
	jitter  func() time.Duration             // of a takeover
	lookIn  func() time.Duration             // when what was heard of an owner is looked at
	knows   func(op messages.Operation) bool // whether this process has the operation
	name    string                           // of this process, in records
	most    int                              // jobs of one connection in memory; fewer while memory is full
	memory  int                              // jobs in memory at most
	// strangersMost bounds the jobs in memory that are left alone.
	strangersMost int

	mu        sync.Mutex
	queues    map[string]*queue
	fresh     list.List           // queues that had nothing and have; they go first
	ring      list.List           // all others that have something to offer
	firsts    int                 // how many fresh ones went first while the ring waited
	watched   map[*queue]struct{} // with jobs of others, or that wake
	waking    map[*queue]struct{} // of these, those that wake within a tick,
	wakes     instant             // and the first of them
	peers     peers               // other processes
	step      time.Duration       // how long a job is left to one of them
	busy      map[*queue]struct{} // with open jobs
	waits     int                 // jobs in memory
	opened    int
	paging    int     // open jobs that wait for a slot
	leaving   int     // open jobs that were told to make way
	paused    instant // no claims until then, since they failed
	pause     time.Duration
	looking   bool               // records are being read
	delays    int                // jobs that are delayed
	strangers map[jobKey]waiting // jobs that are left alone until they expire
	strays    strays             // more of those
	aliens    aliens             // messages that are no jobs
	gen       uint8
	ops       opNames
	hungry    map[*queue]struct{} // of which more should be read
	filling   int                 // queues that are being read on
	room      chan struct{}       // closed when there may be room again
}

func newBoard(perUser, slots int, lease time.Duration, name string) *board {
	return &board{perUser: perUser, openMax: openFactor * slots, lease: lease, name: name, most: queueMost,
		memory: boardMost, strangersMost: strangersMost, queues: map[string]*queue{}, watched: map[*queue]struct{}{},
		busy: map[*queue]struct{}{}, waking: map[*queue]struct{}{}, wakes: never, peers: newPeers(name), step: yieldStep,
		strangers: map[jobKey]waiting{}, hungry: map[*queue]struct{}{}, ops: newOpNames(),
		jitter: func() time.Duration { return rand.N(takeoverJitter) },
		lookIn: func() time.Duration { return lookFirst + rand.N(lookFirst) },
		knows:  func(messages.Operation) bool { return true }}
}

// takeoverJitter spreads takeovers, so that not one process gets all jobs of a dead one.
const takeoverJitter = 2 * time.Second

// queueOf is the connection's queue, made where it is missing.
func (b *board) queueOf(connection string) *queue {
	q := b.queues[connection]
	if q == nil {
		q = &queue{connection: connection}
		b.queues[connection] = q
	}
	return q
}

// idle reports whether a queue has nothing of its own process's to do.
func (q *queue) idle() bool {
	return len(q.jobs) == 0 && len(q.delayed) == 0 && len(q.open) == 0 && len(q.pages) == 0 && !q.more
}

// find is where a job of a sequence is or belongs among those that wait.
func (q *queue) find(seq uint64) (int, bool) {
	return slices.BinarySearchFunc(q.jobs, seq, func(w waiting, seq uint64) int {
		switch {
		case w.seq < seq:
			return -1
		case w.seq > seq:
			return 1
		}
		return 0
	})
}

// indexOf is where a job waits, -1 for nowhere. Those that are claimed are near the front.
func (q *queue) indexOf(id string) int {
	return slices.IndexFunc(q.jobs, func(w waiting) bool { return w.id == id })
}

// insert lets a job wait in its place.
func (b *board) insert(q *queue, w waiting) {
	w.gen = b.gen
	b.place(q, w)
}

// place is insert for a job that was known.
func (b *board) place(q *queue, w waiting) {
	at, _ := q.find(w.seq)
	q.jobs = slices.Insert(q.jobs, at, w)
	b.waits++
}

// take removes a job that waits. The shorter side moves: most are near the front.
func (b *board) take(q *queue, at int) waiting {
	w := q.jobs[at]
	if at < len(q.jobs)/2 {
		copy(q.jobs[1:at+1], q.jobs[:at])
		q.jobs[0] = waiting{}
		q.jobs = q.jobs[1:]
	} else {
		q.jobs = slices.Delete(q.jobs, at, at+1)
	}
	b.waits--
	if len(q.jobs) == 0 {
		q.jobs = nil
	}
	if b.waits < b.memory/4 && b.most < queueMost {
		b.most = min(2*b.most, queueMost)
		for _, q := range b.queues {
			b.hunger(q)
		}
	}
	b.hunger(q)
	if b.room != nil && b.waits < b.memory {
		close(b.room)
		b.room = nil
	}
	return w
}

// hunger notes that more jobs of a queue should be read, if they should.
func (b *board) hunger(q *queue) {
	if q.more && !q.filling && len(q.jobs) <= min(refillBelow, b.most/2) {
		b.hungry[q] = struct{}{}
	}
}

// forget removes a queue that has nothing.
func (b *board) forget(q *queue) {
	if q.idle() && len(q.others) == 0 && q.place == nil {
		delete(b.queues, q.connection)
		delete(b.watched, q)
		delete(b.waking, q)
		delete(b.hungry, q)
	}
}
