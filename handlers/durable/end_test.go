package durable

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// A process dies between any two steps of an end: whoever takes the job over does the others,
// and executes nothing.
func TestACrashBetweenTheStepsOfAnEnd(t *testing.T) {
	steps := []func(context.Context, *execution) error{
		func(ctx context.Context, x *execution) error { return x.deadLetter(ctx) },
		func(ctx context.Context, x *execution) error { _, _, err := x.recordEnd(ctx); return err },
		func(ctx context.Context, x *execution) error {
			return deleteMessage(ctx, x.lane.js, messages.JobsStream, x.message.Sequence)
		},
	}
	for done := range len(steps) + 1 {
		t.Run(fmt.Sprint("after ", done), func(t *testing.T) {
			r := newRig(t)
			l := r.lane("one", r.js, only(counter{rows: 50, read: func(_ context.Context, from int) error {
				if from == 20 {
					return messages.Errorf(messages.CursorExpired, "too old")
				}
				return nil
			}}.route()), nil)
			r.publish(someOp, "j", `{"limit":7}`)
			c, _ := r.claim(l, "j")
			x := l.newExecution(c, freely)
			x.hold = l.takeHold(c, func(error) {})
			err := x.proceed(t.Context())
			if err := x.fail(t.Context(), x.classify(t.Context(), err)); err != nil {
				t.Fatal(err)
			}
			x.hold.stop()
			for _, step := range steps[:done] {
				if err := step(t.Context(), x); err != nil {
					t.Fatal(err)
				}
			}
			if r.waits("j") != (done < 3) {
				t.Fatal("the message is not as it should be")
			}
			next := r.lane("two", r.js, only(counter{rows: 50, read: func(context.Context, int) error {
				t.Error("the job was executed again")
				return nil
			}}.route()), nil)
			if done < 3 {
				if out := r.execute(next, "j"); !out.ended {
					t.Fatalf("%+v", out)
				}
			}
			r.whole("j", 20)
			record, dead := r.record("j"), r.dead("j")
			if record.State != messages.JobFailed || record.Error.Code != messages.CursorExpired ||
				record.Error.Message != "too old" || record.Rows != 20 ||
				record.Pages != 3 || dead == nil || string(dead.Data) != `{"limit":7}` || r.waits("j") ||
				record.Bytes == 0 {
				t.Errorf("%+v, %+v", record, dead)
			}
		})
	}
}

// A job that was published again after it ended, or whose message was not deleted, goes.
func TestARecordThatSaysEnded(t *testing.T) {
	r := newRig(t)
	l := r.lane("one", r.js, only(counter{rows: 5}.route()), nil)
	r.publish(someOp, "j", `{}`)
	r.execute(l, "j")
	r.publish(someOp, "j", `{}`)
	if out := r.execute(l, "j"); !out.ended || r.waits("j") {
		t.Fatalf("%+v", out)
	}
	r.whole("j", 5)

	// The record is of a connection that is gone: the job is another one.
	r.publish(someOp, "j", `{}`)
	r.connections.set("acme", "inc-2")
	if out := r.execute(l, "j"); out != (outcome{}) || !r.waits("j") {
		t.Fatalf("%+v", out)
	}
	if out := r.execute(l, "j"); !out.ended {
		t.Fatalf("%+v", out)
	}
	all := r.results("j")
	if end := all[len(all)-1]; end.Header.Get(messages.HeaderIncarnation) != "inc-2" ||
		end.Header.Get(messages.HeaderPage) != "1" {
		t.Errorf("%+v", end.Header)
	}

	// Redis is away: the job is looked at again.
	r.publish(someOp, "j", `{}`)
	r.connections.err = &tokens.Error{Code: tokens.CodeUnavailable, Err: tokens.ErrRedis}
	if out := r.execute(l, "j"); out.ended || out.lost || out.again.IsZero() || !r.waits("j") {
		t.Errorf("%+v", out)
	}
}

// What a stalled worker of a deleted connection left is not among the results of the
// connection that was made under its id.
func TestWhatIsOfAnotherIncarnation(t *testing.T) {
	r := newRig(t)
	old := r.lane("old", r.js, nil, nil)
	r.publish(someOp, "j", `{}`)
	x := old.newExecution(claimed{record: messages.JobRecord{Job: messages.Job{ID: "j", Connection: "acme",
		Operation: someOp}},
		message: r.of(messages.JobsStream, someOp.JobSubject("acme", "j"))}, freely)
	stale := func(part route.Part) {
		x.incarnation, x.at = "inc-0", stored{}
		p, err := x.page([]route.Part{part})
		if err != nil {
			t.Fatal(err)
		}
		for {
			last := r.of(messages.ResultsStream, messages.ResultSubject("acme", "j"))
			at := uint64(0)
			if last != nil {
				at = last.Sequence
			}
			if _, err := publishGuarded(t.Context(), r.js, p.messages[0], at); err == nil {
				return
			}
		}
	}
	stale(route.Part{Body: numbers(7, 3, 0), Rows: 3, Last: true})
	letter := nats.NewMsg(messages.DeadSubject("acme", "j"))
	letter.Header.Set(messages.HeaderIncarnation, "inc-0")
	if _, err := r.js.PublishMsg(t.Context(), letter); err != nil {
		t.Fatal(err)
	}
	l := r.lane("one", r.js, only(counter{rows: 50, read: func(_ context.Context, from int) error {
		switch from {
		case 20: // while the page is read
			stale(route.Part{Body: numbers(0, 3, 0), Rows: 3,
				Place: func() ([]byte, error) { return []byte("3"), nil }})
		case 40:
			return messages.Errorf(messages.NotFound, "no")
		}
		return nil
	}}.route()), nil)
	if out := r.execute(l, "j"); !out.ended {
		t.Fatalf("%+v", out)
	}
	r.whole("j", 40)
	for _, msg := range append(r.results("j"), r.dead("j")) {
		if msg.Header.Get(messages.HeaderIncarnation) != "inc-1" {
			t.Errorf("%+v", msg)
		}
	}

	// It is this process that is left over: it stops without a word.
	r.publish(someOp, "k", `{}`)
	c, _ := r.claim(l, "k")
	left := r.lane("left", r.js, only(counter{rows: 50, read: func(_ context.Context, from int) error {
		if from == 20 {
			r.connections.set("acme", "inc-2")
			msg := nats.NewMsg(messages.ResultSubject("acme", "k"))
			msg.Header.Set(messages.HeaderIncarnation, "inc-2")
			msg.Header.Set(messages.HeaderPage, "1")
			msg.Header.Set(messages.HeaderRows, "0")
			if _, err := r.js.PublishMsg(t.Context(), msg); err != nil {
				t.Fatal(err)
			}
		}
		return nil
	}}.route()), nil)
	// What this process remembers of the connection is no reason to delete anything.
	left.options.Connections = remembers("inc-1")
	if out := left.run(t.Context(), c, freely); !out.lost {
		t.Errorf("%+v", out)
	}
	if all := r.results("k"); all[len(all)-1].Header.Get(messages.HeaderIncarnation) != "inc-2" || len(all) != 3 {
		t.Errorf("%d messages", len(all))
	}
}

// remembers is a cache that has not heard of a change.
type remembers string

func (r remembers) Incarnation(context.Context, string) (string, error) { return string(r), nil }

// Redis is away when the job begins: it waits, and that counts as nothing.
func TestRedisIsAway(t *testing.T) {
	r := newRig(t)
	l := r.lane("one", r.js, only(counter{rows: 5}.route()), nil)
	r.publish(someOp, "j", ``)
	r.connections.err = &tokens.Error{Code: tokens.CodeUnavailable, Message: "Redis cannot be reached",
		Retryable: true, Err: tokens.ErrRedis}
	out, record := r.execute(l, "j"), r.record("j")
	if out.ended || out.again.IsZero() || record.Attempts != 0 || record.State != messages.JobQueued ||
		record.Error.Code != messages.Unavailable {
		t.Errorf("%+v %+v", out, record)
	}
	r.connections.err = nil
	if out := r.execute(l, "j"); !out.ended {
		t.Errorf("%+v", out)
	}
	r.whole("j", 5)
}

// A request that leaves no room for the headers of a dead letter has none, rather than half.
func TestADeadLetterThatDoesNotFit(t *testing.T) {
	r := newRig(t)
	l := r.lane("one", r.js, only(counter{rows: 5, read: func(context.Context, int) error {
		return messages.Errorf(messages.PermissionDenied, "%s", strings.Repeat("no ", 300))
	}}.route()), nil)
	most := int(r.nc.MaxPayload())
	for _, c := range []struct {
		id   string
		room int
		has  bool
	}{{"fits", 600, true}, {"does-not", 50, false}} {
		r.publish(someOp, c.id, `{"where":"`+strings.Repeat("x", most-c.room-12)+`"}`)
		if out := r.execute(l, c.id); !out.ended {
			t.Fatalf("%s: %+v", c.id, out)
		}
		if dead := r.dead(c.id); (dead != nil) != c.has {
			t.Errorf("%s: %v", c.id, dead != nil)
		}
	}
}

// A heartbeat whose answer was lost is recognised; another's record ends the hold.
func TestHolds(t *testing.T) {
	r := newRig(t)
	l := r.lane("one", r.js, nil, func(o *Options) { o.Heartbeat = time.Hour })
	r.publish(someOp, "j", ``)
	c, _ := r.claim(l, "j")
	var lost error
	h := l.takeHold(c, func(cause error) { lost = cause })
	defer h.stop()
	// The same write, stored without an answer.
	if _, err := l.ledger.write(t.Context(), h.known(), h.at); err != nil {
		t.Fatal(err)
	}
	if err := h.write(t.Context(), func(*messages.JobRecord) {}); err != nil || lost != nil {
		t.Fatalf("%v, %v", err, lost)
	}
	// A heartbeat, stored without an answer, before the write that gives the claim back.
	if _, err := l.ledger.write(t.Context(), h.known(), h.at); err != nil {
		t.Fatal(err)
	}
	back := func(r *messages.JobRecord) { r.State, r.Owner = messages.JobQueued, "" }
	if err := h.write(t.Context(), back); err != nil || r.record("j").Owner != "" ||
		r.record("j").State != messages.JobQueued {
		t.Fatalf("%v, %+v", err, r.record("j"))
	}
	// Another process takes it.
	if _, ok := r.claim(r.lane("two", r.js, nil, nil), "j"); !ok {
		t.Fatal("not claimed")
	}
	if err := h.write(t.Context(), func(*messages.JobRecord) {}); err == nil || lost == nil {
		t.Errorf("%v, %v", err, lost)
	}
	if err := h.fresh(t.Context()); err == nil {
		t.Error("it is fresh")
	}
}

// A process that stood still for longer than its lease asks before it publishes.
func TestAStaleHoldIsRenewedFirst(t *testing.T) {
	r := newRig(t)
	l := r.lane("one", r.js, nil, func(o *Options) { o.Heartbeat = time.Hour })
	r.publish(someOp, "j", ``)
	c, _ := r.claim(l, "j")
	c.since = time.Now().Add(-time.Minute)
	h := l.takeHold(c, func(error) {})
	defer h.stop()
	before := r.record("j").Beat
	if err := h.fresh(t.Context()); err != nil || r.record("j").Beat != before+1 {
		t.Errorf("%v, beat %d after %d", err, r.record("j").Beat, before)
	}
	if err := h.fresh(t.Context()); err != nil || r.record("j").Beat != before+1 {
		t.Errorf("%v: a fresh one is renewed", err)
	}
}

// A message that is deleted twice is as good as deleted, on one server and on three.
func TestDeletingTwice(t *testing.T) {
	t.Parallel()
	rigs := map[string]func(testing.TB) *rig{"one server": newRig, "three servers": clusterRig}
	if testing.Short() {
		delete(rigs, "three servers") // which have to find a leader for each stream
	}
	for name, make := range rigs {
		t.Run(name, func(t *testing.T) {
			r := make(t)
			job := r.publish(someOp, "j", `{}`)
			for range 2 {
				if err := deleteMessage(t.Context(), r.js, messages.JobsStream, job.Sequence); err != nil {
					t.Error(err)
				}
			}
			if err := deleteMessage(t.Context(), r.js, messages.JobsStream, job.Sequence+1000); err != nil {
				t.Error(err)
			}
			if err := deleteMessage(t.Context(), r.js, "CRM_NONE", 1); err == nil {
				t.Error("a stream that is not there is no error")
			}
		})
	}
}
