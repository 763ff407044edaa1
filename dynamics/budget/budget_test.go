package budget_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/budget"
)

func newBudget(t *testing.T, bytes, reserve, intake int64) *budget.Budget {
	t.Helper()
	b, err := budget.New(budget.Bounds{Bytes: bytes, Reserve: reserve, Intake: intake})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func open(t *testing.T, b *budget.Budget, n int64) *budget.Account {
	t.Helper()
	a, err := b.Open(n)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestManyAccountsKeepToTheBound: whatever accounts do, they stay below the bound, and
// each of them ends, though all hold parts and want more.
func TestManyAccountsKeepToTheBound(t *testing.T) {
	for seed := range uint64(25) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 7))
				bytes := 1000 + random.Int64N(4000)
				intake := random.Int64N(bytes / 3)
				most := (bytes - intake - 300) / (1 + random.Int64N(6)) // of one account, beside what 100 come with
				b := newBudget(t, bytes, random.Int64N(bytes/3), intake)
				var work sync.WaitGroup
				for i := range 100 {
					seed, wait := random.Uint64(), time.Duration(random.Int64N(2000))*time.Millisecond
					work.Go(func() {
						time.Sleep(wait)
						live(t, b, rand.New(rand.NewPCG(seed, uint64(i))), most)
					})
				}
				work.Wait()
				if use := b.Usage(); use.Used != 0 || use.Accounts != 0 || use.Waiting != 0 {
					t.Errorf("left behind: %+v", use)
				}
			})
		})
	}
}

// live is the life of one request, begun anew where it had to make way.
func live(t *testing.T, b *budget.Budget, random *rand.Rand, most int64) {
	a, err := b.Open(1 + random.Int64N(3))
	for err != nil {
		time.Sleep(time.Second)
		a, err = b.Open(1 + random.Int64N(3))
	}
	defer a.Close()
	for tries := 1; ; tries++ {
		err := work(t, b, a, random, most)
		if err == nil {
			return
		}
		if errors.Is(err, budget.ErrFull) { // it holds nothing but what it was opened with
			return
		}
		if !errors.Is(err, budget.ErrTaken) || tries > 1000 {
			t.Errorf("after %d tries: %v", tries, err)
			return
		}
		time.Sleep(time.Duration(random.Int64N(100)) * time.Millisecond)
	}
}

func work(t *testing.T, b *budget.Budget, a *budget.Account, random *rand.Rand, most int64) error {
	if random.IntN(2) == 0 { // what it holds stays, what it begins is a part's
		if err := a.Grow(t.Context(), 1+random.Int64N(2)); err != nil {
			return err
		}
		a = a.Part()
		defer a.Close()
	}
	l := a.Lease()
	defer l.Close()
	if err := l.Start(t.Context(), 1+random.Int64N(10)); err != nil {
		return err
	}
	for held := int64(0); ; {
		n := 1 + random.Int64N(max(most/5, 1))
		if held += n; held > most {
			return nil
		}
		if err := l.Grow(t.Context(), n); err != nil {
			return err
		}
		if use := b.Usage(); use.Used > use.Bytes && use.Accounts > 1 {
			t.Errorf("%d of %d bytes", use.Used, use.Bytes)
		}
		switch random.IntN(8) {
		case 0, 1:
			n := random.Int64N(held + 1)
			l.Shrink(n)
			held -= n
		case 2: // one more call for the same request
			further := a.Lease()
			defer further.Close()
			n := 1 + random.Int64N(10)
			if err := further.Start(t.Context(), n); err != nil {
				return err
			}
			most -= n
		}
		time.Sleep(time.Duration(random.Int64N(50)) * time.Millisecond)
	}
}

// TestTheOldestIsServedFirst: room goes to accounts in the order in which they came,
// and nobody overtakes one who waits, by asking for less.
func TestTheOldestIsServedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(t, 100, 0, 0)
		holder := open(t, b, 90)
		var mu sync.Mutex
		var order []int
		var work sync.WaitGroup
		for i, n := range []int64{80, 50, 60, 45} {
			a := open(t, b, 0)
			work.Go(func() {
				defer a.Close()
				time.Sleep(time.Duration(5-i) * time.Second) // the younger asks first
				if err := a.Grow(t.Context(), n+10); err != nil {
					t.Error(err)
				}
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				time.Sleep(time.Second)
			})
		}
		time.Sleep(time.Minute)
		holder.Close()
		work.Wait()
		if !slices.Equal(order, []int{0, 1, 2, 3}) {
			t.Errorf("served in the order %v", order)
		}
	})
}

// TestAllHoldAPartAndWantMore: the reserve lets one end after the other.
func TestAllHoldAPartAndWantMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(t, 100, 20, 0)
		var work sync.WaitGroup
		var accounts []*budget.Account
		for range 8 {
			accounts = append(accounts, open(t, b, 10))
		}
		for _, a := range accounts {
			work.Go(func() {
				defer a.Close()
				if err := a.Grow(t.Context(), 20); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Second)
			})
		}
		work.Wait()
		if use := b.Usage(); use.Used != 0 || use.Refused != 0 {
			t.Errorf("%+v", use)
		}
	})
}

// TestAnOlderOneIsMadeWayFor: where the reserve is too small, who came last gives up.
func TestAnOlderOneIsMadeWayFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(t, 100, 10, 0)
		faults := make([]error, 3)
		var work sync.WaitGroup
		for i := range faults {
			a := open(t, b, 0)
			work.Go(func() {
				defer a.Close()
				l := a.Lease()
				if err := l.Grow(t.Context(), 30); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Second)
				faults[i] = l.Grow(t.Context(), 40)
				time.Sleep(time.Second)
			})
		}
		work.Wait()
		if faults[0] != nil || faults[1] != nil || !errors.Is(faults[2], budget.ErrTaken) {
			t.Errorf("%v", faults)
		}
	})
}

// TestOneAloneMayHaveMoreThanAll: a request that is larger than the budget runs when
// nobody else holds anything.
func TestOneAloneMayHaveMoreThanAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(t, 100, 10, 10)
		a := open(t, b, 500)
		if err := a.Grow(t.Context(), 1000); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Open(11); !errors.Is(err, budget.ErrFull) {
			t.Errorf("another beside it: %v", err)
		}
		a.Close()
		open(t, b, 50).Close()
	})
}

// TestWaitingEndsBeforeTheDeadline: an answer must still be possible.
func TestWaitingEndsBeforeTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(t, 100, 0, 0)
		defer open(t, b, 90).Close()
		a := open(t, b, 0)
		defer a.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		err := a.Grow(ctx, 20)
		full, ok := errors.AsType[*budget.Error](err)
		if !ok || full.Cause != budget.ErrFull || full.After <= 0 || ctx.Err() != nil {
			t.Errorf("%v, context %v", err, ctx.Err())
		}
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := a.Grow(ctx, 20); !errors.Is(err, context.Canceled) {
			t.Errorf("after a cancelled wait: %v", err)
		}
		if use := b.Usage(); use.Used != 90 || use.Waiting != 0 || use.Waits != 2 {
			t.Errorf("%+v", use)
		}
	})
}

// TestSharedBytesCountOnce, and until the last one has given them back.
func TestSharedBytesCountOnce(t *testing.T) {
	b := newBudget(t, 100, 0, 0)
	first, second, third := open(t, b, 0), open(t, b, 0), open(t, b, 0)
	l := first.Lease()
	if err := l.Grow(t.Context(), 60); err != nil {
		t.Fatal(err)
	}
	others := l.Share(3)
	others[0].Join(second)
	others[1].Join(third)
	used := func(want int64) {
		t.Helper()
		if use := b.Usage(); use.Used != want {
			t.Errorf("%d bytes are used, want %d", use.Used, want)
		}
	}
	used(60)
	first.Close()
	others[0].Close()
	others[2].Close() // of one who went before it came
	second.Close()
	used(60)
	third.Close()
	used(0)
	others[1].Close()
	used(0)
}

// TestNothingIsBoundWithoutABudget: tools use the same code.
func TestNothingIsBoundWithoutABudget(t *testing.T) {
	var b *budget.Budget
	a, err := b.Open(1 << 40)
	if err != nil || a != nil {
		t.Fatal(a, err)
	}
	l := budget.From(budget.With(t.Context(), a)).Lease()
	if err := errors.Join(a.Grow(t.Context(), 1<<40), l.Start(t.Context(), 1), l.Grow(t.Context(), 1)); err != nil {
		t.Error(err)
	}
	for _, other := range l.Share(1) {
		other.Join(a)
		other.Close()
	}
	l.Shrink(1)
	l.Close()
	a.Shrink(1)
	a.Close()
}
