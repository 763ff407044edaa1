package budget_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestWhoWaitsThroughAPartWorksOnNothing: what an account holds is not waited for
// while a part of it waits for room, or the other way round.
func TestWhoWaitsThroughAPartWorksOnNothing(t *testing.T) {
	for _, test := range []struct {
		name    string
		reserve int64
		first   int64 // that each takes to begin with, in a part where swapped
		swapped bool
	}{
		{"a part waits", 30, 8, false},
		{"a part waits without a reserve", 0, 12, false},
		{"a part holds", 30, 8, true},
		{"a part holds, without a reserve", 0, 12, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBudget(t, 100, test.reserve, 0)
				var work sync.WaitGroup
				ended := make([]bool, 8)
				for i := range ended {
					a := open(t, b, 0)
					holds, wants := a, a.Part()
					if test.swapped {
						holds, wants = wants, holds
					}
					if err := holds.Grow(t.Context(), test.first); err != nil {
						t.Fatal(err)
					}
					work.Go(func() {
						defer a.Close()
						time.Sleep(time.Second)
						l := wants.Lease()
						ended[i] = l.Start(t.Context(), 5) == nil && l.Grow(t.Context(), 20) == nil
						time.Sleep(time.Second)
					})
				}
				work.Wait()
				if use := b.Usage(); use.Used != 0 || use.Accounts != 0 || use.Waiting != 0 {
					t.Errorf("left behind: %+v", use)
				}
				if !ended[0] {
					t.Errorf("the oldest was refused: %v", ended)
				}
			})
		})
	}
}

// TestAnAccountIsAloneWithItsParts: they are one request, which may have more than the
// bound.
func TestAnAccountIsAloneWithItsParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(t, 100, 10, 10)
		a := open(t, b, 5)
		part := a.Part()
		if err := part.Grow(t.Context(), 60); err != nil {
			t.Fatal(err)
		}
		if err := a.Grow(t.Context(), 500); err != nil {
			t.Fatal(err)
		}
		if err := part.Grow(t.Context(), 500); err != nil {
			t.Fatal(err)
		}
		a.Close()
		if use := b.Usage(); use.Used != 0 || use.Accounts != 0 {
			t.Errorf("left behind: %+v", use)
		}
	})
}
