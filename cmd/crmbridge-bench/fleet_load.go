package main

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// ask sends n requests, so many at once, the i-th to the connection name(i), with filters of
// their own or none.
func (f *fleetRun) ask(n, atOnce int, filtered bool, name func(i int) string) error {
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var running sync.WaitGroup
	told := time.Now()
	var telling sync.Mutex
	for range min(atOnce, n) {
		running.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && failed.Load() == nil && f.ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				ctx, cancel := context.WithTimeout(f.ctx, time.Minute)
				filter := int64(0)
				if filtered {
					filter = f.asked.Add(1)
				}
				_, err := f.client.Accounts().Search(ctx, accountsOf(name(i), filter))
				cancel()
				if err != nil {
					err = fmt.Errorf("ask %s: %w", name(i), err)
					failed.CompareAndSwap(nil, &err)
				}
				telling.Lock()
				if time.Since(told) > 10*time.Second {
					told = time.Now()
					f.say("%d of %d requests", i+1, n)
				}
				telling.Unlock()
			}
		})
	}
	running.Wait()
	if err := failed.Load(); err != nil && f.ctx.Err() == nil {
		return *err
	}
	return f.ctx.Err()
}

// runJobs runs n jobs of so many rows, in pages of 100, of so many connections.
func (f *fleetRun) runJobs(n, rows, connections int) error {
	f.jobs++
	all := make([]job, n)
	for i := range all {
		all[i] = newJob(accountsSearch, fleetName(i%connections), fmt.Sprintf("job-%d-%d", f.jobs, i),
			map[string]any{"page_size": 100, "parallel": false, "limit": rows, "fields": fleetFields,
				"where": accountsOf("", f.asked.Add(1)).Where})
	}
	if err := f.fill(n, func(i int) job { return all[i] }); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(f.ctx, 2*time.Minute)
	defer cancel()
	for _, j := range all {
		if _, err := f.ends.took(ctx, j); err != nil {
			return err
		}
	}
	// What follows on an end: the job leaves CRM_JOBS, and every process hears of it.
	return cmp.Or(f.awaitEmpty(time.Minute), f.settle())
}

// renewals is how many tokens of each process end: it renews 5 a second at most.
const renewals = 24

// renew has tokens end in a minute that were made 59 minutes ago, and waits until all have
// been renewed, by whichever process.
func (f *fleetRun) renew(c *fleetCell) error {
	n := min(renewals*c.Processes, c.Connections)
	if f.quick {
		n = min(n, 2*c.Processes)
	}
	now := time.Now()
	if err := f.write(fleetName, 0, n, now.Add(-59*time.Minute), time.Hour); err != nil {
		return err
	}
	due := make([]redis.Z, n)
	for i := range due {
		due[i] = redis.Z{Member: fleetName(i), Score: float64(now.UnixMilli())}
	}
	before, err := f.tokenRequests()
	if err != nil {
		return err
	}
	for i := range n { // they are in use, as after a request; the command before the measuring
		if err := f.rdb.Set(f.ctx, usedKey(fleetName(i)), 1, 2*time.Hour).Err(); err != nil {
			return err
		}
	}
	if err := f.rdb.ZAdd(f.ctx, renewalsIndex, due...).Err(); err != nil {
		return err
	}
	c.Renewed = n
	answered := f.upstream.everything.Load()
	c.Renewal, err = f.during(n, &c.Idle, func() error {
		// Entra's answers are counted here: to read the processes' metrics costs them more than a renewal.
		err := await(f.ctx, 2*time.Minute, "renewals", func(context.Context) error {
			if got := f.upstream.everything.Load() - answered; got < int64(n) {
				return fmt.Errorf("%d of %d tokens have been renewed", got, n)
			}
			return nil
		})
		return cmp.Or(err, f.settle()) // the schedule is written
	})
	if err != nil {
		return err
	}
	after, err := f.tokenRequests()
	if err == nil && int(after-before) != n {
		err = fmt.Errorf("%.0f tokens were renewed of %d", after-before, n)
	}
	return err
}
