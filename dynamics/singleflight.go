package dynamics

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"math/bits"
	"sync"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/budget"
)

// flights lets calls for the same page that come while one is under way share its
// answer. Nothing is kept once it is there: an audience must not be stale.
type flights struct {
	mu    sync.Mutex
	under map[uint64]*flight // by the hash of what they are of
}

// A flightKey says what is asked for, whose it is and in what form rows are delivered. Two
// calls for a page are the same where it is.
type flightKey struct {
	connection, incarnation, user, table  string
	op, origin, path, query, link, prefer string
	form                                  [sha256.Size]byte
	// job: a job asks. Nobody waits for a call that gives way, so that a job's is shared
	// by jobs alone, which share any.
	job bool
}

// A flight is one call. Who began it makes it, in its own time; the others wait.
type flight struct {
	of     flightKey
	hash   uint64
	done   chan struct{} // made by the first of the others
	page   *Page
	err    error
	others int
	leases []*budget.Lease // of the page, one for each of the others
	gaveUp bool            // the one who made it ended before it did, or had too little time
	again  time.Time       // not before then the environment wants to be asked again
}

// page returns what the call reads, for everybody who asks for the same meanwhile, and
// whether the caller's own call was made. What
// came about because the one who made the call had little time says nothing to the
// others: one of them makes it again, when the environment wants to be asked again.
// While the circuit is broken nobody waits for a call that hangs: each asks to be let
// through.
func (f *flights) page(ctx context.Context, s *Session, c *pageCall) (page *Page, mine bool, err error) {
	circuit := c.circuit
	c.of = s.flightKey(ctx, &c.request, c.query)
	for {
		c.now = time.Now()
		if circuit.broken(c.now) {
			page, err = c.make(ctx, s)
			return page, true, err
		}
		one, role := f.join(&c.flight)
		if told := s.client.config.Coalesced; told != nil {
			told(role == waits)
		}
		switch role {
		case makesIt:
			page, err = f.fly(ctx, s, c)
			return page, true, err
		case goesAlone:
			page, err = c.make(ctx, s)
			return page, true, err
		}
		if err := one.wait(ctx, c.op, circuit); err != nil {
			f.part(one).Close()
			return nil, false, err
		}
		if !one.gaveUp {
			page, err = f.given(ctx, one)
			return page, false, err
		}
		if !fits(ctx, 0) { // their time was the same
			return nil, false, ended(ctx, c.op)
		}
		if wait := time.Until(one.again); wait > 0 {
			if !fits(ctx, wait) {
				return nil, false, one.err // it would come to the same
			}
			if ended := sleep(ctx, c.op, wait); ended != nil {
				return nil, false, ended
			}
		}
	}
}

// given is what one of the others gets of a flight that ended with a verdict.
func (f *flights) given(ctx context.Context, one *flight) (*Page, error) {
	if one.page == nil {
		return nil, one.err
	}
	page := &Page{contents: one.page.contents}
	page.lease = f.part(one)
	page.lease.Join(budget.From(ctx))
	return page, nil
}

// wait returns when the call is over. Who waits for it counts as a call that hangs.
func (one *flight) wait(ctx context.Context, op string, circuit *breaker) error {
	hanging := circuit.watch()
	defer func() { hanging.end(time.Now()) }()
	defer budget.From(ctx).Pause()()
	select {
	case <-one.done:
		return nil
	case <-ctx.Done():
		return ended(ctx, op)
	}
}

// sleep waits, and returns the error of a caller whose context ended meanwhile.
func sleep(ctx context.Context, op string, d time.Duration) *Error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	defer budget.From(ctx).Pause()()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ended(ctx, op)
	}
}

// part takes one of the others from a flight, with what it has of the page.
func (f *flights) part(one *flight) *budget.Lease {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(one.leases) == 0 {
		one.others-- // the page is not there yet
		return nil
	}
	l := one.leases[0]
	one.leases = one.leases[1:]
	return l
}

// What who asks for a page does about it.
type role int

const (
	waits role = iota // for a call in flight
	makesIt
	goesAlone // another page's call has the place; it happens to two of 2^64
)

// join finds the call that is in flight for what mine is for, or lets mine begin.
func (f *flights) join(mine *flight) (one *flight, does role) {
	mine.hash = mine.of.hash()
	f.mu.Lock()
	defer f.mu.Unlock()
	if mine.of.job {
		others := mine.of
		others.job = false
		if one = f.under[others.hash()]; one != nil && one.of == others {
			one.join()
			return one, waits
		}
	}
	switch one = f.under[mine.hash]; {
	case one != nil && one.of == mine.of:
		one.join()
		return one, waits
	case one != nil:
		return nil, goesAlone
	}
	if f.under == nil {
		f.under = map[uint64]*flight{}
	}
	mine.gaveUp = true // as seen where the call panics
	f.under[mine.hash] = mine
	return mine, makesIt
}

func (one *flight) join() {
	one.others++
	if one.done == nil {
		one.done = make(chan struct{})
	}
}

func (f *flights) fly(ctx context.Context, s *Session, c *pageCall) (page *Page, err error) {
	one := &c.flight
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.under, one.hash)
		if one.page != nil && one.others > 0 {
			one.page.shared = true
			one.leases = one.page.lease.Share(one.others)
			page = &Page{contents: one.page.contents} // it may be released before the others look at theirs
		}
		if one.done != nil {
			close(one.done)
		}
	}()
	one.page, one.err = c.make(ctx, s)
	if one.err == nil {
		one.gaveUp = false
		return one.page, nil
	}
	one.gaveUp = ctx.Err() != nil
	if e, ok := errors.AsType[*Error](one.err); ok && (e.hasty || e.Kind == Overloaded) {
		one.gaveUp, one.again = true, time.Now().Add(e.wait)
	}
	return one.page, one.err
}

// flightKey is what a call is of.
func (s *Session) flightKey(ctx context.Context, r *request, p *Prepared) flightKey {
	return flightKey{connection: s.connection, incarnation: s.incarnation, user: s.principal.User, table: p.table.Name,
		op: r.op, origin: r.origin, path: r.path, query: r.query, link: r.link, prefer: r.prefer, form: p.form,
		job: Background(ctx)}
}

var flightSeed = maphash.MakeSeed()

// hash tells most calls apart; which are the same the whole key says.
func (k *flightKey) hash() uint64 {
	const odd = 0x9E3779B97F4A7C15
	sum := binary.LittleEndian.Uint64(k.form[:])
	for _, text := range [...]string{k.connection, k.incarnation, k.user, k.query, k.link} {
		sum = bits.RotateLeft64(sum, 29)*odd + maphash.String(flightSeed, text)
	}
	if k.job {
		sum++
	}
	return sum
}
