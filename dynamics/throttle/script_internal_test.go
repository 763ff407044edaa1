package throttle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/dynamics"
)

// shared is a Redis whose clock is the test's.
type shared struct {
	*testing.T
	m   *miniredis.Miniredis
	rdb *redis.Client
	now time.Time
	key string
}

func newShared(t *testing.T) *shared {
	s := &shared{T: t, m: miniredis.RunT(t), now: time.Now().Truncate(time.Second), key: keyOf(grace)}
	s.rdb = redis.NewClient(&redis.Options{Addr: s.m.Addr(), MaxRetries: -1,
		// A machine that stalls must not make Redis look away: no time-out of the context.
		DialTimeout: time.Minute, ReadTimeout: time.Minute, PoolTimeout: time.Minute})
	t.Cleanup(func() { _ = s.rdb.Close() })
	s.m.SetTime(s.now)
	return s
}

func (s *shared) wait(d time.Duration) {
	s.now = s.now.Add(d)
	s.m.SetTime(s.now)
}

// process is one of the fleet, without goroutines.
func (s *shared) process(name string, slots int) *Throttle {
	return &Throttle{config: Config{Redis: s.rdb, Concurrency: slots, MaxBlock: time.Minute,
		LongestBlock: 10 * time.Minute, MaxWaiting: 4},
		name: name, users: map[dynamics.Principal]*user{}, away: awayLog{log: slog.New(slog.DiscardHandler)},
		ctx: s.Context()}
}

// try does again what a machine that stands still has cut off; the clock stands, so that
// it means the same.
func (s *shared) try(do func() error) {
	s.Helper()
	var err error
	for range 20 {
		if err = do(); err == nil {
			return
		}
	}
	s.Fatal(err)
}

// beat is a heartbeat that arrives.
func (s *shared) beat(p *Throttle) {
	s.Helper()
	s.try(func() error {
		if p.beatOnce(); p.away.away {
			return errors.New("the heartbeat did not arrive")
		}
		return nil
	})
}

// ask asks for slots.
func (s *shared) ask(p *Throttle, a ask) lease {
	s.Helper()
	var got lease
	s.try(func() (err error) { got, err = p.lease(s.Context(), s.key, p.name, a); return err })
	return got
}

// slots is how many a process gets that has nothing in flight.
func (s *shared) slots(p *Throttle, wanted, want int, when string) {
	s.Helper()
	if got := s.ask(p, ask{wanted: wanted}); got.slots != want {
		s.Errorf("%s: %d slots of %d wanted, want %d", when, got.slots, wanted, want)
	}
}

func (s *shared) block(p *Throttle, wait time.Duration, r report) {
	s.Helper()
	s.try(func() error { return p.publish(s.Context(), s.key, p.name, wait, r) })
}

// The longest block counts for the fleet, no call begins before its end, and then slots
// come back by doubling.
func TestABlockAndTheRampBehindIt(t *testing.T) {
	s := newShared(t)
	one, two := s.process("one", 8), s.process("two", 8)
	s.slots(one, 8, 8, "before")
	s.block(one, 10*time.Second, report{limit: dynamics.LimitTime})
	s.block(two, time.Second, report{limit: dynamics.LimitRequests})
	if got := s.ask(two, ask{wanted: 8}); got.blocked != 10*time.Second || got.slots != 0 || got.probe {
		t.Errorf("a shorter block after a longer one: %+v", got)
	}
	s.wait(10*time.Second - time.Millisecond)
	if got := s.ask(one, ask{wanted: 8}); got.blocked != time.Millisecond || got.slots != 0 {
		t.Errorf("just before the end: %+v", got)
	}
	_ = s.ask(two, ask{}) // it wants nothing any more
	s.wait(time.Millisecond)
	if got := s.ask(two, ask{}); got.all != 2 || got.fleet == 0 {
		t.Errorf("after the block: %+v, want two slots for all", got)
	}
	for _, want := range []int{2, 4, 8, 8} {
		s.slots(one, 8, want, "after the block")
		s.wait(rampStep)
	}
	// Nothing is kept of a user for longer than it counts.
	if left := s.m.TTL(s.key); left != leaseLife+time.Minute {
		t.Errorf("kept for %s", left)
	}
	s.block(one, 24*time.Hour, report{probe: true})
	if got := s.ask(one, ask{}); got.blocked != 10*time.Minute || !got.probe {
		t.Errorf("a block of a day: %+v", got)
	}
	if left := s.m.TTL(s.key); left != 24*time.Hour {
		t.Errorf("that a probe is due is kept for %s", left)
	}
}

// Refusals for too many at once that come together take a quarter of the slots once; it
// grows back by one each 5 s.
func TestSlotsAfterTooManyAtOnce(t *testing.T) {
	s := newShared(t)
	one := s.process("one", 40)
	refused := func(want int, when string) {
		t.Helper()
		s.block(one, time.Millisecond, report{limit: dynamics.LimitConcurrency, reduce: true})
		s.wait(4 * time.Second) // the ramp is over, and nothing has grown back yet
		s.slots(one, 40, want, when)
	}
	s.block(one, time.Millisecond, report{limit: dynamics.LimitConcurrency, reduce: true})
	s.wait(time.Second)
	s.block(one, time.Millisecond, report{limit: dynamics.LimitConcurrency, reduce: true})
	s.wait(4*time.Second - time.Millisecond)
	s.slots(one, 40, 30, "refused twice within a second")
	s.wait(time.Millisecond)
	s.slots(one, 40, 31, "5 s after the first")
	refused(23, "refused again")
	s.wait(16*5*time.Second - 4*time.Second - time.Millisecond)
	s.slots(one, 40, 38, "just before 80 s")
	s.wait(10 * time.Second)
	s.slots(one, 40, 40, "grown back")
	for range 12 {
		s.wait(2 * time.Second)
		s.block(one, time.Millisecond, report{reduce: true})
	}
	s.wait(4 * time.Second)
	s.slots(one, 40, 2, "refused all the time")
}

// One process at a time has the right to probe: with its lease, and with a call that waits.
func TestTheRightToProbe(t *testing.T) {
	s := newShared(t)
	one, two, three := s.process("one", 8), s.process("two", 8), s.process("three", 8)
	may := func(p *Throttle, a ask, want bool, when string) {
		t.Helper()
		if got := s.ask(p, a); got.mayProbe != want || !got.probe || got.slots != 0 {
			t.Errorf("%s: %+v, may probe: want %v", when, got, want)
		}
	}
	waits, probes := ask{wanted: 1, need: needProbe}, ask{wanted: 1, inUse: 1, need: needProbing}
	s.block(one, time.Second, report{probe: true})
	may(one, waits, false, "during the block")
	s.wait(time.Second)
	may(three, probes, false, "one that probes without the right")
	may(two, ask{wanted: 1}, false, "nothing to probe with")
	may(two, waits, true, "the first that asks")
	may(one, waits, false, "the next")
	if got := s.ask(one, waits); got.blocked != leaseLife {
		t.Errorf("who waits for the probe asks again after %s, want %s", got.blocked, leaseLife)
	}
	s.try(func() error { return one.passed(t.Context(), s.key, one.name) })
	may(one, waits, false, "after who has no right said that it passed")
	s.wait(leaseLife - time.Millisecond)
	may(two, probes, true, "in flight for as long as it is renewed")
	s.wait(leaseLife - time.Millisecond)
	may(one, waits, false, "just before it ends")
	s.wait(time.Millisecond)
	may(one, waits, true, "when the lease of the right has ended")
	may(one, ask{wanted: 1}, false, "given back")
	may(three, waits, true, "the next after it was given back")
	s.block(three, time.Second, report{probe: true})
	s.wait(time.Second)
	may(one, waits, true, "after another's probe was refused")
	s.try(func() error { return one.passed(t.Context(), s.key, one.name) })
	if got := s.ask(two, waits); got.probe || got.blocked != 0 {
		t.Errorf("after the probe was answered: %+v", got)
	}
}

// Where processes want more than there is, each has its share, and the rest of the
// division goes to as many as it is slots. Who wants less leaves it to the others.
func TestSharesOfTheSlots(t *testing.T) {
	s := newShared(t)
	one, two, three := s.process("one", 8), s.process("two", 8), s.process("three", 8)
	s.slots(one, 8, 8, "alone")
	if got := s.ask(two, ask{wanted: 8}); got.slots != 0 || got.fleet != 2 {
		t.Errorf("none is free yet: %+v", got)
	}
	s.slots(one, 8, 4, "it gives half of them up")
	s.slots(two, 8, 4, "the other half")
	s.slots(three, 8, 0, "a third one")
	s.slots(one, 8, 3, "a share and one of the rest")
	s.slots(two, 8, 3, "a share and the other one")
	s.slots(three, 8, 2, "a share")
	s.slots(two, 1, 1, "who wants less")
	s.slots(three, 8, 3, "a share and one of the rest, which is larger now")
	s.slots(one, 3, 3, "as many as it wants")
	s.slots(three, 8, 4, "nobody else wants them")
	if got := s.ask(one, ask{wanted: 0, inUse: 2}); got.slots != 0 {
		t.Errorf("it wants none: %+v", got)
	}
	s.slots(three, 8, 5, "what is in flight goes on counting")
	s.wait(leaseLife)
	s.slots(three, 8, 8, "the others are dead")
}

// With fewer slots than processes they take turns: who had one for a turn gives it up, who
// waited longest gets it, and who does not ask any more is not waited for.
func TestTurns(t *testing.T) {
	s := newShared(t)
	one, two, three := s.process("one", 1), s.process("two", 1), s.process("three", 1)
	s.slots(one, 1, 1, "the first")
	s.wait(time.Millisecond)
	s.slots(two, 1, 0, "the second")
	s.wait(time.Millisecond)
	s.slots(three, 1, 0, "the third")
	s.wait(turn - 3*time.Millisecond)
	s.slots(one, 1, 1, "within its turn")
	s.wait(time.Millisecond)
	s.slots(one, 1, 0, "after its turn")
	s.slots(three, 1, 0, "who waited less")
	s.slots(two, 1, 1, "who waited longest")
	s.slots(one, 1, 0, "it waits again")
	s.wait(attentive - time.Millisecond)
	s.slots(one, 1, 0, "two has it")
	s.wait(time.Millisecond)
	s.slots(two, 1, 0, "after its turn, one waits")
	s.slots(one, 1, 1, "three does not ask any more")
	s.wait(attentive)
	s.slots(one, 1, 1, "nobody asks any more")
}

// The heartbeats tell how many there are, who is believed to be on its own, and who dead;
// what the silent may use is left to them.
func TestHeartbeats(t *testing.T) {
	s := newShared(t)
	one, two := s.process("one", 8), s.process("two", 8)
	fleet := func(size, silent, slots int, when string) {
		t.Helper()
		s.beat(one)
		if one.fleet.size != size || one.fleet.silent != silent || one.slots() != slots {
			t.Errorf("%s: %d processes, %d silent, %d slots for the others; want %d, %d, %d",
				when, one.fleet.size, one.fleet.silent, one.slots(), size, silent, slots)
		}
	}
	s.beat(two)
	fleet(2, 0, 8, "both are there")
	s.wait(silentAfter)
	fleet(2, 0, 8, "not silent yet")
	s.wait(time.Millisecond)
	fleet(2, 1, 4, "one is silent")
	s.wait(fleetForgets - silentAfter)
	one.fleet.size = 0 // a minute has passed
	fleet(1, 0, 8, "and dead")
	s.beat(two)
	fleet(2, 0, 8, "it is back")
	two.leaveFleet()
	one.fleet.size = 0
	fleet(1, 0, 8, "it left")
}

// When a process asks again: what is in flight goes on counting in Redis during a block,
// too, whose end it may not hear of; who waits asks often; without Redis it tries again.
func TestWhenAProcessAsksAgain(t *testing.T) {
	for name, c := range map[string]struct {
		inUse, waiting int
		block          time.Duration
		away           bool
		least, most    time.Duration
	}{
		"at rest":                       {0, 0, 0, false, renewEvery, renewEvery},
		"calls in flight":               {8, 0, 0, false, renewEvery, renewEvery},
		"calls wait":                    {8, 1, 0, false, starveEvery / 2, starveEvery * 3 / 2},
		"blocked":                       {0, 0, time.Minute, false, blockedEvery, blockedEvery},
		"blocked, with calls in flight": {2, 0, time.Minute, false, time.Second, (leaseLife - leaseMargin) / 2},
		"blocked, with calls that wait": {0, 2, time.Minute, false, blockedEvery, blockedEvery},
		"blocked for a moment":          {2, 2, 100 * time.Millisecond, false, 0, 100 * time.Millisecond},
		"without Redis":                 {1, 1, 0, true, time.Millisecond, redisPause},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShared(t)
			s.m.SetTime(time.Now())
			u := newUser(s.process("one", 8), grace)
			if c.away {
				s.m.Close()
			}
			u.inUse = c.inUse
			for range c.waiting {
				u.waiting.Push("acme", &waiter{decided: make(chan decision, 1)})
			}
			if c.block > 0 {
				s.block(u.t, c.block, report{limit: dynamics.LimitTime})
			}
			got := u.ask()
			for range 20 {
				if !c.away && u.t.away.away { // the machine stood still
					got = u.ask()
				}
			}
			if got < c.least-50*time.Millisecond && c.block > 0 || c.block == 0 && got < c.least || got > c.most {
				t.Errorf("it asks again after %s, want %s to %s", got, c.least, c.most)
			}
		})
	}
}

// refusing is a Redis that is away for a while.
type refusing struct{ off bool }

func (r *refusing) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}
func (r *refusing) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if r.off {
			cmd.SetErr(errors.New("away"))
			return cmd.Err()
		}
		return next(ctx, cmd)
	}
}
func (r *refusing) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// What the others are to hear is told when Redis is back, and once.
func TestWhatCouldNotBeToldIsKept(t *testing.T) {
	s := newShared(t)
	s.m.SetTime(time.Now())
	link := &refusing{off: true}
	s.rdb.AddHook(link)
	u := newUser(s.process("one", 8), grace)
	until := time.Now().Add(time.Minute)
	all := report{until: until, limit: dynamics.LimitTime, reduce: true, probe: true, passed: true}
	u.report = all
	u.publishBlock()
	if u.report != all {
		t.Errorf("kept %+v of %+v", u.report, all)
	}
	link.off = false
	s.try(func() error {
		if u.publishBlock(); u.report != (report{}) {
			return fmt.Errorf("still to tell: %+v", u.report)
		}
		return nil
	})
	if got := s.ask(u.t, ask{wanted: 1}); got.blocked < 50*time.Second || got.limit != dynamics.LimitTime || !got.probe {
		t.Errorf("Redis holds %+v", got)
	}
}

// Who ends gives back what it holds; its calls in flight go on counting for a while.
func TestGivingBackLeavesWhatIsInFlight(t *testing.T) {
	s := newShared(t)
	one, two := s.process("one", 8), s.process("two", 8)
	u := newUser(one, grace)
	s.try(func() error { _, err := one.lease(t.Context(), s.key, u.name, ask{wanted: 8}); return err })
	s.slots(two, 1, 0, "it has them all")
	u.inUse = 3
	waits := &waiter{decided: make(chan decision, 1)}
	u.waiting.Push("acme", waits)
	u.giveBack()
	if d := <-waits.decided; !errors.Is(d.err, dynamics.ErrClosed) {
		t.Errorf("who still waited: %v", d.err)
	}
	s.slots(two, 8, 5, "after it gave back")
	s.wait(leaseLife)
	s.slots(two, 8, 8, "when its calls must have ended")
}
