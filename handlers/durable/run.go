package durable

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/budget"
	"github.com/crmbridge/crmbridge/handlers/measure"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// A turnFunc is [route.Job.Turn].
type turnFunc func(context.Context) (context.Context, func(), error)

// An execution is one run of a job, from its last stored page to its end, or until it must
// wait.
type execution struct {
	lane    *Lane
	key     jobKey
	hold    *hold // nil for whoever ends a job that is not its own
	turn    turnFunc
	message *jetstream.RawStreamMsg // the job; nil where it is gone
	began   time.Time

	route       route.Route
	call        route.Call
	trace       route.Header
	span        trace.Span // of this run, nil where none is made
	code        string     // that the run came to, "" where the job goes on elsewhere or later
	body        []byte     // the operation's request
	options     messages.JobOptions
	incarnation string
	place       []byte // where the operation goes on, nil for the beginning
	maxParts    int

	first *looked // what the claim found of the results, for the first reading
	at    stored  // the last stored message
	bytes int64   // what the results take
	rows  int64   // stored by this execution
}

// run executes a claimed job until it has ended, must wait, or is not this process's any
// more. The claim is given up when it returns.
func (l *Lane) run(ctx context.Context, c claimed, turn turnFunc) outcome {
	if c.record.State.Ended() {
		return l.clear(ctx, c)
	}
	c.record = sane(c.record)
	ctx, lose := context.WithCancelCause(ctx)
	defer lose(nil)
	x := l.newExecution(c, turn)
	ctx = x.startSpan(ctx)
	defer x.endSpan()
	x.hold = l.takeHold(c, lose)
	defer x.hold.stop()
	defer l.shares.ran(x.key)
	return x.conclude(ctx, x.proceed(ctx))
}

func (l *Lane) newExecution(c claimed, turn turnFunc) *execution {
	x := &execution{lane: l, key: c.key(), turn: turn, message: c.message, first: c.results, began: time.Now(),
		incarnation: c.record.Incarnation, bytes: c.record.Bytes, maxParts: maxParts}
	x.call = route.Call{Operation: c.record.Operation, RequestID: c.record.RequestID, Connection: x.key.connection,
		Scope: x.key.connection}
	if c.message != nil {
		x.trace = route.Trace(c.message.Header)
		if id := c.message.Header.Get(messages.HeaderRequestID); messages.ValidRequestID(id) {
			x.call.RequestID = id
		}
	}
	if !messages.ValidRequestID(x.call.RequestID) {
		x.call.RequestID = route.NewRequestID(time.Now())
	}
	x.call.Budget = x.budget()
	return x
}

// proceed takes a job from its last stored page as far as it comes. Without an error the end
// of the job is stored.
func (x *execution) proceed(ctx context.Context) error {
	if err := x.begin(ctx); err != nil || x.at.last {
		return err
	}
	if err := x.permit(); err != nil {
		return err
	}
	account, err := x.prepare()
	if err != nil {
		return err
	}
	defer account.Close()
	ctx, cancel := context.WithDeadlineCause(budget.With(ctx, account), x.call.Deadline, errOverdue)
	defer cancel()
	for !x.at.last {
		if err := x.resume(); err != nil {
			return err
		}
		if err := x.share(ctx, false); err != nil {
			return err
		}
		if err := x.serve(ctx); err != nil && !errors.Is(err, errMoved) {
			return err
		}
	}
	return nil
}

// moveTo goes to a place that this execution has not stored.
func (x *execution) moveTo(at stored) {
	x.at = at
	x.note(func(r *messages.JobRecord) {
		r.Incarnation, r.RequestID = x.incarnation, x.call.RequestID
		if at.sequence == 0 || at.last {
			return // what an end says is noted when it is finished
		}
		if at.page > r.Pages { // a new page was stored and not noted
			r.Attempts, r.Takeovers = 0, min(r.Takeovers, 1)
		}
		r.Pages, r.Rows, r.Total = at.page, at.rows, at.total
	})
}

// advance notes a page that is stored.
func (x *execution) advance(p page, sequence uint64) {
	x.bytes += p.size
	x.rows += p.rows
	x.at = stored{sequence: sequence, page: x.at.page + len(p.messages), rows: x.at.rows + p.rows, last: p.last,
		code:  messages.Code(p.messages[len(p.messages)-1].Header.Get(messages.HeaderErrorCode)),
		total: p.total, incarnation: x.incarnation, checkpoint: p.checkpoint, size: p.size, time: time.Now()}
	if end := p.messages[len(p.messages)-1]; x.at.code != "" {
		x.at.data = end.Data
	}
	x.lane.metrics.pages.Add(float64(len(p.messages)))
	x.note(func(r *messages.JobRecord) {
		r.Pages, r.Rows, r.Bytes, r.Total = x.at.page, x.at.rows, x.bytes, p.total
		if !p.last { // an end says how it came to that
			r.Attempts, r.Takeovers, r.Error = 0, 0, nil
		}
	})
}

// note changes what the job's record says with its next write.
func (x *execution) note(change func(*messages.JobRecord)) {
	if x.hold != nil {
		x.hold.note(change)
	}
}

// fresh is an error where the job may be another's by now.
func (x *execution) fresh(ctx context.Context) error {
	if x.hold == nil {
		return nil
	}
	return x.hold.fresh(ctx)
}

// serve has the operation read what follows on the last stored page, and stores it. A panic
// in the operation is an error like any other.
func (x *execution) serve(ctx context.Context) error {
	err := dynamics.Guard(func() error { return x.pages(ctx) })()
	if fault, ok := errors.AsType[*dynamics.Panic](err); ok {
		x.lane.log.Error("operation panicked", "operation", x.call.Operation, "request_id", x.call.RequestID,
			"job", x.key.id, "panic", fault.Kind, "stack", fault.Stack)
		return messages.Errorf(messages.Internal,
			"crmbridge failed on this request; its log tells more under this request id")
	}
	return err
}

func (x *execution) pages(ctx context.Context) error {
	ctx = measure.WithTrace(dynamics.WithRequestID(ctx, x.call.RequestID), x.trace)
	if !x.route.Pages {
		page, done, err := x.takeTurn(ctx)
		if err != nil {
			return err
		}
		defer done()
		ctx = page
	}
	call := x.call
	call.Job = &route.Job{ID: x.key.id, Incarnation: x.incarnation, From: x.place, MaxParts: x.maxParts,
		Sequential: x.options.Parallel != nil && !*x.options.Parallel, Encode: x.encoder(), Turn: x.takeTurn}
	var parts []route.Part
	for part, err := range x.route.Serve(ctx, call, x.body).Parts {
		if err == nil {
			part, err = x.encode(part)
		}
		if err != nil {
			return err
		}
		parts = append(parts, part)
		if part.Place == nil && !part.Last {
			if len(parts) == mostBatch {
				return final(messages.Errorf(messages.Internal, "a page takes more than %d messages", mostBatch))
			}
			continue
		}
		p, err := x.page(parts)
		if err != nil {
			return err
		}
		if err := x.store(ctx, p); err != nil || part.Last {
			return err
		}
		parts = parts[:0]
		if err := x.share(ctx, false); err != nil {
			return err
		}
	}
	return errors.New("the operation ended without its last part")
}

// takeTurn waits for a turn. Nobody waits meanwhile for the memory that the body holds.
func (x *execution) takeTurn(ctx context.Context) (context.Context, func(), error) {
	defer budget.From(ctx).Pause()()
	defer x.step(ctx, "wait for a place", trace.SpanKindInternal)()
	return x.turn(ctx)
}

// conclude ends a job, gives it back, or lets go of it, as the error of its execution says.
func (x *execution) conclude(ctx context.Context, err error) outcome {
	if cause := context.Cause(ctx); cause != nil && err != nil {
		err = cause // whatever it looked like to the operation
	}
	switch {
	case err == nil:
		return x.finish(ctx)
	case errors.Is(err, errNotOurs), errors.Is(err, errOther):
		return outcome{lost: true}
	case errors.Is(err, errNewerForm), errors.Is(err, errUnknownOperation): // for newer processes
		return x.giveBack(ctx, verdict{attempts: x.hold.known().Attempts, after: waitRetry})
	case errors.Is(err, errStopping), errors.Is(err, errMakeWay), ctx.Err() != nil:
		return x.giveBack(ctx, verdict{attempts: x.hold.known().Attempts})
	}
	v := judge(x.classify(ctx, err), x.hold.known().Attempts)
	if !v.final {
		return x.giveBack(ctx, v)
	}
	x.note(func(r *messages.JobRecord) { r.Attempts = v.attempts })
	if err := x.share(ctx, true); err != nil {
		return x.unended(ctx, err)
	}
	if err := x.fail(ctx, v.fault); err != nil {
		return x.unended(ctx, err)
	}
	return x.finish(ctx)
}

// classify makes an execution's error that of the job.
func (x *execution) classify(ctx context.Context, err error) *messages.Error {
	switch {
	case errors.Is(err, errOverdue), !x.call.Deadline.IsZero() && !time.Now().Before(x.call.Deadline):
		return final(messages.Errorf(messages.DeadlineExceeded, "the job was not done by its deadline, %s",
			x.call.Deadline.UTC().Format(time.RFC3339)).Because(err))
	case errors.Is(err, errLost):
		if _, gone := x.lane.incarnation(ctx, x.key.connection); tokens.CodeOf(gone) ==
			tokens.CodeConnectionNotFound {
			return route.Classify(ctx, false, gone)
		}
		return final(messages.Errorf(messages.Internal, "results were lost: %d messages of them were stored, and "+
			"none is there any more", x.at.page).Because(err))
	case errors.Is(err, errUnreadable), errors.Is(err, errForeign):
		return final(messages.Errorf(messages.Internal, "crmbridge cannot go on from the last stored page").Because(err))
	}
	return route.Classify(ctx, false, err)
}
