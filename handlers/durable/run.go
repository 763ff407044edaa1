package durable

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/budget"
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
	body        []byte // the operation's request
	options     messages.JobOptions
	incarnation string
	place       []byte // where the operation goes on, nil for the beginning
	maxParts    int

	at    stored // the last stored message
	bytes int64  // what the results take
	rows  int64  // stored by this execution
}

// run executes a claimed job until it has ended, must wait, or is not this process's any
// more. The claim is given up when it returns.
func (l *Lane) run(ctx context.Context, c claimed, turn turnFunc) outcome {
	if c.record.State.Ended() {
		return l.clear(ctx, c)
	}
	ctx, lose := context.WithCancelCause(ctx)
	defer lose(nil)
	x := l.newExecution(c, turn)
	x.hold = l.takeHold(c, lose)
	defer x.hold.stop()
	return x.conclude(ctx, x.proceed(ctx))
}

func (l *Lane) newExecution(c claimed, turn turnFunc) *execution {
	x := &execution{lane: l, key: c.key(), turn: turn, message: c.message, began: time.Now(),
		incarnation: c.record.Incarnation, bytes: c.record.Bytes, maxParts: maxParts}
	x.call = route.Call{Operation: c.record.Operation, RequestID: c.record.RequestID, Connection: x.key.connection,
		Scope: x.key.connection}
	if !messages.ValidRequestID(x.call.RequestID) {
		x.call.RequestID = route.NewRequestID()
	}
	if c.message != nil {
		x.trace = route.Trace(c.message.Header)
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
		if err := x.share(ctx); err != nil {
			return err
		}
		if err := x.serve(ctx); err != nil && !errors.Is(err, errMoved) {
			return err
		}
	}
	return nil
}

// begin finds out where the job stands: from what is stored of its results, and nothing else.
func (x *execution) begin(ctx context.Context) error {
	record := x.hold.known()
	at, unread := x.read(ctx)
	if unread != nil && !errors.Is(unread, errForeign) {
		return unread
	}
	// The connection is asked after the results were read: see dismiss.
	current, err := x.lane.options.Connections.Incarnation(ctx, x.key.connection)
	if err == nil {
		x.incarnation = current
		if unread != nil || at.sequence != 0 && at.incarnation != current {
			at, unread = x.last(ctx)
		}
		err = unread
	} else if x.incarnation = cmp.Or(record.Incarnation, at.incarnation); at.last && at.incarnation == x.incarnation {
		err = nil // whatever becomes of the connection, the job has ended
		current = x.incarnation
	}
	x.at = afterAll(at, record)
	switch {
	case err != nil:
		return err
	case record.Incarnation != "" && record.Incarnation != current:
		// The record is of a connection that is gone, and this job was published since.
		x.forget()
	case at.sequence == 0 && record.Pages > 0:
		return errLost
	}
	x.moveTo(at)
	return nil
}

// afterAll is the place behind everything that is stored, or was.
func afterAll(at stored, record messages.JobRecord) stored {
	if at.page < record.Pages {
		at.page, at.rows = record.Pages, max(at.rows, record.Rows)
	}
	return at
}

// forget takes a record for that of a job that nobody has run.
func (x *execution) forget() {
	x.bytes = 0
	x.note(func(r *messages.JobRecord) {
		r.Pages, r.Rows, r.Bytes, r.Total, r.Attempts, r.Takeovers = 0, 0, 0, nil, 0, 0
	})
}

// moveTo goes to a place that this execution has not stored.
func (x *execution) moveTo(at stored) {
	x.at = at
	x.note(func(r *messages.JobRecord) {
		r.Incarnation, r.RequestID = x.incarnation, x.call.RequestID
		if at.page > r.Pages { // a new page was stored and not noted
			r.Attempts, r.Takeovers = 0, min(r.Takeovers, 1)
		}
		if at.sequence != 0 {
			r.Pages, r.Rows, r.Total = at.page, at.rows, at.total
		}
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
		r.Attempts, r.Takeovers, r.Error = 0, 0, nil
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

// errOverdue: the job's deadline has passed.
var errOverdue = errors.New("the job's deadline has passed")

// permit finds what ends a job before anything is executed.
func (x *execution) permit() error {
	x.call.Deadline = x.message.Time.Add(x.lane.options.JobLifetime)
	header := x.message.Header
	if text := header.Get(messages.HeaderDeadline); text != "" {
		deadline, err := dynamics.ParseTime(text)
		if err != nil {
			return messages.Invalid(messages.HeaderDeadline, "must be an RFC 3339 time such as 2026-01-31T12:00:00Z")
		}
		if deadline.Before(x.call.Deadline) {
			x.call.Deadline = deadline
		}
	}
	if id := header.Get(messages.HeaderRequestID); id != "" && !messages.ValidRequestID(id) {
		return messages.Invalid(messages.HeaderRequestID, "must be 1 to %d printable ASCII characters without spaces",
			messages.MaxRequestID)
	}
	if !time.Now().Before(x.call.Deadline) {
		return errOverdue
	}
	if n := x.hold.known().Takeovers; n >= mostTakeovers {
		return final(messages.Errorf(messages.Internal, "%d processes in a row ended, or stood still, while they ran "+
			"this job, and stored no page of it; it is not tried again", n))
	}
	return nil
}

// errUnknownOperation: the operation is left to processes that know it.
var errUnknownOperation = errors.New("this process does not know the operation")

// prepare reads the job's own options, and takes the memory that its body holds.
func (x *execution) prepare() (*budget.Account, error) {
	var known bool
	if x.route, known = x.lane.routes[x.call.Operation]; !known {
		return nil, errUnknownOperation
	}
	account, err := x.lane.options.Memory.Open(int64(len(x.message.Data)))
	if err != nil {
		return nil, err
	}
	var fault *messages.Error
	if x.options, x.body, fault = messages.SplitJobOptions(x.message.Data); fault != nil {
		account.Close()
		return nil, fault
	}
	return account, nil
}

// resume opens the checkpoint of the last stored page.
func (x *execution) resume() error {
	if x.at.sequence == 0 {
		x.place = nil
		return nil
	}
	point, err := x.lane.open(x.at.checkpoint, x.key, x.incarnation, x.at.page)
	if err != nil {
		return err
	}
	x.place, x.bytes = bytes.Clone(point.place), point.bytes+int64(len(x.at.checkpoint))
	if x.place == nil {
		x.place = []byte{} // a place, and not the beginning
	}
	return nil
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
	ctx = dynamics.WithRequestID(ctx, x.call.RequestID)
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
		if err := x.share(ctx); err != nil {
			return err
		}
	}
	return errors.New("the operation ended without its last part")
}

// takeTurn waits for a turn. Nobody waits meanwhile for the memory that the body holds.
func (x *execution) takeTurn(ctx context.Context) (context.Context, func(), error) {
	defer budget.From(ctx).Pause()()
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
	case errors.Is(err, errNotOurs), errors.Is(err, errOther), errors.Is(err, errNewerForm):
		return outcome{lost: true}
	case errors.Is(err, errStopping), errors.Is(err, errMakeWay), errors.Is(err, errUnknownOperation),
		errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return x.giveBack(ctx, verdict{attempts: x.hold.known().Attempts})
	}
	v := judge(x.classify(ctx, err), x.hold.known().Attempts)
	if !v.final {
		return x.giveBack(ctx, v)
	}
	x.note(func(r *messages.JobRecord) { r.Attempts = v.attempts })
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
		if _, gone := x.lane.options.Connections.Incarnation(ctx, x.key.connection); tokens.CodeOf(gone) ==
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
