package durable

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/messages"
)

// Delete removes what there is of a job that has ended, and reports whether there was
// anything. Its record goes last, so that a deletion that was cut short is made whole by
// another one.
func (l *Lane) Delete(ctx context.Context, connection, id string) (bool, error) {
	incarnation, err := l.present(ctx, connection)
	if err != nil {
		return false, err
	}
	there, err := l.remove(ctx, jobKey{connection, id}, incarnation)
	return there, asked(ctx, err)
}

func (l *Lane) remove(ctx context.Context, key jobKey, incarnation string) (bool, error) {
	v, err := l.view(ctx, key, incarnation)
	if err != nil {
		return false, err
	}
	dead, err := l.deadLetter(ctx, key, incarnation)
	switch {
	case err != nil:
		return false, err
	case !v.there() && dead == nil:
		return false, nil
	case v.there() && !v.ended():
		return false, messages.Invalid("job_id", "the job has not ended; cancel it first (jobs.cancel)")
	case v.last.last && !v.record.State.Ended():
		// Whoever ended it is not done: a dead letter and a record would come later.
		if _, err := l.cancelJob(ctx, key.connection, key.id); err != nil {
			return false, err
		}
	}
	if err := l.removeMessage(ctx, key, v.record); err != nil {
		return false, err
	}
	for _, of := range []struct{ stream, subject string }{
		{messages.ResultsStream, messages.ResultSubject(key.connection, key.id)},
		{messages.DeadStream, messages.DeadSubject(key.connection, key.id)},
		{messages.StateStream, messages.StateSubject(key.connection, key.id)},
	} {
		stream, err := l.js.Stream(ctx, of.stream)
		if err == nil {
			err = stream.Purge(ctx, jetstream.WithPurgeSubject(of.subject))
		}
		if err != nil {
			return false, fmt.Errorf("remove job %s from stream %s: %w", key.id, of.stream, err)
		}
	}
	return true, nil
}

// removeMessage deletes the message of a job that has ended, where its last owner did not get
// to that: without results and record it would be run again. Another job that was published
// under the id meanwhile is not touched.
func (l *Lane) removeMessage(ctx context.Context, key jobKey, record messages.JobRecord) error {
	message, err := l.messageOf(ctx, "*.*", key)
	if err != nil || message == nil {
		return err
	}
	if record.Digest != "" && record.Digest != digestOf(message.Subject, message.Data) {
		return nil
	}
	return deleteMessage(ctx, l.js, messages.JobsStream, message.Sequence)
}

// deadLetter is a job's dead letter, nil where there is none.
func (l *Lane) deadLetter(ctx context.Context, key jobKey, incarnation string) (*jetstream.RawStreamMsg, error) {
	letter, err := lastOf(ctx, l.js, messages.DeadStream, messages.DeadSubject(key.connection, key.id))
	if err != nil || letter == nil || !ofIncarnation(letter.Header.Get(messages.HeaderIncarnation), incarnation) {
		return nil, err
	}
	return letter, nil
}
