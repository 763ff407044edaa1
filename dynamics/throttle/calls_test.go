package throttle_test

import (
	"context"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/throttle"
)

func usage(t *testing.T, limits *throttle.Throttle) dynamics.Usage {
	t.Helper()
	used, err := limits.Usage(t.Context(), ada)
	if err != nil {
		t.Fatal(err)
	}
	return used
}

// administrator may look at what the throttle keeps.
func administrator(t *testing.T, addr string) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

const callsOfAda = "crmbridge:throttle:calls:{org/ada/}"

// Each process says what it has done and what it does; a third one that has nothing to do
// with the user knows it all.
func TestUsageIsTheFleets(t *testing.T) {
	t.Parallel()
	addr, _ := startRedis(t)
	one, two := process(t, addr, throttle.Config{Concurrency: 8}), process(t, addr, throttle.Config{Concurrency: 8})
	third := process(t, addr, throttle.Config{Concurrency: 8})
	if got := usage(t, third); got != (dynamics.Usage{Limit: 8}) {
		t.Errorf("before the first call: %+v", got)
	}
	for range 3 {
		leave := enter(t, one)
		leave(dynamics.Answer{Answered: true, Sent: true})
		leave(dynamics.Answer{Answered: true, Sent: true}) // said again
	}
	enter(t, one)(dynamics.Answer{}) // it was not sent
	for range 2 {
		enter(t, two)(dynamics.Answer{Sent: true})
	}
	first, second := enter(t, one), enter(t, two)
	for name, limits := range map[string]*throttle.Throttle{"one": one, "two": two, "third": third} {
		within(t, 10*time.Second, name+" knows the fleet's calls", func() bool {
			got := usage(t, limits)
			return got.InFlight == 2 && got.CallsToday == 5 && got.Limit == 8 && got.Queued == 0 && got.Blocked == 0
		})
	}
	if calls, left, ok := one.Today(ada); !ok || left <= 0 || left > 24*time.Hour || calls < 4 {
		t.Errorf("%d calls, %s left, %v", calls, left, ok)
	}
	first(dynamics.Answer{Sent: true, Limit: dynamics.LimitTime, RetryAfter: time.Minute})
	second(dynamics.Answer{Sent: true, Answered: true})
	within(t, 10*time.Second, "the block", func() bool {
		got := usage(t, third)
		return got.InFlight == 0 && got.CallsToday == 7 && got.BlockedBy == dynamics.LimitTime &&
			got.Blocked > 50*time.Second && got.Blocked <= time.Minute && got.Limit == 8
	})
	ttl, err := administrator(t, addr).PTTL(t.Context(), callsOfAda).Result()
	if err != nil || ttl <= 0 || ttl > 25*time.Hour {
		t.Errorf("the calls of a day are kept for %s (%v)", ttl, err)
	}
}

// A call that waits is counted where it waits.
func TestUsageCountsWhoWaitsHere(t *testing.T) {
	t.Parallel()
	addr, _ := startRedis(t)
	limits := process(t, addr, throttle.Config{Concurrency: 1})
	leave := enter(t, limits)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if leave, err := limits.Enter(ctx, ada, "acme"); err == nil {
			leave(dynamics.Answer{})
		}
	}()
	within(t, 10*time.Second, "a call waits", func() bool { return usage(t, limits).Queued == 1 })
	cancel()
	<-ended
	leave(dynamics.Answer{})
}

// With the day its calls end.
func TestADaysCallsEndWithIt(t *testing.T) {
	t.Parallel()
	addr, _ := startRedis(t)
	limits, admin := process(t, addr, throttle.Config{}), administrator(t, addr)
	enter(t, limits)(dynamics.Answer{Sent: true})
	within(t, 10*time.Second, "the call is counted", func() bool {
		return admin.HGet(t.Context(), callsOfAda, "calls").Val() == "1"
	})
	yesterday := time.Now().Unix()/86400 - 1
	if err := admin.HSet(t.Context(), callsOfAda, "day", yesterday, "calls", 900).Err(); err != nil {
		t.Fatal(err)
	}
	if got := usage(t, limits); got.CallsToday != 0 {
		t.Errorf("%d calls of yesterday count", got.CallsToday)
	}
	enter(t, limits)(dynamics.Answer{Sent: true})
	within(t, 10*time.Second, "a new day", func() bool { return usage(t, limits).CallsToday == 1 })
}

// What Redis cannot be told is told when it is back, also of a user for whom nothing was
// called since.
func TestCallsAreKeptWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	m := miniredis.RunT(t)
	limits := process(t, m.Addr(), throttle.Config{})
	enter(t, limits)(dynamics.Answer{Sent: true})
	within(t, 10*time.Second, "one call", func() bool { return usage(t, limits).CallsToday == 1 })
	m.SetError("LOADING")
	for range 4 {
		enter(t, limits)(dynamics.Answer{Sent: true})
	}
	if _, err := limits.Usage(t.Context(), ada); err == nil {
		t.Error("figures of the fleet are told without Redis")
	}
	within(t, 20*time.Second, "the user is forgotten", func() bool { _, _, known := limits.Today(ada); return !known })
	m.SetError("")
	within(t, 20*time.Second, "five calls", func() bool {
		return m.HGet(callsOfAda, "calls") == "5" && usage(t, limits).CallsToday == 5
	})
}
