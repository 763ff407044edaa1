package tokens

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// living is a token of an active connection with a life and so much left of it.
func living(id string, life, left time.Duration) record {
	end := time.Now().Add(left)
	return record{Connection: Connection{ID: id, Incarnation: "i", Version: 1, Status: StatusActive,
		AccessTokenExpiresAt: end, RefreshedAt: end.Add(-life)}}
}

// What a token's life means for its renewal, at the hour that Entra gives and at others.
func TestTimesOfATokensLife(t *testing.T) {
	for _, c := range []struct{ life, urgent, early time.Duration }{
		{time.Hour, 30 * time.Second, 5 * time.Minute},
		{90 * time.Minute, 30 * time.Second, 5 * time.Minute}, // Entra's longest without CAE
		{28 * time.Hour, 30 * time.Second, 5 * time.Minute},   // and with it
		{20 * time.Minute, 30 * time.Second, 5 * time.Minute},
		{4 * time.Minute, 24 * time.Second, time.Minute},
		{10 * time.Second, time.Second, 2500 * time.Millisecond},
		{-time.Second, 0, 0}, // of a clock that was set
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &Source{name: "p", renewal: Renewal{}.withDefaults()}
			r := living("acme", c.life, c.life)
			if got := urgent(r); got != c.urgent {
				t.Errorf("of %s, a token with %s left is not sent without waiting, want %s", c.life, got, c.urgent)
			}
			if got := renewBefore(&r); got != c.early {
				t.Errorf("of %s, in use: renewed %s before the end, want %s", c.life, got, c.early)
			}
			if got := s.margin(r, c.early+1); got != c.early {
				t.Errorf("of %s, more left than the margin: %s, want %s", c.life, got, c.early)
			}
		})
	}
}

// A connection in use is due before any process renews because of a request, and is
// still due when its turn comes: in steady state no request begins a refresh. Processes
// do not begin all together either.
func TestBackgroundRenewalComesBeforeRequests(t *testing.T) {
	const life, early = time.Hour, 5 * time.Minute
	synctest.Test(t, func(t *testing.T) {
		margins, dues := map[time.Duration]bool{}, map[time.Time]bool{}
		for i := range 200 {
			s := &Source{name: fmt.Sprint("process", i), renewal: Renewal{}.withDefaults()}
			r := living(fmt.Sprint("acme", i%7), life, life)
			margin := s.margin(r, early)
			if margin > early || margin <= early*3/4 {
				t.Errorf("a request renews %s before the end, want at most %s and more than %s", margin, early, early*3/4)
			}
			margins[margin] = true
			if s.margin(r, early) != margin || s.margin(r, time.Minute) != margin {
				t.Error("the margin is not the same for every request of a process")
			}
			due := s.dueInUse(r)
			if before := r.AccessTokenExpiresAt.Sub(due); before < early || before > early*5/4 {
				t.Errorf("due %s before the end, want %s to %s", before, early, early*5/4)
			}
			dues[due] = true
			if !s.isDue(living("acme", life, r.AccessTokenExpiresAt.Sub(due)), true) {
				t.Errorf("not due when it comes from the work list")
			}
		}
		if len(margins) < 50 || len(dues) < 50 {
			t.Errorf("%d margins and %d due times of 200: processes begin together", len(margins), len(dues))
		}
		s := &Source{renewal: Renewal{}.withDefaults()}
		if !s.isDue(living("acme", life, early*5/4), true) || s.isDue(living("acme", life, early*5/4+time.Second), true) {
			t.Errorf("in use, it must be due at %s before the end and not earlier", early*5/4)
		}
	})
}

// A connection that nobody uses is renewed when three quarters of 7 days are over, and
// before 7 days are.
func TestRenewalAtRest(t *testing.T) {
	const day = 24 * time.Hour
	synctest.Test(t, func(t *testing.T) {
		s := &Source{renewal: Renewal{}.withDefaults()}
		for range 200 {
			r := living("acme", time.Hour, time.Hour)
			if in := s.dueAtRest(r).Sub(r.RefreshedAt); in < 7*day*3/4 || in > 7*day {
				t.Fatalf("due after %s", in)
			}
		}
		aged := func(age time.Duration) record { return living("acme", time.Hour, time.Hour-age) }
		if s.isDue(aged(7*day*3/4-time.Second), false) || !s.isDue(aged(7*day*3/4), false) {
			t.Error("unused, it must be due after three quarters of 7 days and not before")
		}
	})
}
