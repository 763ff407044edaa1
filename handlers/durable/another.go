package durable

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// anotherAgain is when a job is looked at again whose connection could not be asked for.
const anotherAgain = 5 * time.Second

// another ends a job that was published under an id that another job had: nothing of it runs.
// Where the other job's connection is gone, and was made again, it is the record that goes.
func (l *Lane) another(ctx context.Context, o *openJob, record storedRecord, revision uint64,
	message *jetstream.RawStreamMsg) claiming {
	if record.Incarnation != "" {
		current, err := l.options.Connections.Incarnation(ctx, o.queue.connection)
		switch {
		case err != nil && tokens.CodeOf(err) != tokens.CodeConnectionNotFound:
			return claiming{verdict: claimLater, again: time.Now().Add(anotherAgain)}
		case err == nil && current != record.Incarnation:
			l.removeRecord(ctx, revision)
			return claiming{verdict: claimLater, again: time.Now()}
		}
	}
	if err := deleteMessage(ctx, l.js, messages.JobsStream, message.Sequence); err != nil {
		return claiming{verdict: claimError, err: err}
	}
	l.log.Warn("a job was dropped: its id was used by another job of the connection",
		"connection", o.queue.connection, "job", o.id, "subject", message.Subject)
	return claiming{verdict: claimOther}
}
