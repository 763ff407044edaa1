package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// ask sends n requests, so many at once, the i-th to the connection name(i).
func (f *fleetRun) ask(n, atOnce int, name func(i int) string) error {
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var running sync.WaitGroup
	told := time.Now()
	var telling sync.Mutex
	for range min(atOnce, n) {
		running.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && failed.Load() == nil && f.ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				ctx, cancel := context.WithTimeout(f.ctx, time.Minute)
				_, err := f.client.Accounts().Search(ctx, accountsOf(name(i), f.asked.Add(1)))
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
	if err := f.awaitEmpty(time.Minute); err != nil {
		return err
	}
	if !sleep(f.ctx, 300*time.Millisecond) {
		return f.ctx.Err()
	}
	return nil
}

// renewals is how many tokens of each process end: it renews 5 a second at most.
const renewals = 12

// renew has tokens end in a minute that were made 59 minutes ago, and waits until all have
// been renewed, by whichever process.
func (f *fleetRun) renew(c *fleetCell) error {
	n := min(renewals*c.Processes, c.Connections)
	now := time.Now()
	if err := f.write(0, n, now.Add(-59*time.Minute), time.Hour); err != nil {
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
	c.Renewal, err = f.during(n, &c.Idle, func() error {
		err := await(f.ctx, 2*time.Minute, "renewals", func(context.Context) error {
			after, err := f.tokenRequests()
			if err == nil && int(after-before) < n {
				err = fmt.Errorf("%.0f of %d tokens have been renewed", after-before, n)
			}
			return err
		})
		if err == nil && !sleep(f.ctx, 300*time.Millisecond) { // the schedule is written
			err = f.ctx.Err()
		}
		return err
	})
	return err
}
