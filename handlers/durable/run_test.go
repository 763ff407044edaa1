package durable

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

func TestAJobRuns(t *testing.T) {
	r := newRig(t)
	var seen route.Call
	o := counter{rows: 95}.route()
	serve := o.Serve
	o.Serve = func(ctx context.Context, c route.Call, body []byte) route.Answer {
		seen = c
		if got := strings.ReplaceAll(string(body), " ", ""); got != `{"limit":3}` {
			t.Errorf("the operation's body is %s", got)
		}
		return serve(ctx, c, body)
	}
	l := r.lane("one", r.js, only(o), nil)
	deadline := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	job := r.publish(someOp, "j", `{"parallel":false,"limit":3}`, messages.HeaderRequestID, "req-1", "Traceparent",
		"00-a", messages.HeaderDeadline, deadline.Format(time.RFC3339))

	if out := r.execute(l, "j"); !out.ended {
		t.Fatalf("%+v", out)
	}
	r.whole("j", 95)
	all := r.results("j")
	for i, msg := range all {
		last := i == len(all)-1
		if msg.Header.Get(messages.HeaderRequestID) != "req-1" ||
			msg.Header.Get(messages.HeaderTraceParent) != "00-a" ||
			msg.Header.Get(messages.HeaderIncarnation) != "inc-1" ||
			(msg.Header.Get(messages.HeaderCheckpoint) == "") != last {
			t.Errorf("headers of message %d: %v", i+1, msg.Header)
		}
	}
	if !seen.Deadline.Equal(deadline) || seen.Scope != "acme" || seen.Connection != "acme" || !seen.Job.Sequential ||
		seen.Job.ID != "j" || seen.Job.MaxParts != maxParts || seen.Job.Encode != nil {
		t.Errorf("the call is %+v, %+v", seen, seen.Job)
	}
	record := r.record("j")
	if record.State != messages.JobDone || record.Rows != 95 || record.Pages != 10 || record.Owner != "" ||
		record.FinishedAt == nil ||
		record.Bytes < 95 || record.Incarnation != "inc-1" || record.RequestID != "req-1" ||
		record.Digest != digestOf(job.Subject, job.Data) {
		t.Errorf("%+v", record)
	}
	if r.waits("j") || r.dead("j") != nil {
		t.Error("the message or a dead letter is there")
	}
}

type turnKey struct{}

// An operation with one answer: the lane takes its turn, encodes it, and it is the end.
func TestAJobOfOnePart(t *testing.T) {
	r := newRig(t)
	turns, done := 0, 0
	turn := func(ctx context.Context) (context.Context, func(), error) {
		turns++
		return context.WithValue(ctx, turnKey{}, turns), func() { done++ }, nil
	}
	l := r.lane("one", r.js, map[messages.Operation]route.Route{oneOp: {Serve: func(ctx context.Context, c route.Call,
		_ []byte) route.Answer {
		if turns != 1 || done != 0 || ctx.Value(turnKey{}) != 1 {
			t.Error("no turn was taken")
		}
		return route.Answer{Call: c, Parts: func(yield func(route.Part, error) bool) {
			yield(route.Part{Body: []byte(`{"count":` + strings.Repeat("7", 2000) + `}`), Last: true}, nil)
		}}
	}}}, nil)
	r.publish(oneOp, "j", `{"encoding":"zstd"}`)
	c, _ := r.claim(l, "j")
	if out := l.run(t.Context(), c, turn); !out.ended || turns != 1 || done != 1 {
		t.Fatalf("%+v, %d turns, %d done", out, turns, done)
	}
	all := r.results("j")
	if len(all) != 1 || all[0].Header.Get(messages.HeaderContentEncoding) != "zstd" || len(all[0].Data) > 200 {
		t.Fatalf("%d messages, %v", len(all), all[0].Header)
	}
	decoder, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	if body, err := decoder.DecodeAll(all[0].Data, nil); err != nil || !strings.HasPrefix(string(body), `{"count":77`) {
		t.Errorf("%.40s: %v", body, err)
	}
}

// A page of several messages is stored as one batch: the place stands on its last message.
func TestAPageOfSeveralMessages(t *testing.T) {
	r := newRig(t)
	l := r.lane("one", r.js, only(counter{rows: 55, parts: 3}.route()), nil)
	r.publish(someOp, "j", ``)
	if out := r.execute(l, "j"); !out.ended {
		t.Fatalf("%+v", out)
	}
	r.whole("j", 55)
	all := r.results("j")
	if len(all) != 18 {
		t.Fatalf("%d messages", len(all))
	}
	for i, msg := range all[:17] {
		if has := msg.Header.Get(messages.HeaderCheckpoint) != ""; has != (i%3 == 2) {
			t.Errorf("message %d has a checkpoint: %v", i+1, has)
		}
	}
}

// A worker that stands still between reading a page and publishing it, whose successor stored
// other rows under the number: its page is refused, and nothing comes twice.
func TestAStalledWorker(t *testing.T) {
	for _, parts := range []int{1, 3} {
		t.Run(fmt.Sprint(parts), func(t *testing.T) {
			r := newRig(t)
			stalled, goOn := make(chan struct{}), make(chan struct{})
			slow := r.lane("slow", r.js, only(counter{rows: 50, parts: parts,
				read: func(_ context.Context, from int) error {
					if from == 20 {
						close(stalled)
						<-goOn
					}
					return nil
				}}.route()), nil)
			// Its successor's pages have other rows.
			fast := r.lane("fast", r.js, only(counter{rows: 50, parts: parts, size: func() int { return 7 }}.route()),
				nil)
			r.publish(someOp, "j", ``)
			c, _ := r.claim(slow, "j")
			first := make(chan outcome, 1)
			go func() { first <- slow.run(t.Context(), c, freely) }()
			<-stalled
			if out := r.execute(fast, "j"); !out.ended {
				t.Fatalf("%+v", out)
			}
			close(goOn)
			if out := <-first; out.again != (time.Time{}) {
				t.Errorf("the stalled worker says %+v", out)
			}
			r.whole("j", 50)
			if record := r.record("j"); record.State != messages.JobDone || record.Rows != 50 {
				t.Errorf("%+v", record)
			}
		})
	}
}

// Errors: what ends a job at once, what is tried again, and what waits.
func TestWhatErrorsDo(t *testing.T) {
	r := newRig(t)
	fails := func(err error) *Lane {
		return r.lane("one", r.js, only(counter{rows: 30, read: func(_ context.Context, from int) error {
			if from == 20 {
				return err
			}
			return nil
		}}.route()), nil)
	}
	t.Run("final", func(t *testing.T) {
		r.publish(someOp, "final", `{"limit":1}`, messages.HeaderRequestID, "req-2")
		if out := r.execute(fails(messages.Errorf(messages.PermissionDenied, "no")), "final"); !out.ended {
			t.Fatalf("%+v", out)
		}
		r.whole("final", 20)
		record, dead := r.record("final"), r.dead("final")
		if record.State != messages.JobFailed || record.Error == nil ||
			record.Error.Code != messages.PermissionDenied || record.Pages != 3 || record.Rows != 20 {
			t.Errorf("%+v", record)
		}
		if dead == nil || string(dead.Data) != `{"limit":1}` ||
			dead.Header.Get(messages.HeaderErrorCode) != "permission_denied" ||
			dead.Header.Get(messages.HeaderOperation) != string(someOp) ||
			dead.Header.Get(messages.HeaderRequestID) != "req-2" ||
			dead.Header.Get(messages.HeaderIncarnation) != "inc-1" || dead.Header.Get(messages.HeaderAttempts) != "0" {
			t.Fatalf("%+v", dead)
		}
		if r.waits("final") {
			t.Error("its message is there")
		}
	})
	t.Run("counts", func(t *testing.T) {
		r.publish(someOp, "counts", ``)
		for attempt := 1; attempt <= mostAttempts; attempt++ {
			out := r.execute(fails(messages.Errorf(messages.UpstreamError, "odd")), "counts")
			record := r.record("counts")
			if attempt == mostAttempts {
				if !out.ended || record.State != messages.JobFailed ||
					r.dead("counts").Header.Get(messages.HeaderAttempts) != "5" {
					t.Fatalf("%+v %+v", out, record)
				}
				break
			}
			if out.ended || out.lost || record.Attempts != attempt || record.State != messages.JobQueued ||
				record.Owner != "" ||
				record.RetryAt == nil || !out.again.Equal(*record.RetryAt) ||
				record.Error.Code != messages.UpstreamError {
				t.Fatalf("attempt %d: %+v %+v", attempt, out, record)
			}
		}
		r.whole("counts", 20)
	})
	t.Run("waits", func(t *testing.T) {
		r.publish(someOp, "waits", ``)
		for range 2 * mostAttempts {
			out := r.execute(fails(messages.Errorf(messages.Throttled, "slow down").After(10*time.Minute)), "waits")
			record := r.record("waits")
			if wait := time.Until(out.again); out.ended || !out.blocked || record.Attempts != 0 ||
				wait < 9*time.Minute || wait > 10*time.Minute {
				t.Fatalf("%+v %+v", out, record)
			}
		}
		// A new page sets the attempts to 0.
		if out := r.execute(r.lane("two", r.js, only(counter{rows: 30}.route()), nil), "waits"); !out.ended {
			t.Fatalf("%+v", out)
		}
		r.whole("waits", 30)
	})
	t.Run("panic", func(t *testing.T) {
		r.publish(someOp, "panic", ``)
		l := r.lane("one", r.js, only(counter{rows: 30,
			read: func(context.Context, int) error { panic("oh") }}.route()), nil)
		out, record := r.execute(l, "panic"), r.record("panic")
		if out.ended || record.Attempts != 1 || record.Error.Code != messages.Internal {
			t.Fatalf("%+v %+v", out, record)
		}
	})
}

// What ends a job before it is executed.
func TestWhatIsNeverExecuted(t *testing.T) {
	for name, c := range map[string]struct {
		header []string
		body   string
		change func(*Options)
		takes  int
		want   messages.Code
	}{
		"too old": {change: func(o *Options) { o.JobLifetime = time.Nanosecond },
			want: messages.DeadlineExceeded},
		"deadline": {header: []string{messages.HeaderDeadline, "2020-01-01T00:00:00Z"},
			want: messages.DeadlineExceeded},
		"no deadline":    {header: []string{messages.HeaderDeadline, "soon"}, want: messages.InvalidRequest},
		"request id":     {header: []string{messages.HeaderRequestID, "a b"}, want: messages.InvalidRequest},
		"options":        {body: `{"encoding":"rot13"}`, want: messages.InvalidRequest},
		"kills workers":  {takes: mostTakeovers, want: messages.Internal},
		"has killed few": {takes: mostTakeovers - 2, want: ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			executed := false
			l := r.lane("one", r.js, only(counter{rows: 5,
				read: func(context.Context, int) error { executed = true; return nil }}.route()), c.change)
			r.publish(someOp, "j", c.body, c.header...)
			for range c.takes {
				if _, ok := r.claim(r.lane("dead", r.js, nil, nil), "j"); !ok {
					t.Fatal("not claimed")
				}
			}
			if out := r.execute(l, "j"); !out.ended || executed != (c.want == "") {
				t.Fatalf("%+v, executed: %v", out, executed)
			}
			record := r.record("j")
			if c.want == "" {
				return
			}
			r.whole("j", 0)
			if record.State != messages.JobFailed || record.Error.Code != c.want || r.dead("j") == nil || r.waits("j") {
				t.Errorf("%+v", record)
			}
		})
	}
}

// The deadline passes while the job runs.
func TestADeadlineWhileItRuns(t *testing.T) {
	r := newRig(t)
	l := r.lane("one", r.js, only(counter{rows: 50, read: func(ctx context.Context, from int) error {
		if from == 20 {
			<-ctx.Done()
			return errors.New("the call was cut short")
		}
		return nil
	}}.route()), nil)
	r.publish(someOp, "j", ``, messages.HeaderDeadline, time.Now().Add(300*time.Millisecond).Format(time.RFC3339Nano))
	if out := r.execute(l, "j"); !out.ended {
		t.Fatalf("%+v", out)
	}
	r.whole("j", 20)
	if record := r.record("j"); record.Error.Code != messages.DeadlineExceeded || r.dead("j") == nil {
		t.Errorf("%+v", record)
	}
}

// A process that stops, or whose job makes way, gives the claim back, and whoever takes it
// goes on from the last stored page.
func TestAClaimIsGivenBack(t *testing.T) {
	for _, cause := range []error{errStopping, errMakeWay} {
		r := newRig(t)
		ctx, stop := context.WithCancelCause(t.Context())
		l := r.lane("one", r.js, only(counter{rows: 50, read: func(ctx context.Context, from int) error {
			if from == 30 {
				stop(cause)
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}}.route()), nil)
		r.publish(someOp, "j", ``)
		c, _ := r.claim(l, "j")
		out, record := l.run(ctx, c, freely), r.record("j")
		if out != (outcome{}) || record.State != messages.JobQueued || record.Owner != "" || record.Attempts != 0 ||
			record.Rows != 30 || record.RetryAt != nil {
			t.Fatalf("%+v %+v", out, record)
		}
		if out := r.execute(r.lane("two", r.js, only(counter{rows: 50}.route()), nil), "j"); !out.ended {
			t.Fatalf("%+v", out)
		}
		r.whole("j", 50)
		if record := r.record("j"); record.Takeovers != 0 {
			t.Errorf("%+v", record)
		}
	}
}

// Results that are gone are not begun again.
func TestResultsThatAreGone(t *testing.T) {
	for name, c := range map[string]struct {
		connected bool
		during    bool
		want      messages.Code
	}{
		"lost between": {true, false, messages.Internal},
		"lost during":  {true, true, messages.Internal},
		"deleted":      {false, false, messages.ConnectionNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			purge := func() {
				stream, err := r.js.Stream(t.Context(), messages.ResultsStream)
				if err != nil {
					t.Fatal(err)
				}
				if err := stream.Purge(t.Context(),
					jetstream.WithPurgeSubject(messages.ResultSubject("acme", "j"))); err != nil {
					t.Fatal(err)
				}
			}
			stops := errors.New("")
			l := r.lane("one", r.js, only(counter{rows: 50, read: func(ctx context.Context, from int) error {
				if from == 30 {
					if purge(); !c.during {
						return messages.Errorf(messages.Throttled, "later").Because(stops)
					}
				}
				return nil
			}}.route()), nil)
			r.publish(someOp, "j", ``)
			out := r.execute(l, "j")
			if !c.during {
				if !c.connected {
					r.connections.set("acme", "")
				}
				out = r.execute(l, "j")
			}
			all, record := r.results("j"), r.record("j")
			if !out.ended || len(all) != 1 || all[0].Header.Get(messages.HeaderPage) != "4" ||
				all[0].Header.Get(messages.HeaderLast) != "true" ||
				all[0].Header.Get(messages.HeaderErrorCode) != string(c.want) || record.State != messages.JobFailed ||
				record.Rows != 30 {
				t.Errorf("%+v, %d messages, %+v", out, len(all), record)
			}
		})
	}
}

// An end that does not fit in full is shortened.
func TestALongErrorOnASmallServer(t *testing.T) {
	fault := messages.Errorf(messages.PermissionDenied, "%s", strings.Repeat("long ", 1000))
	fault.Details = []messages.Detail{{Path: strings.Repeat("p", 500), Message: strings.Repeat("m", 4000)}}
	r := newRig(t)
	l := r.lane("one", r.js, only(counter{rows: 5, read: func(context.Context, int) error { return fault }}.route()),
		nil)
	r.publish(someOp, "j", ``)
	if out := r.execute(l, "j"); !out.ended {
		t.Fatalf("%+v", out)
	}
	if msg := r.of(messages.StateStream, messages.StateSubject("acme", "j")); len(msg.Data) > messages.MaxJobRecord ||
		!json.Valid(msg.Data) {
		t.Errorf("the record has %d bytes", len(msg.Data))
	}
}

// On a server with a small max_payload a body of the whole budget fits, with the longest
// headers that a requester can send.
func TestTheBudgetOfABody(t *testing.T) {
	for _, most := range []int32{4 << 10, 64 << 10, 1 << 20} {
		r := newRigWith(t, func(o *server.Options) { o.MaxPayload = most })
		budget := 0
		l := r.lane("one", r.js, only(route.Route{Pages: true,
			Serve: func(_ context.Context, c route.Call, _ []byte) route.Answer {
				budget = c.Budget
				total := int64(1 << 60)
				place := make([]byte, min(int(most)/8, 20<<10))
				_, _ = rand.Read(place)
				return route.Answer{Call: c, Parts: func(yield func(route.Part, error) bool) {
					part := route.Part{Body: numbers(0, 1, 0), Rows: 1, Total: &total, Encoded: true}
					part.Body = append(part.Body, strings.Repeat(" ", c.Budget-len(part.Body))...)
					first, again := part, part
					again.Place = func() ([]byte, error) { return place, nil }
					part.Last, part.Body, part.Rows = true, numbers(2, 1, 0), 1
					again.Body = append(numbers(1, 1, 0), strings.Repeat(" ", c.Budget-len(numbers(1, 1, 0)))...)
					_ = yield(first, nil) && yield(again, nil) && yield(part, nil)
				}}
			}}), nil)
		r.publish(someOp, "j", ``, messages.HeaderRequestID, strings.Repeat("r", messages.MaxRequestID),
			messages.HeaderTraceParent, strings.Repeat("p", 60), messages.HeaderTraceState, strings.Repeat("s", 512))
		if out := r.execute(l, "j"); !out.ended || r.record("j").State != messages.JobDone {
			t.Fatalf("max_payload %d, budget %d: %+v %+v", most, budget, out, r.record("j").Error)
		}
		r.whole("j", 3)
		if least := int(most)/2 - 2000; budget < least {
			t.Errorf("max_payload %d: a body may have %d bytes", most, budget)
		}
	}
}
