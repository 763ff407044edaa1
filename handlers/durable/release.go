package durable

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// giveBack lets anybody run the job again.
func (x *execution) giveBack(ctx context.Context, v verdict) outcome {
	x.hold.stop()
	attempts := x.hold.known().Attempts
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), x.lane.options.Lease)
	defer cancel()
	var again time.Time
	if v.after > 0 {
		again = time.Now().Add(v.after)
		if overdue := x.call.Deadline; !overdue.IsZero() && again.After(overdue) {
			again = overdue // whoever meets it then ends it
		}
	}
	err := x.hold.write(ctx, func(r *messages.JobRecord) {
		r.State, r.Owner, r.Attempts, r.RetryAt, r.Error = messages.JobQueued, "", v.attempts, nil, v.fault
		if v.after > 0 {
			at := again.UTC()
			r.RetryAt = &at
		}
	})
	if err != nil {
		return outcome{lost: true}
	}
	switch { // an execution that failed is nothing to look at while its job goes on
	case v.attempts > attempts:
		x.report(slog.LevelInfo, "job is run again", v.fault)
	case v.fault != nil:
		x.report(slog.LevelDebug, "job waits", v.fault)
	}
	return outcome{again: again, blocked: v.blocked}
}

// unended is what becomes of a job whose end could not be stored.
func (x *execution) unended(ctx context.Context, err error) outcome {
	switch {
	case errors.Is(err, errNotOurs), errors.Is(err, errOther):
		return outcome{lost: true}
	case context.Cause(ctx) != nil:
		return x.giveBack(ctx, verdict{attempts: x.hold.known().Attempts})
	}
	v := judge(route.Classify(ctx, false, err), x.hold.known().Attempts)
	if v.final || v.after == 0 {
		v.after = jittered(waitRetry)
	}
	v.attempts = x.hold.known().Attempts
	return x.giveBack(ctx, v)
}

// clear removes the message of a job whose record says that it has ended.
func (l *Lane) clear(ctx context.Context, c claimed) outcome {
	current, err := l.incarnation(ctx, c.record.Connection)
	switch {
	case err != nil && tokens.CodeOf(err) != tokens.CodeConnectionNotFound:
		return outcome{again: time.Now().Add(jittered(waitRetry))}
	case err == nil && c.record.Incarnation != "" && c.record.Incarnation != current:
		// The record is of a connection that is gone, and this job was published since.
		if err := deleteMessage(ctx, l.js, messages.StateStream, c.revision); err != nil {
			return outcome{lost: true}
		}
		return outcome{}
	}
	if err := deleteMessage(ctx, l.js, messages.JobsStream, c.message.Sequence); err != nil {
		return outcome{lost: true}
	}
	return outcome{ended: true}
}
