package durable

import (
	"context"
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// A job that waits is ended by whoever cancels it, and never runs.
func TestCancelAJobThatWaits(t *testing.T) {
	r := newRig(t)
	l := r.lane("one", r.js, only(counter{rows: 5}.route()), nil)
	r.publish(someOp, "j", `{}`, messages.HeaderRequestID, "req-1", messages.HeaderRetryOf, "before")
	job, err := l.cancelJob(t.Context(), "acme", "j")
	if err != nil || job.State != messages.JobCancelled || job.Rows != 0 || job.Operation != someOp ||
		job.RetryOf != "before" || job.ID != "j" {
		t.Fatalf("%+v, %v", job, err)
	}
	all := r.results("j")
	if len(all) != 1 || all[0].Header.Get(messages.HeaderErrorCode) != "cancelled" ||
		all[0].Header.Get(messages.HeaderLast) != "true" ||
		all[0].Header.Get(messages.HeaderRows) != "0" || all[0].Header.Get(messages.HeaderRequestID) != "req-1" {
		t.Errorf("%+v", all)
	}
	if r.waits("j") || r.dead("j") != nil {
		t.Error("its message or a dead letter is there")
	}
	again, err := l.cancelJob(t.Context(), "acme", "j")
	if err != nil || again.State != messages.JobCancelled || !again.FinishedAt.Equal(*job.FinishedAt) {
		t.Errorf("again: %+v, %v", again, err)
	}
	if _, err := l.cancelJob(t.Context(), "acme", "other"); code(err) != messages.NotFound {
		t.Errorf("a job that is not there: %v", err)
	}
	if _, err := l.cancelJob(t.Context(), "globex", "j"); tokens.CodeOf(err) != tokens.CodeConnectionNotFound {
		t.Errorf("a connection that is not there: %v", err)
	}
}

func code(err error) messages.Code {
	fault, _ := errors.AsType[*messages.Error](err)
	if fault == nil {
		return ""
	}
	return fault.Code
}

// The owner of a job that is cancelled learns of it with its next page at the latest.
func TestCancelARunningJob(t *testing.T) {
	r := newRig(t)
	reads := 0
	var job messages.Job
	other := r.lane("other", r.js, nil, nil)
	l := r.lane("one", r.js, only(counter{rows: 100, read: func(ctx context.Context, from int) (err error) {
		if reads++; from == 30 {
			job, err = other.cancelJob(ctx, "acme", "j")
		}
		return err
	}}.route()), nil)
	r.publish(someOp, "j", `{}`)
	out := r.execute(l, "j")
	if reads != 4 || job.State != messages.JobCancelled || job.Rows != 30 || job.Pages != 4 ||
		out.again.IsZero() == false {
		t.Errorf("%d reads, %+v, %+v", reads, job, out)
	}
	r.whole("j", 30)
	if record := r.record("j"); record.State != messages.JobCancelled || record.Owner != "" || record.Rows != 30 {
		t.Errorf("%+v", record)
	}
}

// A job that ended, but whose process died before it said so, is finished by who cancels it.
func TestCancelAJobWhoseEndIsStored(t *testing.T) {
	r := newRig(t)
	l := r.lane("one", r.js, only(counter{rows: 15}.route()), nil)
	r.publish(someOp, "j", `{}`)
	c, _ := r.claim(l, "j")
	x := l.newExecution(c, freely)
	x.hold = l.takeHold(c, func(error) {})
	if err := x.proceed(t.Context()); err != nil {
		t.Fatal(err)
	}
	x.hold.stop()
	job, err := r.lane("other", r.js, nil, nil).cancelJob(t.Context(), "acme", "j")
	if err != nil || job.State != messages.JobDone || job.Rows != 15 || r.waits("j") {
		t.Errorf("%+v, %v", job, err)
	}
	r.whole("j", 15)
}

// Where the stream takes nothing more a job cannot be cancelled: the answer says what to do, and
// nothing has changed. With room it is.
func TestCancelWhereTheStreamIsFull(t *testing.T) {
	r := newRig(t)
	filler := nats.NewMsg(messages.ResultSubject("globex", "k"))
	filler.Data = make([]byte, 20<<10)
	if _, err := r.js.PublishMsg(t.Context(), filler); err != nil {
		t.Fatal(err)
	}
	r.bound(func(c *jetstream.StreamConfig) { c.MaxBytes = 10 << 10 })
	l := r.lane("one", r.js, only(counter{rows: 10}.route()), quick)
	r.publish(someOp, "j", `{}`)
	_, err := l.cancelJob(t.Context(), "acme", "j")
	if fault := fails(t, err, messages.Overloaded, "jobs.delete"); fault.RetryAfter() <= 0 {
		t.Errorf("%+v", fault)
	}
	if record := r.record("j"); record.State != "" || !r.waits("j") || len(r.results("j")) != 0 {
		t.Errorf("%+v", record)
	}
	r.bound(func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 })
	if job, err := l.cancelJob(t.Context(), "acme", "j"); err != nil || job.State != messages.JobCancelled ||
		r.waits("j") {
		t.Errorf("%+v, %v", job, err)
	}
	r.whole("j", 0)
}
