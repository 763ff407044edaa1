package durable

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// bound changes a limit of CRM_RESULTS.
func (r *rig) bound(change func(*jetstream.StreamConfig)) {
	r.Helper()
	stream, err := r.js.Stream(r.Context(), messages.ResultsStream)
	if err != nil {
		r.Fatal(err)
	}
	config := stream.CachedInfo().Config
	change(&config)
	if _, err := r.js.UpdateStream(r.Context(), config); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) purge(id string) {
	r.Helper()
	stream, err := r.js.Stream(r.Context(), messages.ResultsStream)
	if err != nil {
		r.Fatal(err)
	}
	if err := stream.Purge(r.Context(), jetstream.WithPurgeSubject(messages.ResultSubject("acme", id))); err != nil {
		r.Fatal(err)
	}
}

// The stream is full: nothing of another job is lost, the job waits without being counted,
// and goes on when there is room.
func TestAFullStream(t *testing.T) {
	for _, parts := range []int{1, 3} {
		t.Run(fmt.Sprint(parts), func(t *testing.T) {
			r := newRig(t)
			r.bound(func(c *jetstream.StreamConfig) { c.MaxBytes = 100 << 10 })
			// The share is not what holds the job up here.
			l := r.lane("one", r.js, only(counter{rows: 100, parts: parts, pad: 4000}.route()), func(o *Options) { quick(o); o.Lease = 600 * time.Millisecond })
			other := nats.NewMsg(messages.ResultSubject("globex", "k"))
			other.Data = make([]byte, 20<<10)
			for range 4 {
				if _, err := r.js.PublishMsg(t.Context(), other); err != nil {
					t.Fatal(err)
				}
			}
			r.publish(someOp, "j", `{}`)
			out, record := r.execute(l, "j"), r.record("j")
			wait := time.Until(out.again)
			if out.ended || out.lost || record.Attempts != 0 || record.State != messages.JobQueued ||
				record.Error.Code != messages.Overloaded || wait < 18*time.Second || wait > 30*time.Second {
				t.Fatalf("%+v %+v", out, record)
			}
			stream, err := r.js.Stream(t.Context(), messages.ResultsStream)
			if err != nil {
				t.Fatal(err)
			}
			if info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter("crm.results.globex.*")); err != nil ||
				info.State.Subjects["crm.results.globex.k"] != 4 {
				t.Errorf("%+v, %v", info, err)
			}
			before := len(r.results("j"))
			if parts > 1 && before%parts != 0 {
				t.Errorf("%d messages: a part of a page was stored", before)
			}
			r.bound(func(c *jetstream.StreamConfig) { c.MaxBytes = 10 << 20 })
			if out := r.execute(r.lane("two", r.js, l.routes, nil), "j"); !out.ended {
				t.Fatalf("%+v", out)
			}
			r.whole("j", 100)
		})
	}
}

// A page that goes on waiting while there is no room is stored when there is.
func TestAFullStreamForAMoment(t *testing.T) {
	r := newRig(t)
	r.bound(func(c *jetstream.StreamConfig) { c.MaxBytes = 8000 })
	full := make(chan struct{})
	var once sync.Once
	l := r.lane("one", r.js, only(counter{rows: 10, pad: 4000, read: func(context.Context, int) error {
		once.Do(func() { close(full) })
		return nil
	}}.route()), nil)
	filler := nats.NewMsg(messages.ResultSubject("acme", "k"))
	filler.Data = make([]byte, 7000)
	if _, err := r.js.PublishMsg(t.Context(), filler); err != nil {
		t.Fatal(err)
	}
	r.publish(someOp, "j", `{}`)
	done := make(chan outcome, 1)
	go func() { defer close(done); done <- r.execute(l, "j") }()
	<-full
	r.purge("k")
	if out := <-done; !out.ended {
		t.Fatalf("%+v", out)
	}
}

// One job has at most JOB_MAX_BYTES, and at most a quarter of the stream.
func TestTheBoundOfAJob(t *testing.T) {
	for name, change := range map[string]func(*rig, *Options){
		"JOB_MAX_BYTES": func(_ *rig, o *Options) { o.JobMaxBytes = 30_000 },
		"a quarter":     func(r *rig, _ *Options) { r.bound(func(c *jetstream.StreamConfig) { c.MaxBytes = 120_000 }) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			l := r.lane("one", r.js, only(counter{rows: 1000, pad: 4000}.route()), func(o *Options) { change(r, o) })
			r.publish(someOp, "j", `{}`)
			if out := r.execute(l, "j"); !out.ended {
				t.Fatalf("%+v", out)
			}
			record := r.record("j")
			if record.Error == nil || record.Error.Code != messages.TooLarge || record.Bytes > 32_000 || record.Rows < 50 {
				t.Errorf("%+v", record)
			}
			r.whole("j", int(record.Rows))
		})
	}
}

// At its share of the stream a connection's oldest running job goes on, and the others wait;
// other connections go on.
func TestAConnectionsShare(t *testing.T) {
	r := newRig(t)
	r.bound(func(c *jetstream.StreamConfig) { c.MaxBytes = 400_000 })
	// Two jobs of 60 % of the quarter each.
	holds, goOn := make(chan struct{}), make(chan struct{})
	first := r.lane("first", r.js, only(counter{rows: 120, pad: 4800, read: func(_ context.Context, from int) error {
		if from == 60 {
			close(holds)
			<-goOn
		}
		return nil
	}}.route()), func(o *Options) { o.Heartbeat = 20 * time.Millisecond })
	second := r.lane("second", r.js, only(counter{rows: 120, pad: 4800}.route()),
		func(o *Options) { o.Heartbeat = 20 * time.Millisecond })
	first.shares.age, second.shares.age = 0, 0
	r.publish(someOp, "old", `{}`)
	r.publish(someOp, "young", `{}`)
	running := make(chan outcome, 1)
	go func() { defer close(running); running <- r.execute(first, "old") }()
	<-holds
	for r.record("old").Pages < 6 { // by its heartbeat
		time.Sleep(5 * time.Millisecond)
	}
	// More of the connection's, by jobs that ended.
	for i := range 10 {
		id := fmt.Sprint("done-", i)
		r.publish(someOp, id, `{}`)
		if out := r.execute(r.lane("before", r.js, only(counter{rows: 10, pad: 4000}.route()), nil), id); !out.ended &&
			out.again.IsZero() {
			t.Fatalf("%+v", out)
		}
	}
	out, record := r.execute(second, "young"), r.record("young")
	if out.ended || out.lost || record.Error == nil || record.Error.Code != messages.Overloaded || record.Attempts != 0 {
		t.Fatalf("the younger one: %+v %+v", out, record)
	}
	close(goOn)
	if out := <-running; !out.ended || r.record("old").State != messages.JobDone {
		t.Fatalf("the older one: %+v %+v", out, r.record("old"))
	}
	// Now it is the oldest that runs.
	if out := r.execute(r.lane("third", r.js, second.routes, nil), "young"); !out.ended ||
		r.record("young").State != messages.JobDone {
		t.Fatalf("%+v %+v", out, r.record("young"))
	}
	r.whole("old", 120)
	r.whole("young", 120)
}

// Jobs that fail cost who publishes them nothing: their ends take no more of the stream than
// twice the connection's share, and other connections go on.
func TestEndsKeepToAConnectionsShare(t *testing.T) {
	r := newRig(t)
	const most = 160_000
	r.bound(func(c *jetstream.StreamConfig) { c.MaxBytes = most })
	l := r.lane("one", r.js, only(counter{rows: 10}.route()), nil)
	l.shares.age = 0
	ended, waited := 0, 0
	for i := range 400 {
		id := fmt.Sprint("bad-", i)
		r.publish(someOp, id, `{"encoding":"`+fmt.Sprint(i)+`"}`)
		if out := r.execute(l, id); out.ended {
			ended++
			continue
		}
		record := r.record(id)
		if record.Error == nil || record.Error.Code != messages.Overloaded || record.State != messages.JobQueued {
			t.Fatalf("%+v", record)
		}
		if waited++; waited == 3 {
			break
		}
	}
	stream, err := r.js.Stream(t.Context(), messages.ResultsStream)
	if err != nil {
		t.Fatal(err)
	}
	if used := stream.CachedInfo().State.Bytes; waited == 0 || ended < 20 || used > most*6/10 {
		t.Errorf("%d ended, %d waited, %d of %d bytes", ended, waited, used, most)
	}
}

// What very many small jobs of a connection hold is found out from some of them.
func TestTheShareOfManyJobs(t *testing.T) {
	r := newRig(t)
	js, err := jetstream.New(r.nc, jetstream.WithPublishAsyncMaxPending(1000))
	if err != nil {
		t.Fatal(err)
	}
	const jobs, each, large = 3 * shareRecords, 700, 1 << 20
	patient := jetstream.WithStallWait(time.Minute) // where the server does not keep up
	for i := range jobs {
		record := messages.JobRecord{Form: 1, Job: messages.Job{State: messages.JobFailed, Bytes: each}}
		pages := 1
		if i%1000 == 0 { // a few have nearly everything
			record.Bytes, pages = large, 3
		}
		body, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprint("j", i)
		for range pages {
			if _, err := js.PublishAsync(messages.ResultSubject("acme", id), nil, patient); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := js.PublishAsync(messages.StateSubject("acme", id), body, patient); err != nil {
			t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	l := r.lane("one", r.js, nil, nil)
	held, err := l.shares.of(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	sum := int64(0)
	for _, job := range held {
		sum += job.bytes
	}
	const all = int64(jobs/1000*large + (jobs-jobs/1000)*each)
	if len(held) > shareRecords+1 || sum < all*99/100 || sum > all*101/100 {
		t.Errorf("%d jobs read, %d bytes, want about %d", len(held), sum, all)
	}
}

// Limits of the server on batches: too many open ones are waited for, and a page of too many
// messages is read again with fewer.
func TestLimitsOfBatches(t *testing.T) {
	r := newRigWith(t, func(o *server.Options) {
		o.JetStreamLimits.MaxBatchInflightPerStream = 1
		o.JetStreamLimits.MaxBatchSize = 4
		o.JetStreamLimits.MaxBatchTimeout = time.Second
	})
	open := nats.NewMsg(messages.ResultSubject("globex", "k"))
	open.Header.Set(batchID, "one")
	open.Header.Set(batchSequence, "1")
	if _, err := r.nc.RequestMsgWithContext(t.Context(), open); err != nil {
		t.Fatal(err)
	}
	l := r.lane("one", r.js, only(counter{rows: 50, parts: 6}.route()), nil)
	serve := l.routes[someOp].Serve
	some := l.routes[someOp]
	var asked []int
	some.Serve = func(ctx context.Context, c route.Call, body []byte) route.Answer {
		asked = append(asked, c.Job.MaxParts)
		if c.Job.MaxParts < 6 {
			return counter{rows: 50, parts: c.Job.MaxParts}.route().Serve(ctx, c, body)
		}
		return serve(ctx, c, body)
	}
	l.routes[someOp] = some
	r.publish(someOp, "j", `{}`)
	if out := r.execute(l, "j"); !out.ended {
		t.Fatalf("%+v", out)
	}
	r.whole("j", 50)
	if len(asked) != 2 || asked[1] != 3 {
		t.Errorf("asked with %v", asked)
	}
}

// A stream's own limits are named in the error.
func TestLimitsOfMessages(t *testing.T) {
	r := newRig(t)
	r.bound(func(c *jetstream.StreamConfig) { c.MaxMsgSize = 1000 })
	l := r.lane("one", r.js, only(counter{rows: 50, pad: 4000}.route()), nil)
	r.publish(someOp, "j", `{}`)
	if out := r.execute(l, "j"); !out.ended {
		t.Fatalf("%+v", out)
	}
	if record := r.record("j"); record.Error.Code != messages.TooLarge {
		t.Errorf("%+v", record)
	}
	r.publish(someOp, "k", `{}`)
	l = r.lane("one", r.js, only(counter{rows: 50, pad: int(r.nc.MaxPayload())}.route()), nil)
	if out := r.execute(l, "k"); !out.ended || r.record("k").Error.Code != messages.TooLarge {
		t.Errorf("%+v %+v", out, r.record("k"))
	}
}
