package durable

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
	"github.com/crmbridge/crmbridge/messages"
)

// process starts a whole lane. stop gives its jobs back.
func (r *rig) process(routes map[messages.Operation]route.Route, slots int, change func(*Lane)) (l *Lane, stop func()) {
	r.Helper()
	nc, _ := streamstest.Connect(r, r.server)
	l, err := New(nc, Options{Connections: r.connections, Sealer: r.sealer, MaxInFlight: slots,
		Lease: 1500 * time.Millisecond, Heartbeat: 400 * time.Millisecond})
	if err != nil {
		r.Fatal(err)
	}
	if change != nil {
		change(l)
	}
	stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := l.Shutdown(ctx); err != nil {
			r.Error(err)
		}
	})
	r.Cleanup(stop)
	if err := l.Start(r.Context(), routes, newSlots(slots)); err != nil {
		r.Fatal(err)
	}
	return l, stop
}

// ended waits until a job has ended.
func (r *rig) ended(id string) messages.JobRecord {
	r.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if record := r.record(id); record.State.Ended() && !r.waits(id) {
			return record
		}
	}
	r.Fatalf("job %s has not ended: %+v", id, r.record(id))
	return messages.JobRecord{}
}

// Two processes run jobs, one of them stops in the middle, as with SIGTERM: the other one goes
// on from the pages that are stored, and every row is there once.
func TestOneOfTwoProcessesStops(t *testing.T) {
	r := bareRig(t, nil)
	var reads atomic.Int64
	half := make(chan struct{})
	o := counter{rows: 100, read: func(ctx context.Context, _ int) error {
		if reads.Add(1) == 60 {
			close(half)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
			return nil
		}
	}}
	_, stop := r.process(only(o.route()), 4, nil)
	r.process(only(o.route()), 4, nil)
	const jobs = 20
	for n := range jobs {
		r.publish(someOp, fmt.Sprint("j", n), `{}`)
	}
	<-half
	stop()
	for n := range jobs {
		record := r.ended(fmt.Sprint("j", n))
		if record.State != messages.JobDone || record.Rows != 100 || record.Attempts != 0 {
			t.Errorf("%+v", record)
		}
		r.whole(record.ID, 100)
	}
	if n := reads.Load(); n < 10*jobs || n > 10*jobs+8 {
		t.Errorf("%d pages were read for %d", n, 10*jobs)
	}
}

// A job that kills its workers ends after eight takeovers; others are done.
func TestAPoisonousJob(t *testing.T) {
	if testing.Short() {
		t.Skip("eight leases have to run out")
	}
	t.Parallel()
	r := bareRig(t, nil)
	var killed atomic.Int64
	dies := func(l *Lane) {
		l.execute = func(ctx context.Context, c claimed, turn turnFunc) outcome {
			if c.record.ID != "poison" || c.record.State.Ended() || c.record.Takeovers >= mostTakeovers {
				return l.run(ctx, c, turn)
			}
			killed.Add(1)
			return outcome{lost: true} // its record stays as the claim wrote it
		}
	}
	quickly := func(l *Lane) {
		dies(l)
		l.options.Lease = 300 * time.Millisecond
		l.board.lease = l.options.Lease
	}
	for range 2 {
		r.process(only(counter{rows: 30}.route()), 4, quickly)
	}
	r.publish(someOp, "poison", `{"limit":1}`)
	for n := range 10 {
		r.publish(someOp, fmt.Sprint("j", n), `{}`)
	}
	for n := range 10 {
		if record := r.ended(fmt.Sprint("j", n)); record.State != messages.JobDone {
			t.Errorf("%+v", record)
		}
	}
	record := r.ended("poison")
	if record.State != messages.JobFailed || record.Error.Code != messages.Internal ||
		record.Takeovers != mostTakeovers || record.Rows != 0 || r.dead("poison") == nil {
		t.Errorf("%+v", record)
	}
	if n := killed.Load(); n != mostTakeovers {
		t.Errorf("%d workers were killed", n)
	}
}

// A throttled job holds no slot while it waits, and runs when the time has come.
func TestAThrottledJobRunsInTime(t *testing.T) {
	r := bareRig(t, nil)
	var refused atomic.Int64
	begun := make(chan struct{})
	r.process(only(counter{rows: 30, read: func(context.Context, int) error {
		if refused.Add(1) == 1 {
			close(begun)
			return messages.Errorf(messages.Throttled, "slow down").After(2 * time.Second)
		}
		return nil
	}}.route()), 1, nil)
	r.connections.set("globex", "inc-g")
	r.publish(someOp, "j", `{}`)
	<-begun
	// The only slot is another connection's meanwhile.
	if _, err := r.js.Publish(t.Context(), someOp.JobSubject("globex", "k"), nil); err != nil {
		t.Fatal(err)
	}
	for r.of(messages.JobsStream, someOp.JobSubject("globex", "k")) != nil {
		time.Sleep(5 * time.Millisecond)
	}
	if record := r.record("j"); record.State != messages.JobQueued || record.Attempts != 0 || record.RetryAt == nil {
		t.Errorf("%+v", record)
	}
	if record := r.ended("j"); record.State != messages.JobDone || record.FinishedAt.Before(*record.StartedAt) {
		t.Errorf("%+v", record)
	}
	r.whole("j", 30)
}

// A job of a deleted connection, whose worker was stalled, stores nothing more: not before
// page 1, not before page 5, and not before the dead letter.
func TestADeletedConnectionsWorkerIsStalled(t *testing.T) {
	for _, at := range []int{0, 40, 60} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			r := newRig(t)
			l := r.lane("one", r.js, only(counter{rows: 100, read: func(_ context.Context, from int) error {
				if from != at {
					return nil
				}
				for _, name := range []string{messages.JobsStream, messages.ResultsStream, messages.StateStream,
					messages.DeadStream} {
					stream, err := r.js.Stream(t.Context(), name)
					if err != nil {
						return err
					}
					subject := map[string]string{messages.JobsStream: "crm.*.*.job.acme.*",
						messages.ResultsStream: "crm.results.acme.*",
						messages.StateStream:   "crm.state.acme.*", messages.DeadStream: "crm.dead.acme.*"}[name]
					if err := stream.Purge(t.Context(), jetstream.WithPurgeSubject(subject)); err != nil {
						return err
					}
				}
				r.connections.set("acme", "inc-2")
				time.Sleep(300 * time.Millisecond) // longer than the lease
				if at == 60 {
					return messages.Errorf(messages.PermissionDenied, "no")
				}
				return nil
			}}.route()), func(o *Options) { o.Heartbeat, o.Lease = time.Hour, 200*time.Millisecond })
			r.publish(someOp, "j", `{}`)
			out := r.execute(l, "j")
			if out.ended || !out.again.IsZero() {
				t.Errorf("%+v", out)
			}
			for _, name := range []string{messages.ResultsStream, messages.StateStream, messages.DeadStream} {
				stream, err := r.js.Stream(t.Context(), name)
				if err != nil {
					t.Fatal(err)
				}
				if info := stream.CachedInfo(); info.State.Msgs != 0 {
					t.Errorf("%s has %d messages", name, info.State.Msgs)
				}
			}
		})
	}
}
