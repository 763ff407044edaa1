package throttle_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/throttle"
)

const day = 24 * time.Hour

var (
	refusedForADay = dynamics.Answer{Limit: dynamics.LimitRequests, RetryAfter: day}
	answered       = dynamics.Answer{Answered: true}
)

// begun is one call that a test decides about.
type begun struct {
	process int
	leave   func(dynamics.Answer)
}

// callers keep calls of several processes waiting and hand on those that begin.
func callers(t *testing.T, fleet []*throttle.Throttle) <-chan begun {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	calls := make(chan begun)
	var l load
	for p, limits := range fleet {
		for range 3 {
			l.work.Go(func() {
				for ctx.Err() == nil {
					leave, err := limits.Enter(ctx, ada, "acme")
					if err != nil {
						continue
					}
					select {
					case calls <- begun{p, leave}:
					case <-ctx.Done():
						leave(dynamics.Answer{})
					}
				}
			})
		}
	}
	t.Cleanup(func() { cancel(); l.work.Wait() })
	return calls
}

// none fails where a call begins within some time.
func none(t *testing.T, calls <-chan begun, most time.Duration, when string) {
	t.Helper()
	select {
	case c := <-calls:
		t.Errorf("%s: a call of process %d began", when, c.process)
		c.leave(dynamics.Answer{})
	case <-time.After(most):
	}
}

// next waits for a call that begins.
func next(t *testing.T, calls <-chan begun, when string) begun {
	t.Helper()
	select {
	case c := <-calls:
		return c
	case <-time.After(15 * time.Second):
		t.Fatalf("%s: no call began", when)
		return begun{}
	}
}

// blockedFleet is three processes of which one was told to wait for a day; a day is a
// second for them.
func blockedFleet(t *testing.T) ([]*throttle.Throttle, <-chan begun) {
	t.Helper()
	addr, _ := startRedis(t)
	fleet := make([]*throttle.Throttle, 3)
	for p := range fleet {
		fleet[p] = process(t, addr, throttle.Config{LongestBlock: time.Second, MaxBlock: time.Minute})
	}
	enter(t, fleet[0])(refusedForADay)
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer client.Close()
	within(t, 5*time.Second, "the block is in Redis", func() bool { return blockKey(t, client) != "" })
	return fleet, callers(t, fleet)
}

// blockKey is the key of the one user that there is, "" before it holds a block.
func blockKey(t *testing.T, client *redis.Client) string {
	t.Helper()
	keys := client.Keys(t.Context(), "crmbridge:throttle:{*").Val()
	if len(keys) != 1 || !client.HExists(t.Context(), keys[0], "u").Val() {
		return ""
	}
	return keys[0]
}

// After the longest block one call is made, and its outcome decides: a refusal blocks
// anew, an answer lets the others go, and whoever is cut short decides nothing.
func TestOneProbeDecides(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it waits for blocks to end")
	}
	t.Parallel()
	_, calls := blockedFleet(t)
	for _, round := range []struct {
		what   string
		answer dynamics.Answer
	}{
		{"refused for a day again", refusedForADay},
		{"refused for a moment", dynamics.Answer{Limit: dynamics.LimitTime, RetryAfter: time.Millisecond}},
		{"cancelled", dynamics.Answer{}},
	} {
		probe := next(t, calls, "before it was "+round.what)
		none(t, calls, 700*time.Millisecond, "while the probe is in flight")
		probe.leave(round.answer)
	}
	probe := next(t, calls, "after one was cancelled")
	probe.leave(answered)
	var held []begun
	for range 4 {
		held = append(held, next(t, calls, "after one was answered"))
	}
	for _, c := range held {
		c.leave(answered)
	}
}

// A refused probe keeps everybody out for the whole of the block.
func TestARefusedProbeBlocksAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it waits for blocks to end")
	}
	t.Parallel()
	_, calls := blockedFleet(t)
	next(t, calls, "after the block").leave(refusedForADay)
	none(t, calls, 400*time.Millisecond, "after the probe was refused")
	next(t, calls, "after the second block").leave(answered)
}

// The right of a process that dies with its probe in flight passes on.
func TestTheProbeOfTheDead(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("skipped by -short: a dead process is given up after seconds")
	}
	fleet, calls := blockedFleet(t)
	probe := next(t, calls, "after the block")
	fleet[probe.process].Close() // its call never ends, as if it had died with it
	for {
		if c := next(t, calls, "after the process died"); c.process != probe.process {
			c.leave(answered)
			return
		}
	}
}

// blockedFor is how long a call would be told to wait, 0 where it may begin. Its deadline
// lies before the end of any block here, the lease of a probe too.
func blockedFor(t *testing.T, limits *throttle.Throttle) (time.Duration, dynamics.Limit, func(dynamics.Answer)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	leave, err := limits.Enter(ctx, ada, "acme")
	if err == nil {
		return 0, 0, leave
	}
	e, ok := errors.AsType[*dynamics.Error](err)
	if !ok || e.Kind != dynamics.Throttled {
		t.Fatalf("%v", err)
	}
	return e.RetryAfter, e.Limit, nil
}

// No process says a time that is further ahead than the longest block.
func TestNobodyWaitsForADay(t *testing.T) {
	addr, _ := startRedis(t)
	first, second := process(t, addr, throttle.Config{}), process(t, addr, throttle.Config{})
	enter(t, first)(refusedForADay)
	within(t, 5*time.Second, "the other process knows", func() bool {
		_, _, leave := blockedFor(t, second)
		if leave != nil {
			leave(answered)
		}
		return leave == nil
	})
	for _, limits := range []*throttle.Throttle{first, second} {
		wait, limit, _ := blockedFor(t, limits)
		if wait > dynamics.MaxRetryAfter || wait < dynamics.MaxRetryAfter*9/10 || limit != dynamics.LimitRequests {
			t.Errorf("wait %s for %s", wait, limit)
		}
	}
}

// Who connects again gets one call through, in every process, and no more.
func TestConnectingAgainBringsTheProbeForward(t *testing.T) {
	addr, _ := startRedis(t)
	first, second := process(t, addr, throttle.Config{}), process(t, addr, throttle.Config{})
	first.ProbeSoon(t.Context(), ada) // nothing is blocked
	enter(t, first)(refusedForADay)
	within(t, 5*time.Second, "the other process is kept out", func() bool {
		_, _, leave := blockedFor(t, second)
		if leave != nil {
			leave(answered)
		}
		return leave == nil
	})
	for _, answer := range []dynamics.Answer{refusedForADay, answered} {
		first.ProbeSoon(t.Context(), ada)
		var probe func(dynamics.Answer)
		within(t, 10*time.Second, "a call is let through", func() bool {
			_, _, probe = blockedFor(t, second)
			return probe != nil
		})
		first.ProbeSoon(t.Context(), ada) // again, meanwhile: there is one already
		if wait, _, leave := blockedFor(t, first); leave != nil || wait > 10*time.Second {
			t.Errorf("beside the probe: wait %s", wait)
		}
		probe(answer)
		if answer == refusedForADay {
			within(t, 10*time.Second, "it is blocked again", func() bool {
				wait, _, _ := blockedFor(t, first)
				return wait > time.Minute
			})
		}
	}
	enter(t, first)(answered)
	enter(t, second)(answered)
}

// A time in Redis that lies too far ahead is brought down once and for all, and does
// not move with each look at it.
func TestABlockInRedisIsBounded(t *testing.T) {
	addr, _ := startRedis(t)
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer client.Close()
	enter(t, process(t, addr, throttle.Config{}))(dynamics.Answer{Limit: dynamics.LimitTime, RetryAfter: time.Minute})
	key := ""
	within(t, 5*time.Second, "the block is in Redis", func() bool { key = blockKey(t, client); return key != "" })
	now, err := client.Time(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	if err := client.HSet(t.Context(), key, "u", now.Add(day).UnixMilli()).Err(); err != nil {
		t.Fatal(err)
	}
	var seen atomic.Int64
	for range 3 {
		wait, _, _ := blockedFor(t, process(t, addr, throttle.Config{}))
		if wait > dynamics.MaxRetryAfter || wait < time.Minute {
			t.Errorf("wait %s", wait)
		}
		u, err := client.HGet(t.Context(), key, "u").Int64()
		if old := seen.Swap(u); err != nil || old != 0 && old != u ||
			u > now.Add(dynamics.MaxRetryAfter+time.Minute).UnixMilli() {
			t.Errorf("u is %d after %d, %v", u, old, err)
		}
	}
}
