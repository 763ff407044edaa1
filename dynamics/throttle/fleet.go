package throttle

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// beatEvery is how often a process says that it is there.
	beatEvery = time.Second
	// silentAfter is when a process that says nothing is believed to be without Redis: it
	// then goes on with its share once its lease is over, so the others leave that share
	// to it. They notice before leaseLife is over.
	silentAfter = 3 * time.Second
	// fleetForgets is when it is believed dead.
	fleetForgets = 30 * time.Second
	// fleetMemory is for how long the largest size is held on to: a Redis that comes
	// back empty hears of the processes one after another.
	fleetMemory = time.Minute
)

// fleet is what a process knows of the others. It outlives users and outages of Redis.
type fleet struct {
	mu     sync.Mutex
	size   int // 0: not known
	at     time.Time
	silent int
}

// seen notes that there are so many processes.
func (f *fleet) seen(size int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); size >= f.size || now.Sub(f.at) > fleetMemory {
		f.size, f.at = size, now
	}
}

// share is each process's part of so many slots; ok is false where the size is not known.
func (f *fleet) share(slots int) (share int, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.size == 0 {
		return 0, false
	}
	return slots / f.size, true
}

// slots is what the processes that reach Redis share out.
func (t *Throttle) slots() int {
	share, _ := t.fleet.share(t.config.Concurrency)
	t.fleet.mu.Lock()
	defer t.fleet.mu.Unlock()
	return max(1, t.config.Concurrency-t.fleet.silent*share)
}

// beat says that this process is there, until the Throttle is closed.
func (t *Throttle) beat() {
	defer t.leaveFleet()
	for {
		if t.beatOnce() {
			t.payOwed()
		}
		timer := time.NewTimer(beatEvery*9/10 + rand.N(beatEvery/10))
		select {
		case <-t.ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// beatOnce reports whether Redis answered.
func (t *Throttle) beatOnce() bool {
	ctx, cancel := context.WithTimeout(t.ctx, redisWait)
	defer cancel()
	out, err := fleetScript.Run(ctx, t.config.Redis, []string{fleetKey}, t.name,
		silentAfter.Milliseconds(), fleetForgets.Milliseconds()).Int64Slice()
	t.reached(err)
	if err != nil || len(out) != 2 {
		return false
	}
	t.fleet.seen(int(out[0]))
	t.fleet.mu.Lock()
	defer t.fleet.mu.Unlock()
	t.fleet.silent = int(out[1])
	return true
}

// leaveFleet lets the others share out what this process had. What it cannot say they
// find out.
func (t *Throttle) leaveFleet() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), redisWait)
	defer cancel()
	_ = t.config.Redis.HDel(ctx, fleetKey, t.name).Err()
}
