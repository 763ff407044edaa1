package durable

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/messages"
)

// cancelJob ends a job of a connection before its time and returns it; one that has ended is
// returned as it is. Its owner learns of it by the record's change, and is kept from storing
// another page by the end itself. Where the stream takes nothing more the end cannot be stored,
// and the job is not cancelled: overloaded. A record alone that says so would be no end for
// whoever reads the results, and whoever takes the job over goes by these.
func (l *Lane) cancelJob(ctx context.Context, connection, id string) (messages.Job, error) {
	x, ended, err := l.toCancel(ctx, jobKey{connection, id})
	if err != nil || ended != nil {
		return valueOf(ended), err
	}
	if x.at, err = x.last(ctx); err != nil {
		return messages.Job{}, fmt.Errorf("read the results of job %s: %w", id, err)
	}
	if !x.at.last {
		if err := x.fail(ctx, messages.Errorf(messages.Cancelled, "the job was cancelled")); err != nil {
			return messages.Job{}, err
		}
	}
	record, err := x.settle(ctx)
	return record.Job, err
}

func valueOf(job *messages.Job) messages.Job {
	if job == nil {
		return messages.Job{}
	}
	return *job
}

// messageOf is the message of a job, nil where there is none; "*.*" is any operation.
func (l *Lane) messageOf(ctx context.Context, op messages.Operation, key jobKey) (*jetstream.RawStreamMsg, error) {
	message, err := lastOf(ctx, l.js, messages.JobsStream, op.JobSubject(key.connection, key.id))
	if err != nil {
		return nil, fmt.Errorf("read job %s: %w", key.id, err)
	}
	return message, nil
}

// toCancel finds a job that has not ended; ended is one that has.
func (l *Lane) toCancel(ctx context.Context, key jobKey) (x *execution, ended *messages.Job, err error) {
	incarnation, err := l.incarnation(ctx, key.connection)
	if err != nil {
		return nil, nil, err
	}
	// The message is looked for first: a job that has none by then and is there has a record.
	message, err := l.messageOf(ctx, "*.*", key)
	if err != nil {
		return nil, nil, err
	}
	record, at, err := l.ledger.read(ctx, key.connection, key.id)
	if err != nil {
		return nil, nil, fmt.Errorf("read the record of job %s: %w", key.id, err)
	}
	if record.Incarnation != "" && record.Incarnation != incarnation {
		record, at = messages.JobRecord{}, 0 // of a connection of the same id that is gone
	}
	switch {
	case record.State.Ended():
		return nil, &record.Job, nil
	case message == nil && at == 0:
		return nil, nil, messages.Errorf(messages.NotFound, "the connection has no job of this id")
	case message != nil && record.Operation != "" &&
		message.Subject != record.Operation.JobSubject(key.connection, key.id):
		// Another job was published under the id since: it will not run.
		if message, err = l.messageOf(ctx, record.Operation, key); err != nil {
			return nil, nil, err
		}
	case message != nil:
		record.Operation, _, _, _ = messages.ParseJobSubject(message.Subject)
	}
	record.Connection, record.ID, record.Incarnation = key.connection, key.id, incarnation
	return l.newExecution(claimed{record: record, message: message}, nil), nil, nil
}
