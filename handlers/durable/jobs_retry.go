package durable

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/messages"
)

// Retry publishes the request of a dead letter as a job again, under another id; "" makes one.
// Asked for once more with the same id it returns the same job.
func (l *Lane) Retry(ctx context.Context, connection, id, as string) (messages.Job, error) {
	incarnation, err := l.present(ctx, connection)
	if err != nil {
		return messages.Job{}, err
	}
	letter, err := l.deadLetter(ctx, jobKey{connection, id}, incarnation)
	if err != nil {
		return messages.Job{}, asked(ctx, err)
	}
	if letter == nil {
		return messages.Job{}, messages.Errorf(messages.NotFound,
			"the connection has no dead letter of this job: only "+
				"jobs that failed have one, for 30 days")
	}
	if as == "" {
		made, err := uuid.NewV7()
		if err != nil {
			return messages.Job{}, fmt.Errorf("make an id: %w", err)
		}
		as = made.String()
	}
	job, err := l.retry(ctx, jobKey{connection, as}, id, letter, incarnation)
	return job, asked(ctx, err)
}

// retry publishes the request of a job of an id under a new key.
func (l *Lane) retry(ctx context.Context, as jobKey, id string, letter *jetstream.RawStreamMsg,
	incarnation string) (messages.Job, error) {
	op := messages.Operation(letter.Header.Get(messages.HeaderOperation))
	subject := op.JobSubject(as.connection, as.id)
	tables := slices.Concat(messages.Tables(), l.options.Tables)
	if parsed, _, _, ok := messages.ParseJobSubject(subject); !ok || parsed != op || !op.MayBeJob(tables) ||
		strings.ContainsAny(string(op), "*> \t\r\n") {
		return messages.Job{}, fmt.Errorf("%w: the dead letter of job %s names no operation", errNotReadable, id)
	}
	// The id may be that of a job that has ended, and whose message is gone.
	if job, used, err := l.retried(ctx, as, id, incarnation); used || err != nil {
		return job, err
	}
	msg := nats.NewMsg(subject)
	msg.Data = letter.Data
	msg.Header.Set(messages.HeaderRetryOf, id)
	if request := letter.Header.Get(messages.HeaderRequestID); messages.ValidRequestID(request) {
		msg.Header.Set(messages.HeaderRequestID, request)
	}
	_, err := publishGuarded(ctx, l.js, msg, 0)
	job, there, again := l.retried(ctx, as, id, incarnation)
	switch {
	case there || again != nil:
		return job, again
	case err == nil: // and it has ended already, with its record deleted
		return messages.Job{ID: as.id, Connection: as.connection, Operation: op, State: messages.JobQueued,
			RetryOf: id}, nil
	}
	if fault, ok := errors.AsType[*jetstream.APIError](err); ok && fault.ErrorCode == codeStreamFull {
		return messages.Job{}, messages.Errorf(messages.Overloaded,
			"stream %s is full: %s; try again when jobs have ended",
			messages.JobsStream, fault.Description).After(jittered(fullRetry)).Because(err)
	}
	return messages.Job{}, err
}

// retried is the job under a new id, if it runs the one of id again; used without a job is
// an error: the id is another job's.
func (l *Lane) retried(ctx context.Context, as jobKey, id,
	incarnation string) (job messages.Job, used bool, err error) {
	v, err := l.view(ctx, as, incarnation)
	if err != nil || !v.there() {
		return messages.Job{}, false, err
	}
	if job = v.job(); job.RetryOf != id {
		return messages.Job{}, true, messages.Invalid("new_job_id", "is the id of another job of the connection")
	}
	return job, true, nil
}
