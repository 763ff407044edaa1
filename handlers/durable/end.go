package durable

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// mostEnds is how often an end is published again because a page came first.
const mostEnds = 50

// fail stores an error as the end of the job. Where another end is stored already, that one
// counts: x.at is the end then.
func (x *execution) fail(ctx context.Context, fault *messages.Error) error {
	for range mostEnds {
		p, err := x.errorPage(fault)
		if err != nil {
			return err
		}
		err = x.store(ctx, p)
		switch {
		case err == nil, errors.Is(err, errMoved) && x.at.last:
			return nil
		case !errors.Is(err, errMoved) && !errors.Is(err, errLost):
			return err
		}
	}
	return messages.Errorf(messages.Unavailable, "the job's pages come faster than its end can be stored; try again")
}

// errorPage is the page that ends a job with an error.
func (x *execution) errorPage(fault *messages.Error) (page, error) {
	msg := x.resultMessage(x.at.page+1, x.at.rows, route.Part{})
	msg.Header.Set(messages.HeaderLast, "true")
	body, err := route.ErrorMessage(x.call, msg.Header, fault, int(x.lane.js.Conn().MaxPayload())-guardRoom)
	if err != nil {
		return page{}, err
	}
	msg.Data = body
	return page{messages: []*nats.Msg{msg}, total: x.at.total, last: true,
		size: int64(route.HeaderSize(msg.Header) + len(body))}, nil
}

// finish does what follows on a stored end, one step after the other: the dead letter of a
// job that failed, its record, and last its message. Each can be done again, so that whoever
// takes the job over finishes what was not.
func (x *execution) finish(ctx context.Context) outcome {
	if x.hold != nil {
		x.hold.stop()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), x.lane.options.Lease)
	defer cancel()
	if _, err := x.settle(ctx); err != nil {
		return outcome{lost: true}
	}
	return outcome{ended: true}
}

// settle is finish, and returns the record as it is stored.
func (x *execution) settle(ctx context.Context) (messages.JobRecord, error) {
	var record messages.JobRecord
	if x.at.state() == messages.JobFailed && x.message != nil {
		if err := x.fresh(ctx); err != nil {
			return record, err
		}
		if err := persist(ctx, func() error { return x.deadLetter(ctx) }); err != nil {
			return record, err
		}
	}
	record, first, err := x.recordEnd(ctx)
	if err != nil {
		return record, err
	}
	if first {
		x.report(route.Level(x.at.fault()), "job ended", x.at.fault())
		x.lane.metrics.ended(x, record)
	}
	if x.message == nil {
		return record, nil
	}
	return record, persist(ctx, func() error {
		return deleteMessage(ctx, x.lane.js, messages.JobsStream, x.message.Sequence)
	})
}

// persist does something until it succeeds or ctx ends.
func persist(ctx context.Context, step func() error) error {
	for {
		err := step()
		if err == nil || ctx.Err() != nil {
			return err
		}
		pause(ctx, apiAgain)
	}
}

// deadLetter stores the job's request among those of jobs that failed, unless it is there.
func (x *execution) deadLetter(ctx context.Context) error {
	var last uint64
	for {
		msg := x.letter()
		if msg == nil {
			return nil
		}
		_, err := publishGuarded(ctx, x.lane.js, msg, last)
		x.lane.standing.refused.wrote(messages.DeadStream, err)
		if !errors.Is(err, errConflict) {
			return err
		}
		there, err := lastOf(ctx, x.lane.js, messages.DeadStream, msg.Subject)
		switch {
		case err != nil:
			return err
		case there == nil:
			last = 0
		case there.Header.Get(messages.HeaderIncarnation) == x.incarnation:
			return nil
		default: // of a connection of the same id that is gone
			last = there.Sequence
		}
	}
}

// letter is the dead letter. It has the whole request or is not made: half of one would be
// another request when it is sent again.
func (x *execution) letter() *nats.Msg {
	fault, record := x.at.fault(), messages.JobRecord{}
	if x.hold != nil {
		record = x.hold.known()
	}
	msg := nats.NewMsg(messages.DeadSubject(x.key.connection, x.key.id))
	msg.Data = x.message.Data
	for _, room := range []int{512, 0} {
		route.ErrorHeader(msg.Header, fault, room)
		msg.Header.Set(messages.HeaderOperation, string(x.call.Operation))
		msg.Header.Set(messages.HeaderRequestID, x.call.RequestID)
		msg.Header.Set(messages.HeaderAttempts, strconv.Itoa(record.Attempts))
		if x.incarnation != "" {
			msg.Header.Set(messages.HeaderIncarnation, x.incarnation)
		}
		if int64(route.HeaderSize(msg.Header)+len(msg.Data)+guardRoom) <= x.lane.js.Conn().MaxPayload() {
			return msg
		}
	}
	x.lane.log.Warn("a job that failed has no dead letter: with its headers the request is larger than the NATS "+
		"server takes in one message", "operation", x.call.Operation, "connection", x.key.connection, "job", x.key.id,
		"bytes", len(msg.Data))
	return nil
}

// recordEnd has the record say what the stored end says. first is false where it did already.
func (x *execution) recordEnd(ctx context.Context) (record messages.JobRecord, first bool, err error) {
	if x.hold == nil {
		return x.recordOther(ctx)
	}
	if err = x.hold.write(ctx, x.ended); err == nil {
		return x.hold.known(), true, nil
	}
	// Whoever ends a job early writes its record too.
	found, _, again := x.lane.ledger.read(ctx, x.key.connection, x.key.id)
	if again == nil && found.State.Ended() && found.Incarnation == x.incarnation {
		return found, false, nil
	}
	return record, false, err
}

// recordOther is recordEnd of a job that is not this process's.
func (x *execution) recordOther(ctx context.Context) (record messages.JobRecord, first bool, err error) {
	err = persist(ctx, func() (err error) {
		var at uint64
		if record, at, err = x.lane.ledger.read(ctx, x.key.connection, x.key.id); err != nil {
			return err
		}
		if record.State.Ended() && record.Incarnation == x.incarnation || at == 0 && x.message == nil {
			return nil // or everything of it is purged
		}
		record = sane(x.named(record))
		x.ended(&record)
		_, err = x.lane.ledger.write(ctx, record, at)
		first = err == nil
		return err
	})
	return record, first, err
}

// ended changes a record to that of a job with the stored end.
func (x *execution) ended(r *messages.JobRecord) {
	finished := x.at.time.UTC()
	if missing := int64(x.at.page - r.Pages); missing > 0 {
		// Another process stored them and did not come to say how long they are: as long as
		// the others.
		each := x.at.size
		if r.Pages > 0 {
			each = max(each, r.Bytes/int64(r.Pages))
		}
		r.Bytes += missing * each
	}
	r.State, r.Owner, r.RetryAt, r.FinishedAt = x.at.state(), "", nil, &finished
	r.Pages, r.Rows, r.Total, r.Error = x.at.page, x.at.rows, x.at.total, x.at.fault()
	r.Incarnation, r.RequestID = x.incarnation, x.call.RequestID
}

// named fills in what a record says of its job whatever becomes of it.
func (x *execution) named(r messages.JobRecord) messages.JobRecord {
	r.ID, r.Connection, r.Operation = x.key.id, x.key.connection, x.call.Operation
	if x.message != nil {
		r.QueuedAt = x.message.Time.UTC()
		r.Digest = digestOf(x.message.Subject, x.message.Data)
		if id := x.message.Header.Get(messages.HeaderRetryOf); messages.ValidJobID(id) {
			r.RetryOf = id
		}
	}
	return r
}

// report writes the line of an execution that ended its job, or has to be made again.
func (x *execution) report(level slog.Level, what string, fault *messages.Error) {
	attrs := []slog.Attr{slog.String("operation", string(x.call.Operation)),
		slog.String("connection", x.key.connection), slog.String("code", route.CodeOf(fault)),
		slog.String("job", x.key.id), slog.Int64("rows", x.rows), slog.String("request_id", x.call.RequestID)}
	if fault != nil && fault.Unwrap() != nil {
		attrs = append(attrs, slog.Any("cause", fault.Unwrap()))
	}
	if traceID, spanID := route.TraceIDs(x.span, x.trace); traceID != "" {
		attrs = append(attrs, slog.String("trace_id", traceID), slog.String("span_id", spanID))
	}
	x.code = route.CodeOf(fault)
	x.lane.log.LogAttrs(context.Background(), level, what, append(attrs,
		slog.Duration("took", time.Since(x.began).Round(time.Microsecond)))...)
}
