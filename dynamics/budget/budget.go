// Package budget bounds the bytes that a process holds for its requests: their
// bodies, the answers that are read for them, and the replies that are built.
//
// Each request has an [Account], which grows before memory is taken and shrinks
// when it is given up. What would go over the bound waits, the oldest account
// first, until others have ended, and is refused shortly before its deadline.
//
// Waiting must end even where every account holds a part and wants more. So
// ordinary growth leaves a reserve, which is lent to one account at a time, the
// oldest that waits, until it has closed: that one ends, and what it gives back
// serves the next. Where even the reserve is too small, and nobody works who would
// give something back, the youngest account that waits is refused ([ErrTaken]) and
// gives up what it holds. An account that has the
// budget for itself is never refused: it may take more than the bound.
//
// The bytes are those that the callers report. The package knows nothing of what
// they are for.
package budget

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// Bounds of a Budget, in bytes.
type Bounds struct {
	// Bytes is the bound of all accounts together.
	Bytes int64
	// Reserve is the part of Bytes that only one account at a time may use.
	Reserve int64
	// Intake is the part of Bytes that only [Budget.Open] may use, so that
	// requests are taken in while others wait for room.
	Intake int64
}

// A Budget is shared by all requests of a process. It is safe for concurrent use.
type Budget struct {
	bounds Bounds

	mu       sync.Mutex
	used     int64
	opened   int64                    // the part of used that accounts were opened with
	borrowed int64                    // the part of used that is lent from the reserve
	holder   *Account                 // to whom
	age      uint64                   // of the account that was opened last
	open     chain[Account, *Account] // by age, parts behind their whole
	growing  queue                    // by age
	starting queue
	waits    uint64
	refused  uint64
}

// New makes a budget. Bytes less Reserve and Intake must be more than zero.
func New(bounds Bounds) (*Budget, error) {
	b := &Budget{bounds: bounds}
	if bounds.Reserve < 0 || bounds.Intake < 0 || b.ordinary() <= 0 {
		return nil, fmt.Errorf("budget: %d bytes are too few for a reserve of %d and an intake of %d",
			bounds.Bytes, bounds.Reserve, bounds.Intake)
	}
	return b, nil
}

func (b *Budget) ordinary() int64 { return b.bounds.Bytes - b.bounds.Reserve - b.bounds.Intake }

// Causes of an [Error].
var (
	// ErrFull: there was no room in time.
	ErrFull = errors.New("the memory budget is used up")
	// ErrTaken: the account had to make way for an older one. The lease should be
	// closed, and what it was for may then be begun again. What an account itself
	// grows by is not refused so.
	ErrTaken = errors.New("the memory budget is needed by an older request")
)

// An Error says that there is no room.
type Error struct {
	Cause error         // ErrFull or ErrTaken
	After time.Duration // when to try again
}

// Error returns the cause's text.
func (e *Error) Error() string { return e.Cause.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Usage is what a budget is used for at a moment.
type Usage struct {
	Used, Bytes int64
	Accounts    int    // open
	Waiting     int    // calls that wait for room
	Waits       uint64 // calls that have had to wait
	Refused     uint64 // calls that got an Error
}

// Usage returns the budget's present use.
func (b *Budget) Usage() Usage {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Usage{Used: b.used, Bytes: b.bounds.Bytes, Accounts: b.open.n,
		Waiting: len(b.growing) + len(b.starting), Waits: b.waits, Refused: b.refused}
}

// Open makes an account that holds n bytes, at once or not at all. A nil Budget
// makes a nil Account, which bounds nothing.
func (b *Budget) Open(n int64) (*Account, error) {
	if b == nil {
		return nil, nil
	}
	return b.OpenIn(new(Account), n)
}

// OpenIn is Open in the caller's own memory, which has never been an account: leases may
// know one for longer than it is open.
func (b *Budget) OpenIn(a *Account, n int64) (*Account, error) {
	if b == nil {
		return nil, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used > 0 && b.opened+n > b.bounds.Intake && b.used-b.borrowed+n > b.ordinary()+b.bounds.Intake {
		b.refused++
		return nil, &Error{Cause: ErrFull, After: leastAfter}
	}
	b.age++
	a.begin(b, b.age, nil)
	a.opened = n
	b.opened += n
	b.open.push(a)
	a.own.take(n)
	return a, nil
}

// settle gives room to those who wait, as far as it goes. It is called with b.mu
// held whenever something was given back and when somebody begins to wait.
func (b *Budget) settle() {
	for len(b.growing) > 0 {
		if w := b.growing[0]; !b.grant(&b.growing, w, b.ordinarily(w.n)) {
			return
		}
	}
	for len(b.starting) > 0 {
		if w := b.starting[0]; !b.grant(&b.starting, w, b.mayStart(w.lease, w.n)) {
			return
		}
	}
}

// grant gives the first of a queue what it waits for, where there is room or some
// can be made. It reports whether it is worth looking at the queue again.
func (b *Budget) grant(q *queue, w *waiter, room bool) bool {
	a := w.lease.account.whole
	if !room && b.used != a.held { // an account that is alone may have all and more
		working := b.working()
		free := max(0, b.ordinary()-(b.used-b.borrowed))
		more := min(free+b.reserve(a, working), b.bounds.Bytes-b.used)
		switch {
		case working+free >= w.n:
			return false // those who work will give back enough
		case more >= w.n:
			b.holder = a
			b.borrowed += w.n - free
		case working+more >= w.n:
			return false
		case b.wound(a, ErrTaken, hasBegun):
			return true
		case working > 0:
			return false // they end, or have just been told to make way
		case b.wound(b.oldestWaiting(), ErrTaken, hasBegun):
			return true // a itself, after which an older one waits that begins something
		case b.used-a.held > b.bounds.Intake:
			return b.wound(b.oldestWaiting(), ErrFull, func(w *waiter) bool { return w.lease.account.whole.held > 0 })
		}
		// The others hold what they came with, and no more.
	}
	*q = (*q)[1:]
	a.idle--
	w.lease.take(w.n)
	w.ready <- nil
	return true
}

// unwaited reports whether nobody waits, so that nobody is overtaken.
func (b *Budget) unwaited() bool { return len(b.growing)+len(b.starting) == 0 }

func (b *Budget) ordinarily(n int64) bool { return b.used-b.borrowed+n <= b.ordinary() }

// mayStart keeps half of the room for what has been begun, so that a piece of work
// that begins has a chance to end without a stop. The oldest request is not held
// back: it may be what others wait for. Who has had to make way begins again when
// nobody else works.
func (b *Budget) mayStart(l *Lease, n int64) bool {
	a := l.account.whole
	oldest := b.open.first == a
	half := !a.taken && b.used-b.borrowed+n <= b.ordinary()/2
	return b.ordinarily(n) && (half || oldest || b.working() < n)
}

// working is what is held by those who do not wait.
func (b *Budget) working() int64 {
	n := b.used
	for a := b.open.first; a != nil; a = a.place.next {
		if a == a.whole && a.idle > 0 {
			n -= a.held
		}
	}
	return n
}

// reserve is how much of the reserve a may have yet: nothing while another has some,
// and somebody works. Where nobody does, the other waits too, perhaps for a.
func (b *Budget) reserve(a *Account, working int64) int64 {
	if b.holder != a && b.borrowed > 0 && working > 0 {
		return 0
	}
	return b.bounds.Reserve - b.borrowed
}

// hasBegun tells a call that gives up more than its account came with.
func hasBegun(w *waiter) bool {
	a := w.lease.account
	return w.lease != &a.own && a.whole.held > a.whole.keeps()
}

// oldestWaiting is of both queues: who begins something waits after all who grow,
// however old they are, and must not wait for ever for one who waits too.
func (b *Budget) oldestWaiting() *Account {
	var oldest *Account
	for _, q := range []queue{b.growing, b.starting} {
		if len(q) > 0 && (oldest == nil || q[0].lease.account.whole.age < oldest.age) {
			oldest = q[0].lease.account.whole
		}
	}
	return oldest
}

// wound refuses the youngest account that waits, is younger than a, and has a call
// that counts, so that what it gives up serves an older one. It reports whether there
// was one.
func (b *Budget) wound(a *Account, cause error, counts func(*waiter) bool) bool {
	var victim *Account
	for _, q := range []queue{b.growing, b.starting} {
		for _, w := range q {
			if other := w.lease.account.whole; other.age > a.age && counts(w) &&
				(victim == nil || other.age > victim.age) {
				victim = other
			}
		}
	}
	if victim == nil {
		return false
	}
	victim.taken = true
	for _, q := range []*queue{&b.growing, &b.starting} {
		for i := len(*q) - 1; i >= 0; i-- {
			if w := (*q)[i]; w.lease.account.whole == victim && counts(w) {
				q.remove(w)
				b.refused++
				w.ready <- &Error{Cause: cause, After: leastAfter}
			}
		}
	}
	return true
}
