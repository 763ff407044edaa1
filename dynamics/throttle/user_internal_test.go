package throttle

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
)

var grace = dynamics.Principal{Environment: "https://org.crm4.dynamics.com", Organization: "org", User: "grace"}

// lone is a user without a keeper and without Redis: what is asked and granted is the
// test's, and so is the time.
func lone(t *testing.T) *user {
	t.Helper()
	limits := &Throttle{config: Config{Concurrency: 8, MaxBlock: 10 * time.Second, LongestBlock: 10 * time.Minute,
		MaxWaiting: 4},
		name: "process", users: map[dynamics.Principal]*user{}, away: awayLog{log: slog.New(slog.DiscardHandler)},
		ctx: t.Context()}
	u := newUser(limits, grace)
	limits.users[grace] = u
	return u
}

func (u *user) grant(slots int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.granted(lease{slots: slots}, time.Now())
	u.dispatch(time.Now())
}

// enters is enter of a call with a deadline, 0 for none.
func (u *user) enters(deadline time.Duration) (slot, *waiter, error) {
	ctx := context.Background()
	if deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, deadline)
		defer cancel()
	}
	return u.enter(ctx, "acme")
}

func refusal(limit dynamics.Limit, wait time.Duration) dynamics.Answer {
	return dynamics.Answer{Limit: limit, RetryAfter: wait}
}

// Slots from before a block are not used after it, though their lease would still count:
// A lease is used for less than Redis keeps it, and not longer.
func TestALeaseIsNotUsedBeyondItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := lone(t)
		u.grant(4)
		time.Sleep(leaseLife - leaseMargin - 1)
		if s, _, _ := u.enters(0); s != oneOfMany {
			t.Error("a slot was not used while the lease counted")
		}
		time.Sleep(time.Nanosecond)
		if s, w, _ := u.enters(0); s != noSlot || w == nil {
			t.Error("a slot was used after the end of the lease")
		}
	})
}

// Whoever waits comes before whoever comes now, also where a slot is free at this moment.
func TestWaitersComeBeforeNewcomers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := lone(t)
		_, first, err := u.enters(0)
		if first == nil {
			t.Fatal(err)
		}
		u.granted(lease{slots: 1}, time.Now()) // it is not handed out yet
		s, second, err := u.enters(0)
		if s != noSlot || second == nil {
			t.Fatalf("a newcomer took slot %d (%v)", s, err)
		}
		u.dispatch(time.Now())
		if len(first.decided) != 1 || len(second.decided) != 0 {
			t.Error("the slot is not the first waiter's")
		}
	})
}

// The longest of several blocks counts, whoever tells of the others, and it is what the
// An answer of Redis to a question from before a refusal says nothing about the block;
// What a refusal says becomes a block: a time of its own where it says none, never more
// Whoever cannot begin in time is refused at once, whether he comes during the block or
// A probe that is answered ends the block for all; one that is cut short decides
// Without Redis slots come back by the ramp, too, up to the process's share of the fleet;
// a lease counts to its end.
func TestTheRampWithoutRedis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := lone(t)
		u.t.away.seen(errors.New("away"))
		alone := func(want int, when string) {
			t.Helper()
			u.alone(time.Now())
			if u.leased != want {
				t.Errorf("%s: %d slots, want %d", when, u.leased, want)
			}
		}
		u.grant(7)
		alone(7, "while the lease counts")
		time.Sleep(leaseLife - leaseMargin)
		alone(1, "where the size of the fleet is not known")
		u.t.fleet.seen(2)
		alone(rampFirst, "before the leases of the others have ended")
		time.Sleep(leaseMargin)
		alone(4, "half of the slots")
		u.applyRemoteBlock(news{wait: time.Second})
		alone(0, "during a block")
		time.Sleep(time.Second)
		for _, want := range []int{1, 2, 4, 4} {
			alone(want, "after the block")
			time.Sleep(rampStep)
		}
		time.Sleep(time.Hour)
		alone(4, "long after it")
	})
}

// A process asks for what is in flight and waits and one more for a while, and never
// for more than the fleet has.
func TestWhatAProcessAsksFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := lone(t)
		asks := func(want ask, when string) {
			t.Helper()
			if got := u.wants(time.Now()); got != want {
				t.Errorf("%s: %+v, want %+v", when, got, want)
			}
		}
		asks(ask{}, "at first")
		_, _, _ = u.enters(0)
		asks(ask{wanted: 1, demand: 1, need: needProbe}, "one waits")
		u.grant(1)
		asks(ask{wanted: 2, demand: 1, inUse: 1}, "one is in flight")
		u.grant(8)
		asks(ask{wanted: 8, demand: 1, inUse: 1}, "slots are held")
		u.leave(oneOfMany, false, dynamics.Answer{})
		asks(ask{wanted: 8}, "just after the last call")
		time.Sleep(linger + 1)
		asks(ask{}, "a while after it")
		u.inUse = 8
		for range 4 {
			_, _, _ = u.enters(0)
		}
		asks(ask{wanted: 8, demand: 8, inUse: 8, need: needProbe}, "more wait than there are slots")
		u.probing = true
		asks(ask{wanted: 8, demand: 8, inUse: 8, need: needProbing}, "a probe is in flight")
	})
}

// Nobody forgets a user of whom there is something to do or to know.
func TestWhenAUserIsForgotten(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(*user)
		idle bool
	}{
		"nothing to do":      {func(*user) {}, true},
		"a call in flight":   {func(u *user) { u.inUse = 1 }, false},
		"a call waits":       {func(u *user) { u.waiting.Push("acme", &waiter{}) }, false},
		"blocked":            {func(u *user) { u.blocked = time.Now().Add(time.Second) }, false},
		"used a moment ago":  {func(u *user) { u.used = time.Now().Add(-linger) }, false},
		"something to tell":  {func(u *user) { u.report.passed = true }, false},
		"a block to tell of": {func(u *user) { u.report.until = time.Now() }, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			u := lone(t)
			time.Sleep(linger + 1)
			c.do(u)
			if u.idle(time.Now()) != c.idle || u.t.forget(u) != c.idle {
				t.Errorf("%s: forgotten: %v", name, !c.idle)
			}
		})
	}
}

// A slot that comes in the moment in which the caller goes away is given back; a call
// is counted once, however often it says that it ended; who is gone does not begin.
func TestNoSlotIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := lone(t)
		u.t.users[grace] = u
		gone, end := context.WithCancel(t.Context())
		end()
		u.grant(1)
		if _, err := u.t.Enter(gone, grace, "acme"); !errors.Is(err, context.Canceled) || u.inUse != 0 {
			t.Errorf("who was gone: %v, %d in flight", err, u.inUse)
		}
		for range 64 {
			u.grant(0)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				if leave, err := u.t.Enter(ctx, grace, "acme"); err == nil {
					leave(dynamics.Answer{})
					leave(dynamics.Answer{})
				}
			}()
			synctest.Wait()
			u.mu.Lock()
			cancel() // the caller goes, and cannot withdraw before the slot is there
			u.granted(lease{slots: 1}, time.Now())
			u.dispatch(time.Now())
			u.mu.Unlock()
			<-done
			if u.inUse != 0 || u.waiting.Len() != 0 {
				t.Fatalf("%d in flight and %d waiting when nobody is there", u.inUse, u.waiting.Len())
			}
		}
	})
}

// The largest size of the fleet that was seen counts for a minute.
func TestTheSizeOfTheFleetShrinksSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fleet
		if _, known := f.share(8); known {
			t.Error("the size is known from the beginning")
		}
		f.seen(4)
		time.Sleep(fleetMemory)
		f.seen(1)
		if share, known := f.share(8); share != 2 || !known {
			t.Errorf("a share of %d within a minute", share)
		}
		time.Sleep(time.Nanosecond)
		f.seen(2)
		if share, _ := f.share(8); share != 4 {
			t.Errorf("a share of %d after it", share)
		}
		f.seen(3)
		if share, _ := f.share(8); share != 2 {
			t.Errorf("a share of %d when there are more", share)
		}
	})
}

// Redis is not asked while a few slots are held for the next call, and for no longer.
func TestWhenNothingIsAsked(t *testing.T) {
	for name, c := range map[string]struct {
		do    func(*user)
		rests bool
	}{
		"just after a call":           {func(*user) {}, true},
		"a call in flight":            {func(u *user) { u.inUse = 1 }, false},
		"a call waits":                {func(u *user) { u.waiting.Push("acme", &waiter{}) }, false},
		"no slots":                    {func(u *user) { u.leased = 0 }, false},
		"its own share":               {func(u *user) { u.shared = false }, false},
		"the answer is old":           {func(u *user) { u.leaseEnd = u.leaseEnd.Add(-linger) }, false},
		"blocks are not heard of":     {func(u *user) { u.t.hears.Store(false) }, false},
		"slots of jobs":               {func(u *user) { u.jobs.leased = 1 }, false},
		"a job right now":             {func(u *user) { u.jobs.used = time.Now() }, false},
		"blocked":                     {func(u *user) { u.blocked = time.Now().Add(time.Second) }, false},
		"a probe is due":              {func(u *user) { u.mustProbe = true }, false},
		"something to tell":           {func(u *user) { u.report.soon = true }, false},
		"half of the slots":           {func(u *user) { u.leased = 4 }, true},
		"more":                        {func(u *user) { u.leased = 5 }, false},
		"its share of half of them":   {func(u *user) { u.t.fleet.size, u.leased = 2, 2 }, true},
		"more than its share":         {func(u *user) { u.t.fleet.size, u.leased = 2, 3 }, false},
		"very few in a large fleet":   {func(u *user) { u.t.fleet.size, u.among = 40, 2 }, true},
		"more, with those of others":  {func(u *user) { u.t.fleet.size, u.among = 40, 3 }, false},
		"a fleet that is not known":   {func(u *user) { u.t.fleet.size, u.leased = 0, 3 }, false},
		"few slots after a block":     {func(u *user) { u.leased, u.all = 2, 2 }, false},
		"one of two":                  {func(u *user) { u.all = 2 }, true},
		"the only slot that there is": {func(u *user) { u.all = 1 }, false},
		"long after the call, to end": {func(u *user) { u.used = u.used.Add(-linger) }, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			u := lone(t)
			u.t.hears.Store(true)
			u.t.fleet.seen(1)
			u.granted(lease{slots: 1, fleet: 1, all: 8}, time.Now())
			c.do(u)
			wait, rests := u.rests(time.Now())
			if rests != c.rests || rests && wait != linger+time.Millisecond {
				t.Errorf("%s: %v for %s", name, rests, wait)
			}
		})
	}
}

// Who rests asks as soon as blocks are not heard of any more.
func TestNobodyRestsWhoDoesNotHear(t *testing.T) {
	u := lone(t)
	u.t.deaf() // it did not hear before, so nobody rests
	if len(u.kick) != 0 {
		t.Error("a subscription that never stood has slots asked for")
	}
	u.t.hears.Store(true)
	u.t.deaf()
	if len(u.kick) != 1 || u.t.hears.Load() {
		t.Error("a subscription that broke is not told to who rests")
	}
}

// However many processes hold slots for their next calls and however few slots there are, those
// that rest leave some to the others: here each that comes rests with as many as it may.
func TestWhoRestsLeavesSlotsToOthers(t *testing.T) {
	for all := range 50 {
		for _, fleet := range []int{1, 2, 3, 5, 8, 20, 60} {
			rest := 0
			for nth := 1; nth <= fleet; nth++ {
				most := 0
				for leased := 1; leased <= all-rest; leased++ {
					u := lone(t)
					u.t.hears.Store(true)
					u.t.fleet.seen(fleet)
					u.granted(lease{slots: leased, fleet: nth, all: all}, time.Now())
					if _, rests := u.rests(time.Now()); rests {
						most = leased
					}
				}
				rest += most
			}
			if left := all - rest; all > 0 && left < max(1, all/8) {
				t.Errorf("%d of %d slots are with those that rest in a fleet of %d", rest, all, fleet)
			}
		}
	}
}
