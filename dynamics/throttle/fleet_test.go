package throttle_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/throttle"
)

// load is the calls of several processes, counted.
type load struct {
	work           sync.WaitGroup
	inFlight, most atomic.Int64
	done           [8]atomic.Int64
}

// run keeps so many calls of a process waiting or in flight until ctx ends.
func (l *load) run(ctx context.Context, p int, limits *throttle.Throttle, calls int, each time.Duration) {
	for range calls {
		l.work.Go(func() {
			for ctx.Err() == nil {
				leave, err := limits.Enter(ctx, ada, "acme")
				if err != nil {
					continue
				}
				n := l.inFlight.Add(1)
				for old := l.most.Load(); n > old && !l.most.CompareAndSwap(old, n); old = l.most.Load() {
				}
				time.Sleep(each)
				l.inFlight.Add(-1)
				l.done[p].Add(1)
				leave(dynamics.Answer{Answered: true})
			}
		})
	}
}

// Processes that know of each other from the time when Redis was there share the slots
// also for a user whom they have forgotten meanwhile.
func TestTheSizeOfTheFleetOutlivesUsersAndRedis(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("skipped by -short: the fleet is watched for 7 s without Redis")
	}
	addr, kill := startRedis(t)
	const bound, processes = 8, 4
	fleet := make([]*throttle.Throttle, processes)
	for p := range fleet {
		fleet[p] = process(t, addr, throttle.Config{Concurrency: bound})
		enter(t, fleet[p])(dynamics.Answer{Answered: true})
	}
	time.Sleep(1700 * time.Millisecond) // the user is forgotten, and heartbeats were exchanged
	kill()
	ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
	defer cancel()
	var l load
	for p, limits := range fleet {
		l.run(ctx, p, limits, bound, 20*time.Millisecond)
	}
	l.work.Wait()
	if most := l.most.Load(); most != bound {
		t.Errorf("at most %d calls were in flight, want %d", most, bound)
	}
	for p := range processes {
		if l.done[p].Load() == 0 {
			t.Errorf("process %d made no call", p)
		}
	}
}

// cut is a connection to Redis that can be taken away.
type cut struct{ off atomic.Bool }

func (c *cut) DialHook(next redis.DialHook) redis.DialHook { return next }
func (c *cut) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if c.off.Load() {
			err := errors.New("cut off")
			cmd.SetErr(err)
			return err
		}
		return next(ctx, cmd)
	}
}
func (c *cut) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// One process that does not reach Redis begins with few calls; the others leave it its
// share once they have noticed.
func TestOneProcessWithoutRedis(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("skipped by -short: a process is given up after seconds")
	}
	addr, _ := startRedis(t)
	const bound, processes, few = 8, 4, 2
	var link cut
	fleet := make([]*throttle.Throttle, processes)
	for p := range fleet {
		var hooks []redis.Hook
		if p == 0 {
			hooks = append(hooks, &link)
		}
		fleet[p] = process(t, addr, throttle.Config{Concurrency: bound}, hooks...)
	}
	time.Sleep(1200 * time.Millisecond) // heartbeats were exchanged
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var l load
	for p := 1; p < processes; p++ {
		l.run(ctx, p, fleet[p], bound, 10*time.Millisecond)
	}
	within(t, 5*time.Second, "the others use all slots", func() bool { return l.inFlight.Load() == bound })
	link.off.Store(true)
	l.run(ctx, 0, fleet[0], bound, 10*time.Millisecond)
	time.Sleep(6 * time.Second)
	if most := l.most.Load(); most > bound+few {
		t.Errorf("at most %d calls were in flight, want %d and %d of the process that was cut off", most, bound, few)
	}
	l.most.Store(0)
	l.work.Wait()
	if most := l.most.Load(); most > bound {
		t.Errorf("at most %d calls were in flight when the others had noticed, want %d", most, bound)
	}
	if l.done[0].Load() == 0 {
		t.Error("the process that was cut off made no call")
	}
}

// Where there are fewer slots than processes they take turns.
func TestFewerSlotsThanProcesses(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("skipped by -short: turns are taken for seconds")
	}
	addr, _ := startRedis(t)
	const bound, processes = 2, 6
	ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
	defer cancel()
	var l load
	for p := range processes {
		l.run(ctx, p, process(t, addr, throttle.Config{Concurrency: bound}), 5, 20*time.Millisecond)
	}
	l.work.Wait()
	if most := l.most.Load(); most != bound {
		t.Errorf("at most %d calls were in flight, want %d", most, bound)
	}
	var done [processes]int64
	var all int64
	for p := range done {
		done[p] = l.done[p].Load()
		all += done[p]
	}
	t.Logf("calls: %v", done)
	for p, n := range done {
		if n < all/processes/5 {
			t.Errorf("process %d made %d calls of %d", p, n, all)
		}
	}
}
