package throttle_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/throttle"
)

// A held call is in flight until it is let go.
type held struct {
	job   bool
	leave func(dynamics.Answer)
}

// hold begins a call that stays in flight, and tells of it.
func hold(ctx context.Context, work *sync.WaitGroup, limits *throttle.Throttle, job bool, begun chan<- held) {
	if job {
		ctx = dynamics.WithBackground(ctx)
	}
	work.Go(func() {
		for ctx.Err() == nil {
			leave, err := limits.Enter(ctx, ada, "acme")
			if err == nil {
				begun <- held{job, leave}
				return
			}
		}
	})
}

// Calls of jobs that never end leave the fleet four slots, which others get at once, in
// whichever process; and a slot that becomes free is another call's before a job's.
func TestJobsLeaveSlotsToOthers(t *testing.T) {
	t.Parallel()
	addr, _ := startRedis(t)
	fleet := make([]*throttle.Throttle, 3)
	for p := range fleet {
		fleet[p] = process(t, addr, throttle.Config{Concurrency: 12})
	}
	ctx, end := context.WithCancel(t.Context())
	var work sync.WaitGroup
	defer work.Wait()
	defer end()
	begun := make(chan held, 64)
	for range 5 {
		for _, limits := range fleet {
			hold(ctx, &work, limits, true, begun)
		}
	}
	var jobs []held
	for range 8 {
		jobs = append(jobs, soon(t, begun, "a job's call"))
	}
	for i := range 4 { // they would wait for ever where jobs had taken what is theirs
		hold(ctx, &work, fleet[i%len(fleet)], false, begun)
		if soon(t, begun, "another call").job {
			t.Fatal("a job took one of the last four slots")
		}
	}
	// A process goes on with jobs until it has heard of the others', and no longer.
	hold(ctx, &work, fleet[0], false, begun)
	hold(ctx, &work, fleet[1], false, begun)
	released, others := 0, 0
	within(t, 15*time.Second, "two slots of jobs for others", func() bool {
		if released < len(jobs) {
			jobs[released].leave(answered)
			released++
		}
		for len(begun) > 0 {
			if one := <-begun; one.job {
				jobs = append(jobs, one)
			} else {
				others++
			}
		}
		return others == 2
	})
}

// With jobs and others in several processes neither bound is passed, jobs get what the
// others leave, and nobody waits for ever.
func TestJobsAndOthersShareOneBound(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it floods a Redis for a second")
	}
	t.Parallel()
	addr, _ := startRedis(t)
	const bound, forJobs = 10, 6
	var inFlight, jobsInFlight, mostJobs atomic.Int64
	var done [2]atomic.Int64
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	var work sync.WaitGroup
	caller := func(limits *throttle.Throttle, job bool, pause time.Duration) {
		ctx, kind := ctx, 0
		if job {
			ctx, kind = dynamics.WithBackground(ctx), 1
		}
		for {
			leave, err := limits.Enter(ctx, ada, "acme")
			if err != nil {
				return
			}
			if n := inFlight.Add(1); n > bound {
				t.Errorf("%d calls in flight", n)
			}
			if job {
				n := jobsInFlight.Add(1)
				for old := mostJobs.Load(); n > old && !mostJobs.CompareAndSwap(old, n); old = mostJobs.Load() {
				}
			}
			time.Sleep(2 * time.Millisecond)
			if job {
				jobsInFlight.Add(-1)
			}
			inFlight.Add(-1)
			leave(answered)
			done[kind].Add(1)
			if pause > 0 {
				time.Sleep(pause)
			}
		}
	}
	for range 3 {
		limits := process(t, addr, throttle.Config{Concurrency: bound})
		for range 12 {
			work.Go(func() { caller(limits, true, 0) })
		}
		work.Go(func() { caller(limits, false, 5*time.Millisecond) })
	}
	work.Wait()
	if mostJobs.Load() > forJobs {
		t.Errorf("%d calls of jobs in flight, want %d at most", mostJobs.Load(), forJobs)
	}
	if done[0].Load() == 0 || done[1].Load() == 0 {
		t.Errorf("%d calls and %d of jobs", done[0].Load(), done[1].Load())
	}
	t.Logf("%d calls and %d of jobs, of which %d were in flight", done[0].Load(), done[1].Load(), mostJobs.Load())
}
