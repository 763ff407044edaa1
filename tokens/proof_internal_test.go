package tokens

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
)

// answered stands for a Redis that does what a test says, so that its time can be the test's.
type answered func(ctx context.Context, cmd redis.Cmder) error

func (a answered) DialHook(next redis.DialHook) redis.DialHook {
	return func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed }
}
func (a answered) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { return a(ctx, cmd) }
}
func (a answered) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func answeredBy(t *testing.T, a answered) redis.UniversalClient {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	rdb.AddHook(a)
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// A refresher that lives keeps its lease however long the refresh takes: it never goes
// half of the lease without extending it. It gives the lock back in the end.
func TestALeaseIsExtended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lease = 9 * time.Second
		var mu sync.Mutex
		var kept time.Time
		var longest time.Duration
		var last []any
		calls := 0
		rdb := answeredBy(t, func(_ context.Context, cmd redis.Cmder) error {
			mu.Lock()
			defer mu.Unlock()
			if calls++; calls > 1 {
				longest = max(longest, time.Since(kept))
			}
			kept, last = time.Now(), cmd.Args()
			switch c := cmd.(type) {
			case *redis.BoolCmd:
				c.SetVal(true)
			case *redis.Cmd:
				c.SetVal(int64(1))
			}
			return nil
		})
		seen := func() ([]any, int) {
			mu.Lock()
			defer mu.Unlock()
			return last, calls
		}
		release, err := newLocks(rdb, lease).hold(t.Context(), "crmbridge:{acme}:refresh")
		if err != nil {
			t.Fatal(err)
		}
		taken, _ := seen()
		time.Sleep(time.Minute)
		mu.Lock()
		longest = max(longest, time.Since(kept))
		if longest > lease/2 {
			t.Errorf("the lease of %s was left alone for %s", lease, longest)
		}
		extended := last
		mu.Unlock()
		release()
		synctest.Wait()
		last, after := seen()
		if len(last) < 4 || last[0] != "evalsha" || last[1] == extended[1] || last[3] != "crmbridge:{acme}:refresh" ||
			last[4] != taken[2] {
			t.Errorf("the lock was not given back: the last call was %v", last)
		}
		time.Sleep(time.Minute)
		if _, calls := seen(); calls != after {
			t.Error("a lock that was given back is extended")
		}
	})
}

// A beat that comes back late proves what was told before it was sent, and nothing
// about the time that it took.
func TestALateBeatConfirmsTheTimeOfItsSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		back := newHeartbeats()
		s := &Source{name: "p", log: slog.New(slog.DiscardHandler), local: newLocal(localCutOff, time.Minute)}
		epoch := s.local.renewed()
		back.start(epoch)
		const late = heartbeatWait - time.Millisecond
		beats := 0
		s.store = NewStore(answeredBy(t, func(ctx context.Context, cmd redis.Cmder) error {
			if beats++; beats > 1 { // the next ones never come back
				<-ctx.Done()
				return ctx.Err()
			}
			time.Sleep(late)
			args := cmd.Args()
			back.arrived(args[len(args)-1].(string))
			cmd.(*redis.Cmd).SetVal(int64(1))
			return nil
		}), nil)
		sent := time.Now()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); s.sendHeartbeats(ctx, "own", back) }()
		time.Sleep(late)
		synctest.Wait()
		if !s.local.heard.Equal(sent) {
			t.Errorf("heard until %s after the beat was sent, want until then", s.local.heard.Sub(sent))
		}
		if proven := s.local.proven(sent.Add(localTrust)); !proven || s.local.proven(sent.Add(localTrust+1)) {
			t.Errorf("proven: %v within the trust, and beyond it", proven)
		}
		stop()
		<-ended
	})
}

// Beats prove nothing before the subscription stands, nor where one of several primaries
// did not answer, nor when they are of a round before.
func TestHeartbeatsThatProveNothing(t *testing.T) {
	for name, c := range map[string]struct {
		start   bool
		arrived []string
		want    bool
	}{
		"all came":                  {true, []string{"b.2.0", "b.2.1"}, true},
		"no subscription":           {false, []string{"b.2.0", "b.2.1"}, false},
		"one primary is silent":     {true, []string{"b.2.0"}, false},
		"of the round before":       {true, []string{"b.1.0", "b.1.1"}, false},
		"of another subscription":   {true, []string{"a.2.0", "a.2.1"}, false},
		"one of the round and more": {true, []string{"b.1.0", "b.1.1", "b.2.1"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				back := newHeartbeats()
				if c.start {
					back.start(7)
				}
				back.expect()
				for _, beat := range c.arrived {
					back.arrived(beat)
				}
				ctx, cancel := context.WithTimeout(t.Context(), heartbeatWait)
				defer cancel()
				epoch, ok := back.wait(ctx, []string{"b.2.0", "b.2.1"})
				if ok != c.want || ok && epoch != 7 {
					t.Errorf("epoch %d, %v", epoch, ok)
				}
			})
		})
	}
}

// One write of a grant has one flight, and no other write joins it: not one of another
// incarnation or version, nor one that a fail-over gave the same version.
func TestAFlightIsOfOneWrite(t *testing.T) {
	write := func(incarnation string, version int64, wid string) record {
		return record{Connection: Connection{ID: "acme", Incarnation: incarnation, Version: version}, wid: wid}
	}
	one := write("i", 1, "w")
	for name, c := range map[string]struct {
		other record
		same  bool
	}{
		"the same write":      {write("i", 1, "w"), true},
		"another incarnation": {write("j", 1, "w"), false},
		"another version":     {write("i", 2, "w"), false},
		"another write":       {write("i", 1, "v"), false},
	} {
		t.Run(name, func(t *testing.T) {
			if one.is(c.other) != c.same || c.other.is(one) != c.same {
				t.Errorf("counts as the same write: %v", !c.same)
			}
			synctest.Test(t, func(t *testing.T) {
				s := &Source{flights: map[string]*flight{}, log: slog.New(slog.DiscardHandler)}
				s.store = NewStore(answeredBy(t, func(ctx context.Context,
					_ redis.Cmder) error {
					<-ctx.Done()
					return ctx.Err()
				}), nil)
				s.life, s.end = context.WithCancel(t.Context())
				if joined := s.begin(one, false) == s.begin(c.other, false); joined != c.same {
					t.Errorf("in one flight: %v", joined)
				}
				s.end()
				s.work.Wait()
			})
		})
	}
}
