package durable

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
)

// What a waiting job takes in memory, and a queue with one job.
func BenchmarkMemoryOfWaitingJobs(b *testing.B) {
	for _, of := range []struct{ connections, jobs int }{{200, 1_000}, {10_000, 10}, {10_000, 1}} {
		b.Run(fmt.Sprintf("%dx%d", of.connections, of.jobs), func(b *testing.B) {
			for b.Loop() {
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				x := newTable(b, 64)
				for i := range of.connections {
					name := fmt.Sprintf("connection-%d", i)
					for j := range of.jobs {
						x.publish(name, fmt.Sprintf("01890a5d-ac96-774b-bcce-b302%08d", j))
					}
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(of.connections*of.jobs), "B/job")
				runtime.KeepAlive(x)
			}
		})
	}
}

// A turn with ten thousand connections that wait.
func BenchmarkTurns(b *testing.B) {
	x := newTable(b, 64)
	for i := range 10_000 {
		x.publish(fmt.Sprintf("c%d", i), "1", "2")
	}
	i := 0
	for b.Loop() {
		o := x.slot()
		x.end(o)
		i++
		x.publish(o.queue.connection, fmt.Sprintf("n%d", i))
	}
}

// Claims a second of several processes, with executions that take no time: claim, end and
// deletion of a job each. Lost claims are reported beside.
func BenchmarkClaims(b *testing.B) {
	for _, processes := range []int{1, 2, 4} {
		b.Run(fmt.Sprint(processes), func(b *testing.B) {
			s := streamstest.Server(b, nil)
			_, js := streamstest.Connect(b, s)
			var seen runs
			var lanes []*testLane
			for range processes {
				lanes = append(lanes, startLane(b, s, 32, quickly(&seen), nil))
			}
			done := 0
			for b.Loop() {
				var subjects []string
				for i := range 8 {
					for j := range 250 {
						subjects = append(subjects, fmt.Sprintf("crm.accounts.search.job.c%d.r%d-%d", i, done, j))
					}
				}
				done += len(subjects)
				publishJobs(b, js, subjects...)
				await(b, "all have run", func() bool { return len(seen.seen()) >= done })
			}
			b.ReportMetric(float64(done)/b.Elapsed().Seconds(), "jobs/s")
			lost := 0.0
			for _, l := range lanes {
				lost += claimsOf(b, l, claimLost)
			}
			b.ReportMetric(lost/float64(done), "lost/job")
		})
	}
}

// How long a job of one connection takes behind thousands of another's, as a multiple of what
// it takes alone.
func BenchmarkFairness(b *testing.B) {
	for b.Loop() {
		s := streamstest.Server(b, nil)
		_, js := streamstest.Connect(b, s)
		ended := make(chan jobKey, 20_000)
		startLane(b, s, 32, func(l *Lane, ctx context.Context, c claimed, turn turnFunc) outcome {
			_, done, err := turn(ctx)
			if err != nil {
				return giveBack(l, c)
			}
			defer done()
			time.Sleep(50 * time.Millisecond)
			out := finish(l, c)
			ended <- c.key()
			return out
		}, nil)
		n := 0
		one := func() time.Duration {
			n++
			began := time.Now()
			publishJobs(b, js, fmt.Sprintf("crm.accounts.search.job.b.j%d", n))
			for key := range ended {
				if key.connection == "b" {
					return time.Since(began)
				}
			}
			return 0
		}
		alone := one()
		for range 4 {
			alone = min(alone, one())
		}
		publishJobs(b, js, search("a", 10_000)...)
		var behind time.Duration
		for range 10 {
			behind += one() / 10
		}
		b.ReportMetric(behind.Seconds()/alone.Seconds(), "x-alone")
	}
}
