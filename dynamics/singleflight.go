package dynamics

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/budget"
)

// flights lets calls for the same page that come while one is under way share its
// answer. Nothing is kept once it is there: an audience must not be stale.
type flights struct {
	mu    sync.Mutex
	under map[flightKey]*flight
}

// A flightKey says what is asked for, and whether a job asks: nobody waits for a call that
// gives way, so that a job's is shared by jobs alone, which share any.
type flightKey struct {
	of  [sha256.Size]byte
	job bool
}

// A flight is one call. Who began it makes it, in its own time; the others wait.
type flight struct {
	done   chan struct{}
	page   *Page
	err    error
	others int
	leases []*budget.Lease // of the page, one for each of the others
	gaveUp bool            // the one who made it ended before it did, or had too little time
	again  time.Time       // not before then the environment wants to be asked again
}

// page returns what read returns, for everybody who asks by this key meanwhile. What
// came about because the one who made the call had little time says nothing to the
// others: one of them makes it again, when the environment wants to be asked again.
// While the circuit is broken nobody waits for a call that hangs: each asks to be let
// through.
func (f *flights) page(ctx context.Context, op string, key flightKey, circuit *breaker,
	read func() (*Page, error)) (*Page, error) {
	for {
		if circuit.broken() {
			return read()
		}
		one, mine := f.join(key)
		if mine {
			return f.fly(ctx, key, one, read)
		}
		if err := one.wait(ctx, op, circuit); err != nil {
			f.part(one).Close()
			return nil, err
		}
		if !one.gaveUp {
			return f.given(ctx, one)
		}
		if wait := time.Until(one.again); wait > 0 {
			if !fits(ctx, wait) {
				return nil, one.err // it would come to the same
			}
			if ended := sleep(ctx, op, wait); ended != nil {
				return nil, ended
			}
		}
	}
}

// given is what one of the others gets of a flight that ended with a verdict.
func (f *flights) given(ctx context.Context, one *flight) (*Page, error) {
	if one.page == nil {
		return nil, one.err
	}
	page := *one.page
	page.lease = f.part(one)
	page.lease.Join(budget.From(ctx))
	return &page, nil
}

// wait returns when the call is over. Who waits for it counts as a call that hangs.
func (one *flight) wait(ctx context.Context, op string, circuit *breaker) error {
	hanging := circuit.watch()
	defer hanging.end()
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

func (f *flights) join(key flightKey) (one *flight, mine bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if one = f.under[flightKey{of: key.of}]; one == nil {
		one = f.under[key]
	}
	if one != nil {
		one.others++
		return one, false
	}
	if f.under == nil {
		f.under = map[flightKey]*flight{}
	}
	one = &flight{done: make(chan struct{}), gaveUp: true} // as seen where read panics
	f.under[key] = one
	return one, true
}

func (f *flights) fly(ctx context.Context, key flightKey, one *flight, read func() (*Page, error)) (page *Page,
	err error) {
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.under, key)
		if one.page != nil && one.others > 0 {
			one.page.shared = true
			one.leases = one.page.lease.Share(one.others)
			own := *one.page // who made it may release it before the others look at it
			page = &own
		}
		close(one.done)
	}()
	one.page, one.err = read()
	one.gaveUp = one.err != nil && ctx.Err() != nil
	if e, ok := errors.AsType[*Error](one.err); ok && (e.hasty || e.Kind == Overloaded) {
		one.gaveUp, one.again = true, time.Now().Add(e.wait)
	}
	return one.page, one.err
}

// flightKey is what makes two calls for a page the same: whose they are, what is
// sent, and the form in which rows are delivered.
func (s *Session) flightKey(ctx context.Context, r request, p *Prepared) flightKey {
	var space [1 << 10]byte
	key := append(space[:0], p.form[:]...)
	key = appendTexts(key, p.table.Name, s.connection, s.incarnation, s.principal.User, r.op, r.url(), r.prefer)
	return flightKey{sha256.Sum256(key), Background(ctx)}
}
