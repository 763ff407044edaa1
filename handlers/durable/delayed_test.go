package durable

import (
	"fmt"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/messages"
)

// Jobs of a connection that wait for a time far away do not hold back its others, however many
// of them memory has; they run in their time, and what others do with them is heard.
func TestDelayedJobsHoldNobodyBack(t *testing.T) {
	x := newTable(t, 100)
	const delayed = 3 * queueMost
	x.publishMany("a", delayed)
	refill := func() {
		for r, ok := x.nextRefill(); ok; r, ok = x.nextRefill() {
			var got []followed
			for seq := r.from; seq <= x.seq && len(got) < r.most; seq++ {
				got = append(got, x.job("a", fmt.Sprintf("j%d", seq-1), seq))
			}
			x.refilled(r, got, int(x.seq)-int(r.from)+1-len(got), nil, x.now)
		}
	}
	for n := range delayed {
		o := x.slot()
		if o == nil {
			t.Fatalf("%d were run: %+v", n, x.queues["a"].more)
		}
		x.shut(o, outcome{again: time.Now()}, x.now, x.now.after(10*time.Minute))
		refill()
	}
	if x.slot() != nil || x.count() != delayed {
		t.Fatalf("%d are known", x.count())
	}
	x.publish("a", fmt.Sprintf("j%d", x.seq))
	refill()
	last := x.slot()
	if last == nil || last.seq != x.seq {
		t.Fatalf("the later job is held back: %+v", last)
	}
	x.end(last)
	if d := x.depth(x.now); d.pending != delayed || d.runnable != 0 {
		t.Errorf("%+v", d)
	}
	x.heardOf("a", "j0", messages.JobRunning, "other", 0)
	x.heardOf("a", "j1", messages.JobCancelled, "", 0)
	x.heardOf("a", "j2", messages.JobQueued, "", 0)
	x.now = x.now.after(heardEndAgain)
	x.tick(x.now)
	ids := map[string]bool{}
	for o := x.slot(); o != nil; o = x.slot() {
		ids[o.id] = true
		x.end(o)
	}
	if len(ids) != 2 || !ids["j1"] || !ids["j2"] {
		t.Errorf("%v", ids)
	}
	x.heardOf("a", "j0", messages.JobDone, "", 0)
	x.now = x.now.after(10 * time.Minute)
	x.tick(x.now)
	ran := 0
	for o := x.slot(); o != nil; o = x.slot() {
		x.end(o)
		refill()
		ran++
	}
	if ran != delayed-3 || x.count() != 0 || x.delays != 0 || x.waits != 0 || len(x.queues) != 0 {
		t.Errorf("%d ran in their time, %d are known, %d delayed, %d in memory", ran, x.count(), x.delays, x.waits)
	}
}

// They take up a part of memory only, and what a reading of the stream does not find is dropped.
func TestDelayedJobsAreBounded(t *testing.T) {
	x := newTable(t, 1000)
	x.memory = 400
	x.publishMany("a", 200)
	for range 150 {
		x.shut(x.slot(), outcome{again: time.Now()}, x.now, x.now.after(time.Minute))
	}
	if x.delays != 100 || x.waits != 200 || x.count() != 200 {
		t.Fatalf("%d are delayed, %d in memory, %d known", x.delays, x.waits, x.count())
	}
	x.again()
	x.swept(x.seq, x.now)
	if x.delays != 0 || x.waits != 0 || x.count() != 0 || len(x.queues) != 0 {
		t.Errorf("%d are delayed, %d in memory, %d known", x.delays, x.waits, x.count())
	}
}
