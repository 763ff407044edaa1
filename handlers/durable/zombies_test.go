package durable

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// Several processes run one job at once, as after takeovers by mistake, with pauses and page
// boundaries at random: the chain stays whole, every row is there once, and there is one end.
func TestZombies(t *testing.T) {
	t.Parallel()
	jobs, rows := 12, 400
	if testing.Short() || raced {
		jobs, rows = 3, 150 // each is a few hundred guarded publishes
	}
	zombies(t, newRig(t), jobs, rows)
}

// The same in a cluster, which answers duplicates and conflicts by other rules than a server
// alone.
func TestZombiesInACluster(t *testing.T) {
	if testing.Short() {
		t.Skip("three servers have to find a leader for each stream")
	}
	jobs := 6
	if raced {
		jobs = 2
	}
	zombies(t, clusterRig(t), jobs, 300)
}

func zombies(t *testing.T, r *rig, jobs, rows int) {
	for n := range jobs {
		seed := uint64(time.Now().UnixNano())
		t.Logf("job %d: seed %d", n, seed)
		id := fmt.Sprint("j", n)
		r.publish(someOp, id, ``)
		var running sync.WaitGroup
		for w := range 4 {
			random := rand.New(rand.NewPCG(seed, uint64(w)))
			o := counter{rows: rows, parts: 1 + w%3, size: func() int { return 1 + random.IntN(20) },
				read: func(context.Context, int) error {
					if random.IntN(4) == 0 {
						time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
					}
					return nil
				}}
			l := r.lane(fmt.Sprint("worker-", w), r.js, only(o.route()), nil)
			running.Go(func() { r.regardless(l, id) })
		}
		running.Wait()
		r.whole(id, rows)
		if record := r.record(id); !record.State.Ended() || record.Rows != int64(rows) {
			t.Errorf("%+v", record)
		}
	}
}

// regardless runs a job until it has ended, whoever claims it meanwhile.
func (r *rig) regardless(l *Lane, id string) {
	for r.waits(id) {
		c, ok := r.claim(l, id)
		if !ok {
			continue
		}
		x := l.newExecution(c, freely)
		x.hold = l.takeHold(c, func(error) {})
		x.conclude(r.Context(), x.proceed(r.Context()))
		x.hold.stop()
	}
}

// Cancelling against finishing: there is exactly one end, which record and answer repeat.
func TestCancelAgainstFinish(t *testing.T) {
	t.Parallel()
	rounds := 1000
	switch {
	case testing.Short():
		rounds = 60 // each takes some milliseconds of JetStream
	case raced:
		rounds = 200 // each takes several times as long
	}
	r := newRig(t)
	cancelled := 0
	for n := range rounds {
		id := fmt.Sprint("j", n)
		r.publish(someOp, id, ``)
		worker := r.lane("worker", r.js, only(counter{rows: 30}.route()), nil)
		other := r.lane("other", r.js, nil, nil)
		var both sync.WaitGroup
		both.Go(func() {
			if c, ok := r.claim(worker, id); ok {
				worker.run(t.Context(), c, freely)
			}
		})
		wait := time.Duration(rand.IntN(5000)) * time.Microsecond
		both.Go(func() {
			time.Sleep(wait)
			job, err := other.cancelJob(t.Context(), "acme", id)
			if err != nil || !job.State.Ended() {
				t.Errorf("%s: %+v, %v", id, job, err)
			}
		})
		both.Wait()
		all, record := r.results(id), r.record(id)
		end := all[len(all)-1]
		s, err := readStored(end)
		if err != nil || !s.last || s.state() != record.State || record.Rows != s.rows || record.Pages != s.page {
			t.Fatalf("%s: end %+v, record %+v, %v", id, s, record, err)
		}
		r.whole(id, -1)
		if s.code != "" {
			cancelled++
		}
		if r.waits(id) || r.dead(id) != nil {
			t.Fatalf("%s: its message or a dead letter is there", id)
		}
	}
	t.Logf("%d of %d were cancelled", cancelled, rounds)
	if cancelled == 0 || cancelled == rounds {
		t.Errorf("%d of %d were cancelled: it was no race", cancelled, rounds)
	}
}
