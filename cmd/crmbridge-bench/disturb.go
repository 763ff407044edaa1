package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// disturbances are what was done to a run.
type disturbances struct {
	kills, pauses, holds, deaf, servers, redis atomic.Int64
}

func (d *disturbances) String() string {
	return fmt.Sprintf("%d kills, %d pauses, %d held, %d cut off, %d NATS kills, %d Redis restarts", d.kills.Load(),
		d.pauses.Load(),
		d.holds.Load(), d.deaf.Load(), d.servers.Load(), d.redis.Load())
}

// disturb begins to disturb the run; the function that it returns ends that and mends all.
func (r *chaosRun) disturb(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	if r.calms > 0 {
		// What is left is done in peace.
		ctx, cancel = context.WithTimeout(ctx, r.calms)
	}
	var running sync.WaitGroup
	seed := r.Seed
	every := func(period time.Duration, do func(ctx context.Context, chance *rand.Rand)) {
		seed++
		chance := rand.New(rand.NewPCG(seed, 0x6368_616f))
		if period <= 0 {
			return
		}
		running.Go(func() {
			tick := time.NewTicker(period)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					do(ctx, chance)
				}
			}
		})
	}
	every(r.Kill, r.killOne)
	every(r.Pause, func(ctx context.Context, chance *rand.Rand) {
		victim := r.victim(chance)
		wait := time.Second + time.Duration(chance.Int64N(int64(19*time.Second)))
		running.Go(func() { r.pauseOne(ctx, victim, wait) })
	})
	every(r.Hold, func(_ context.Context, chance *rand.Rand) {
		r.victim(chance).wire.armHold(20*time.Second + time.Duration(chance.Int64N(int64(4*time.Second))))
	})
	every(r.Deaf, func(_ context.Context, chance *rand.Rand) {
		r.victim(chance).wire.beDeaf(25 * time.Second)
		r.done.deaf.Add(1)
	})
	if r.Replicas > 1 {
		every(r.KillLeader, func(ctx context.Context, _ *rand.Rand) { r.killServer(ctx) })
	} else if r.KillLeader > 0 {
		running.Go(func() {
			for _, at := range []time.Duration{10 * time.Second, 15 * time.Second} {
				if !sleep(ctx, at) {
					return
				}
				r.killServer(ctx)
			}
		})
	}
	running.Go(func() {
		if r.redis == nil || r.calm() || !sleep(ctx, 17*time.Second) {
			return
		}
		r.redis.end(os.Interrupt) // it writes its file
		_ = sleep(ctx, 2*time.Second)
		if err := r.redis.start(); err != nil {
			r.say("Redis: %v", err)
		}
		r.done.redis.Add(1)
	})
	if r.calms > 0 {
		context.AfterFunc(ctx, func() {
			r.emulator.Control().Clear()
			for _, c := range r.fleet {
				c.wire.armHold(0)
			}
		})
	}
	return func() {
		cancel()
		running.Wait()
		for _, c := range r.fleet {
			c.resume(c.pid())
			c.wire.armHold(0)
			c.wire.beDeaf(0)
			r.done.holds.Add(c.wire.held.Swap(0))
			if err := c.start(); err != nil {
				r.say("%s: %v", c.name, err)
			}
		}
	}
}

// sleep waits; it reports false where the context ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// victim is a process by chance. The short form, which has little time, takes one that runs
// a job, where there is one.
func (r *chaosRun) victim(chance *rand.Rand) *crmbridge {
	of := r.fleet
	if r.Short {
		of = slices.DeleteFunc(slices.Clone(of), func(c *crmbridge) bool { return !c.wire.ownsAny() })
		if len(of) == 0 {
			of = r.fleet
		}
	}
	return of[chance.IntN(len(of))]
}

// killOne kills a crmbridge at once and starts it again.
func (r *chaosRun) killOne(_ context.Context, chance *rand.Rand) {
	victim := r.victim(chance)
	victim.kill()
	r.done.kills.Add(1)
	r.trace("%s was killed", victim.name)
	if err := victim.start(); err != nil {
		r.say("%s: %v", victim.name, err)
	}
}

// pauseOne stops a crmbridge where it is, and lets it go on.
func (r *chaosRun) pauseOne(ctx context.Context, victim *crmbridge, wait time.Duration) {
	pid := victim.pid()
	if !victim.pause() {
		return
	}
	r.done.pauses.Add(1)
	r.trace("%s is paused for %.1f s", victim.name, wait.Seconds())
	_ = sleep(ctx, wait)
	victim.resume(pid)
}

// killServer kills the leader of CRM_RESULTS, and starts it again two seconds later.
func (r *chaosRun) killServer(ctx context.Context) {
	attempt, done := context.WithTimeout(ctx, 3*time.Second)
	victim, err := r.leader(attempt, messages.ResultsStream)
	done()
	if err != nil {
		return // it has no leader since the last kill
	}
	victim.kill()
	r.done.servers.Add(1)
	r.trace("%s was killed", victim.name)
	_ = sleep(ctx, 2*time.Second)
	if err := victim.start(); err != nil {
		r.say("%s: %v", victim.name, err)
	}
}

// breakUpstream has the emulated Dataverse throttle and break at random.
func (r *chaosRun) breakUpstream() {
	c := r.emulator.Control()
	for i, kind := range []string{emulator.KindThrottle, emulator.KindUnavailable, emulator.KindGateway,
		emulator.KindReset,
		emulator.KindTruncate} {
		f := emulator.Fault{Kind: kind, Probability: 0.01, Seed: r.Seed + uint64(i)}
		if kind == emulator.KindThrottle {
			f.RetryAfter = 1
		}
		c.Fail(f)
	}
}

// why prints what is known of jobs that do not end.
func (w *world) why(jobs []job) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), 10*time.Second)
	defer cancel()
	for _, j := range jobs {
		record, err := w.last(ctx, messages.StateStream, messages.StateSubject(j.connection, j.id))
		result, _ := w.last(ctx, messages.ResultsStream, j.results())
		_, waits := w.last(ctx, messages.JobsStream, j.subject())
		w.say("job %s: record %s (%v); last page %s, last %q, error %q; job message there: %v", j.id, record.Data, err,
			result.Header.Get(messages.HeaderPage), result.Header.Get(messages.HeaderLast),
			result.Header.Get(messages.HeaderErrorCode),
			waits == nil)
	}
	for _, c := range w.fleet {
		w.say("%s, pid %d; %s; its log ends with:\n%s", c.name, c.pid(), c.jobMetrics(ctx), strings.TrimSpace(c.tail(1500)))
	}
}
