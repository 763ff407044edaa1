package budget_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/budget"
)

// growing is a call that waits for room, in a goroutine of its own.
type growing struct {
	err  error
	over bool
}

func begin(grow func() error) *growing {
	g := &growing{}
	go func() { g.err = grow(); g.over = true }()
	return g
}

func (g *growing) waits(t *testing.T, who string) {
	t.Helper()
	if synctest.Wait(); g.over {
		t.Errorf("%s does not wait: %v", who, g.err)
	}
}

func (g *growing) has(t *testing.T, who string) {
	t.Helper()
	if synctest.Wait(); !g.over || g.err != nil {
		t.Errorf("%s has no room: over %t, %v", who, g.over, g.err)
	}
}

func grow(t *testing.T, l interface {
	Grow(context.Context, int64) error
}, n int64) {
	t.Helper()
	if err := l.Grow(t.Context(), n); err != nil {
		t.Fatal(err)
	}
}

func used(t *testing.T, b *budget.Budget, want int64) {
	t.Helper()
	if use := b.Usage(); use.Used != want {
		t.Errorf("%d bytes are used, want %d", use.Used, want)
	}
}

// The intake lets requests in while the rest is full, up to its last byte, and what
// they came with comes back.
func TestTheIntakeIsForOpening(t *testing.T) {
	b := newBudget(t, 100, 10, 10)
	a := open(t, b, 4)
	grow(t, a, 200) // it is alone
	second := open(t, b, 6)
	if _, err := b.Open(1); !errors.Is(err, budget.ErrFull) {
		t.Errorf("beyond the intake: %v", err)
	}
	second.Close()
	open(t, b, 6).Close()
	a.Close()
	used(t, b, 0)
}

// The reserve is lent to one account at a time, no more than there is, until it has
// closed or given it back.
func TestTheReserveIsLentToOne(t *testing.T) {
	for name, end := range map[string]func(*budget.Account){
		"closed":     (*budget.Account).Close,
		"given back": func(a *budget.Account) { a.Shrink(10) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBudget(t, 100, 40, 0)
				idle := open(t, b, 0)
				grow(t, idle, 60)
				proceed := idle.Pause()
				first, second := open(t, b, 0), open(t, b, 0)
				grow(t, first, 10)
				waiting := begin(func() error { return second.Grow(t.Context(), 20) })
				waiting.waits(t, "the second")
				end(first)
				waiting.has(t, "the second")
				used(t, b, 80)
				proceed()
				first.Close()
				second.Close()
				idle.Close()
				used(t, b, 0)
			})
		})
	}
}

// What is lent is what the room lacks: the rest of the reserve stays for the same one.
func TestALoanIsWhatTheRoomLacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(t, 100, 40, 0)
		idle := open(t, b, 0)
		defer idle.Close()
		grow(t, idle, 50)
		defer idle.Pause()()
		one := open(t, b, 0)
		defer one.Close()
		begin(func() error { return one.Grow(t.Context(), 30) }).has(t, "10 from the room and 20 from the reserve:")
		proceed := one.Pause()
		begin(func() error { return one.Grow(t.Context(), 20) }).has(t, "the rest of the reserve:")
		proceed()
		used(t, b, 100)
	})
}

// Who has had to make way begins again when nobody else works.
func TestWhoMadeWayBeginsAgainLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(t, 100, 10, 0)
		first, second := open(t, b, 0), open(t, b, 0)
		defer second.Close()
		grow(t, first, 30)
		l := second.Lease()
		grow(t, l, 40)
		begin(func() error { return first.Grow(t.Context(), 60) })
		if err := l.Grow(t.Context(), 40); !errors.Is(err, budget.ErrTaken) {
			t.Fatal(err)
		}
		l.Close()
		synctest.Wait()
		used(t, b, 90)
		first.Shrink(60)
		again := begin(func() error { return second.Lease().Start(t.Context(), 20) })
		again.waits(t, "who made way")
		first.Close()
		again.has(t, "who made way")
	})
}

// Half of the room is for what has been begun.
func TestWhatBeginsLeavesRoomForWhatHasBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(t, 100, 0, 0)
		first, second := open(t, b, 0), open(t, b, 0)
		defer second.Close()
		grow(t, first, 45)
		begin(func() error { return second.Lease().Start(t.Context(), 5) }).has(t, "half of the room:")
		next := begin(func() error { return second.Lease().Start(t.Context(), 1) })
		next.waits(t, "what begins")
		begin(func() error { return first.Grow(t.Context(), 40) }).has(t, "what has begun")
		first.Close()
		next.has(t, "what begins")
	})
}

// Who leaves the queue, pauses, or closes lets the others have what room there is.
func TestEveryEndWakesWhoWaits(t *testing.T) {
	for name, end := range map[string]func(first, second *budget.Account, l *budget.Lease, leave func()){
		"the first in the queue leaves": func(_, _ *budget.Account, _ *budget.Lease, leave func()) { leave() },
		"a lease is closed":             func(_, _ *budget.Account, l *budget.Lease, _ func()) { l.Close() },
		"a lease shrinks":               func(_, _ *budget.Account, l *budget.Lease, _ func()) { l.Shrink(40) },
		"an account is closed":          func(first, _ *budget.Account, _ *budget.Lease, _ func()) { first.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBudget(t, 100, 0, 0)
				first, second, third := open(t, b, 0), open(t, b, 0), open(t, b, 0)
				l := first.Lease()
				grow(t, l, 60)
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				large := begin(func() error { return second.Grow(ctx, 50) })
				large.waits(t, "the first in the queue")
				small := begin(func() error { return third.Grow(t.Context(), 30) })
				small.waits(t, "who stands behind it")
				end(first, second, l, leave)
				small.has(t, "who stood behind it")
				for _, a := range []*budget.Account{first, second, third} {
					a.Close()
				}
				used(t, b, 0)
			})
		})
	}
}

// Nobody waits for what is held by somebody who waits for another.
func TestAPauseIsNoWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(t, 100, 40, 0)
		other := open(t, b, 0)
		defer other.Close()
		grow(t, other, 60)
		one := open(t, b, 0)
		defer one.Close()
		waiting := begin(func() error { return one.Grow(t.Context(), 30) })
		waiting.waits(t, "somebody")
		defer other.Pause()()
		waiting.has(t, "somebody")
	})
}

// Nothing is taken, and nothing given back, by what is over.
func TestWhatIsClosedHoldsNothing(t *testing.T) {
	b := newBudget(t, 100, 0, 0)
	a := open(t, b, 10)
	part := a.Part()
	grow(t, part, 20)
	l := a.Lease()
	grow(t, l, 5)
	shared := l.Share(1)
	used(t, b, 35)
	a.Close()
	used(t, b, 5) // somebody else's yet
	for _, closed := range []interface {
		Grow(context.Context, int64) error
	}{a, part, l, a.Part()} {
		grow(t, closed, 7)
	}
	used(t, b, 5)
	shared[0].Join(a)
	used(t, b, 0)
	other := open(t, b, 0)
	grow(t, other, 10)
	other.Shrink(50)
	used(t, b, 0)
	other.Close()
	used(t, b, 0)
}

// An older request that begins something more is not kept out for good by a younger
// one that has begun and finds no room either.
func TestAnOlderOneThatBeginsIsMadeWayFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(t, 100, 10, 0)
		older, younger := open(t, b, 0), open(t, b, 0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		grow(t, older.Lease(), 40)
		l := younger.Lease()
		grow(t, l, 40)
		more := begin(func() error {
			err := l.Grow(ctx, 50)
			younger.Close()
			return err
		})
		more.waits(t, "the younger")
		begun := time.Now()
		if err := older.Lease().Start(ctx, 50); err != nil || time.Since(begun) > 0 {
			t.Errorf("the older one: %v after %s", err, time.Since(begun))
		}
		if synctest.Wait(); !errors.Is(more.err, budget.ErrTaken) {
			t.Errorf("the younger one: %v", more.err)
		}
		older.Close()
		used(t, b, 0)
	})
}
