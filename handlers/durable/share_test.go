package durable

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/messages"
)

// Jobs of one connection that begin at once and would hold more than twice its share together:
// one of them ends always, also where none has ended yet, so that its results can be removed
// and the next one goes on.
func TestOneJobOfAFullConnectionAlwaysEnds(t *testing.T) {
	r := newRig(t)
	const most, together = 400_000, 6
	r.bound(func(c *jetstream.StreamConfig) { c.MaxBytes = most })
	// They have stored two thirds when somebody looks how much that is.
	var l *Lane
	arrived, looks := make(chan struct{}, together), make(chan struct{})
	l = r.lane("one", r.js, only(counter{rows: 120, pad: 4800, read: func(_ context.Context, from int) error {
		if from != 80 {
			return nil
		}
		select {
		case arrived <- struct{}{}:
			if len(arrived) == together {
				for i := range together { // by their heartbeats
					for r.record(fmt.Sprint("job-", i)).Bytes < most/together/2 {
						time.Sleep(5 * time.Millisecond)
					}
				}
				l.shares.age = 0
				close(looks)
			}
		default:
		}
		<-looks
		return nil
	}}.route()), func(o *Options) { o.Heartbeat = 20 * time.Millisecond })
	l.shares.age = time.Hour
	waiting := map[string]bool{}
	for i := range together {
		id := fmt.Sprint("job-", i)
		r.publish(someOp, id, `{}`)
		waiting[id] = true
	}
	for round := 0; len(waiting) > 0; round++ {
		if round > 4*together {
			t.Fatalf("%d jobs do not end", len(waiting))
		}
		var group sync.WaitGroup
		for id := range waiting {
			group.Go(func() { r.execute(l, id) })
		}
		group.Wait()
		for id := range waiting {
			switch record := r.record(id); {
			case record.State == messages.JobDone:
				delete(waiting, id)
				r.whole(id, 120)
				r.purge(id)
			case record.State.Ended():
				t.Fatalf("%+v", record)
			}
		}
	}
}
