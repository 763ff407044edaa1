package throttle

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
)

// they come back by the ramp, from Redis.
func TestSlotsFromBeforeABlockAreNotUsedAfterIt(t *testing.T) {
	for name, block := range map[string]func(*user){
		"refused here": func(u *user) {
			s, _, _ := u.enters(0)
			u.leave(s, false, refusal(dynamics.LimitRequests, time.Second))
		},
		"heard of": func(u *user) { u.applyRemoteBlock(news{wait: time.Second, limit: dynamics.LimitRequests}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u := lone(t)
				u.grant(4)
				block(u)
				_, during, err := u.enters(0)
				if err != nil || during == nil {
					t.Fatalf("a call during the block did not wait: %v", err)
				}
				time.Sleep(time.Second + time.Millisecond)
				u.dispatch(time.Now())
				if len(during.decided) != 0 {
					t.Error("a call after the block began with a slot from before it")
				}
				u.grant(1)
				if len(during.decided) != 1 {
					t.Error("a slot that came after the block is not the waiter's")
				}
			})
		})
	}
}

// others are told. The end of a block ends it.
func TestTheLongestBlockCounts(t *testing.T) {
	for name, c := range map[string]struct {
		then func(*user)
		want time.Duration
	}{
		"a shorter refusal": {func(u *user) {
			u.leave(oneOfMany, false,
				refusal(dynamics.LimitTime, time.Second))
		}, 5 * time.Second},
		"a longer refusal": {func(u *user) {
			u.leave(oneOfMany, false,
				refusal(dynamics.LimitTime, 8*time.Second))
		}, 8 * time.Second},
		"heard of a shorter one":      {func(u *user) { u.applyRemoteBlock(news{wait: time.Second}) }, 5 * time.Second},
		"heard of a longer one":       {func(u *user) { u.applyRemoteBlock(news{wait: 8 * time.Second}) }, 8 * time.Second},
		"heard of its end":            {func(u *user) { u.applyRemoteBlock(news{}) }, 0},
		"Redis knows a shorter one":   {func(u *user) { u.granted(lease{blocked: time.Second}, time.Now()) }, 5 * time.Second},
		"Redis knows a longer one":    {func(u *user) { u.granted(lease{blocked: 8 * time.Second}, time.Now()) }, 8 * time.Second},
		"Redis does not know it yet":  {func(u *user) { u.granted(lease{slots: 4}, time.Now()) }, 5 * time.Second},
		"Redis knows that it is over": {func(u *user) { u.report = report{}; u.granted(lease{slots: 4}, time.Now()) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u := lone(t)
				u.grant(4)
				u.inUse = 2
				u.leave(oneOfMany, false, refusal(dynamics.LimitRequests, 5*time.Second))
				time.Sleep(time.Nanosecond) // what follows was learnt later
				begun := time.Now().Add(-time.Nanosecond)
				c.then(u)
				if got := max(u.blocked.Sub(begun).Truncate(time.Millisecond), 0); got != c.want {
					t.Errorf("blocked for %s, want %s", got, c.want)
				}
				if told := u.report.until.Sub(begun).Truncate(time.Millisecond); name == "a shorter refusal" &&
					(told != 5*time.Second || u.report.limit != dynamics.LimitRequests) {
					t.Errorf("the others are told of %s, for limit %d", told, u.report.limit)
				}
			})
		})
	}
}

// nor does one that does not know yet that a probe is to be made.
func TestAnAnswerThatIsOlderThanABlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := lone(t)
		asked := time.Now()
		time.Sleep(time.Millisecond)
		u.inUse = 1
		u.leave(oneOfMany, false, refusal(dynamics.LimitRequests, 5*time.Second))
		u.report = report{} // it was told meanwhile
		u.granted(lease{slots: 4}, asked)
		if u.leased != 0 || !u.blocked.After(time.Now()) {
			t.Errorf("%d slots, blocked until %s", u.leased, u.blocked)
		}
		if !u.probeSoon() || u.probeSoon() {
			t.Error("a block is brought to its end once")
		}
		time.Sleep(time.Millisecond)
		u.granted(lease{slots: 4}, time.Now())
		if u.leased != 0 || !u.mustProbe {
			t.Errorf("%d slots before Redis knows that a probe is due", u.leased)
		}
	})
}

// than the longest, which ends with a probe.
func TestWhatARefusalMeans(t *testing.T) {
	for name, c := range map[string]struct {
		answer        dynamics.Answer
		want          time.Duration
		probe, reduce bool
	}{
		"no time":               {refusal(dynamics.LimitRequests, 0), defaultBlock, false, false},
		"a time before now":     {refusal(dynamics.LimitTime, -time.Second), defaultBlock, false, false},
		"too many at once":      {refusal(dynamics.LimitConcurrency, time.Second), time.Second, false, true},
		"less than the longest": {refusal(dynamics.LimitTime, 10*time.Minute-1), 10*time.Minute - 1, false, false},
		"the longest":           {refusal(dynamics.LimitTime, 10*time.Minute), 10 * time.Minute, true, false},
		"a day":                 {refusal(dynamics.LimitTime, 24*time.Hour), 10 * time.Minute, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u := lone(t)
				u.inUse = 1
				var refused []dynamics.Limit
				u.t.config.Refused = func(l dynamics.Limit) { refused = append(refused, l) }
				u.leave(oneOfMany, false, c.answer)
				if got := time.Until(u.blocked); got != c.want {
					t.Errorf("blocked for %s, want %s", got, c.want)
				}
				want := report{until: u.blocked, limit: c.answer.Limit, probe: c.probe, reduce: c.reduce}
				if u.report != want || u.mustProbe != c.probe || u.inUse != 0 || len(refused) != 1 {
					t.Errorf("the others hear %+v, want %+v; a probe must be made: %v", u.report, want, u.mustProbe)
				}
			})
		})
	}
}

// waits when it begins.
func TestWhoNeedNotWaitForTheEndOfABlock(t *testing.T) {
	for name, c := range map[string]struct {
		block, deadline time.Duration
		waits           bool
	}{
		"no deadline":               {10 * time.Second, 0, true},
		"longer than anybody waits": {10*time.Second + 1, 0, false},
		"a deadline behind the end": {5 * time.Second, 5*time.Second + 1, true},
		"a deadline at the end":     {5 * time.Second, 5 * time.Second, false},
		"a deadline before the end": {5 * time.Second, time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u := lone(t)
				_, before, _ := u.enters(c.deadline)
				u.applyRemoteBlock(news{wait: c.block, limit: dynamics.LimitTime})
				check := func(when string, err error) {
					fault, ok := errors.AsType[*dynamics.Error](err)
					if c.waits && err != nil || !c.waits &&
						(!ok || fault.Kind != dynamics.Throttled || fault.RetryAfter != c.block || fault.Limit != dynamics.LimitTime) {
						t.Errorf("%s: %v, waits: %v", when, err, c.waits)
					}
				}
				var err error
				select {
				case d := <-before.decided:
					err = d.err
				default:
				}
				check("who waited already", err)
				_, _, err = u.enters(c.deadline)
				check("who came during the block", err)
			})
		})
	}
}

// nothing, and others may try; none begins beside it.
func TestWhatAProbeDecides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := lone(t)
		u.granted(lease{probe: true, mayProbe: true}, time.Now())
		time.Sleep(time.Nanosecond)
		s, _, err := u.enters(0)
		if s != theProbe || err != nil {
			t.Fatalf("slot %d, %v", s, err)
		}
		u.granted(lease{slots: 0, probe: true, mayProbe: true}, time.Now())
		if s, _, _ := u.enters(0); s != noSlot {
			t.Errorf("slot %d beside a probe", s)
		}
		u.leave(theProbe, false, dynamics.Answer{})
		if !u.mustProbe || u.report.passed || u.probing {
			t.Errorf("cut short: a probe must be made %v, passed %v, in flight %v", u.mustProbe, u.report.passed, u.probing)
		}
		u.granted(lease{probe: true, mayProbe: true}, time.Now())
		u.dispatch(time.Now())
		if !u.probing {
			t.Fatal("whoever waited does not try")
		}
		u.leave(theProbe, false, dynamics.Answer{Answered: true})
		if u.mustProbe || !u.report.passed || u.probing {
			t.Errorf("answered: a probe must be made %v, passed %v, in flight %v", u.mustProbe, u.report.passed, u.probing)
		}
	})
}
