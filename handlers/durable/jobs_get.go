package durable

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/messages"
)

// Get describes a job: what its record says, with pages, rows and end from its last result.
// A job that waits and was never claimed is known from its message alone.
func (l *Lane) Get(ctx context.Context, connection, id string) (messages.Job, error) {
	incarnation, err := l.present(ctx, connection)
	if err != nil {
		return messages.Job{}, err
	}
	known, err := l.looked(ctx, jobKey{connection, id}, incarnation, true)
	if err != nil {
		return messages.Job{}, asked(ctx, err)
	}
	if !known.there() {
		return messages.Job{}, noJob()
	}
	return known.job(), nil
}

// A view is what the streams hold of a job, without what belongs to another incarnation of
// its connection.
type view struct {
	key     jobKey
	record  messages.JobRecord
	at      uint64                  // of the record, 0 for none
	last    stored                  // the last result; the zero value for none
	message *jetstream.RawStreamMsg // the job, where its record does not describe it; nil for none
	lost    bool                    // it has ended, and the results are not all there that should be
}

// view reads what there is of a job. Its message goes last: a job that has none, and no record
// that describes it, has ended meanwhile or is not there, which another look tells.
func (l *Lane) view(ctx context.Context, key jobKey, incarnation string) (view, error) {
	return l.looked(ctx, key, incarnation, false)
}

// looked is view; brief leaves out the last result of a job that has ended and whose results are
// all there, since its record says the same.
func (l *Lane) looked(ctx context.Context, key jobKey, incarnation string, brief bool) (view, error) {
	v, err := l.viewOnce(ctx, key, incarnation, brief)
	if err != nil || v.described() || v.message != nil {
		return v, err
	}
	return l.viewOnce(ctx, key, incarnation, brief)
}

func (l *Lane) viewOnce(ctx context.Context, key jobKey, incarnation string, brief bool) (view, error) {
	v := view{key: key}
	var err error
	if v.record, v.at, err = l.recordOf(ctx, key, incarnation); err != nil {
		return v, err
	}
	if brief && v.described() && v.record.State.Ended() {
		if n, err := l.storedOf(ctx, key); err != nil || v.record.Pages > 0 && n >= v.record.Pages {
			return v, err
		}
	}
	if v.last, err = l.lastResult(ctx, key, incarnation, false); err != nil {
		return v, err
	}
	if v.record.State.Ended() && v.last.page < v.record.Pages {
		if v.last, err = l.lastResult(ctx, key, incarnation, true); err != nil {
			return v, err
		}
		if v.lost = v.last.page < v.record.Pages; v.lost && v.last.page == 0 {
			v.lost, err = l.tooYoung(ctx, v.record)
		}
		return v, err
	}
	if v.described() {
		return v, nil
	}
	v.message, err = l.messageOf(ctx, "*.*", key)
	return v, err
}

// storedOf is how many messages the job's results have. A server knows that without reading
// its file; for a message that nobody asked for lately it reads a block of 8 MB.
func (l *Lane) storedOf(ctx context.Context, key jobKey) (int, error) {
	n := 0
	err := subjectsOf(ctx, l.js, messages.ResultsStream, messages.ResultSubject(key.connection, key.id),
		func(_ string, messages uint64) { n = int(min(messages, mostCounted)) })
	return n, err
}

// recordOf is a job's record, from the stream's leader; the sequence is 0 where there is none.
func (l *Lane) recordOf(ctx context.Context, key jobKey, incarnation string) (messages.JobRecord, uint64, error) {
	record, at, err := l.ledger.read(ctx, key.connection, key.id)
	switch {
	case err != nil && at != 0:
		return record, at, err
	case err != nil || !ofIncarnation(record.Incarnation, incarnation):
		return messages.JobRecord{}, 0, err
	}
	// What a subject says of its job is so, whatever is in the message.
	record.ID, record.Connection = key.id, key.connection
	return record, at, nil
}

// lastResult is the last message of a job's results, from any replica or from the leader.
func (l *Lane) lastResult(ctx context.Context, key jobKey, incarnation string, leader bool) (stored, error) {
	subject := messages.ResultSubject(key.connection, key.id)
	var msg *jetstream.RawStreamMsg
	var err error
	if leader {
		msg, err = lastOf(ctx, l.js, messages.ResultsStream, subject)
	} else {
		msg, err = direct(ctx, l.js, messages.ResultsStream, directAsk{LastBySubject: subject})
	}
	if err != nil || msg == nil {
		return stored{}, err
	}
	found, foreign := readStored(msg)
	if foreign != nil || !ofIncarnation(found.incarnation, incarnation) {
		return stored{}, nil // not among the results: whoever runs the job removes it
	}
	return found, nil
}

// skew is by how much clocks may differ where results are looked for that may be too old.
const skew = 5 * time.Minute

// tooYoung reports whether results that are gone cannot have been dropped for their age.
func (l *Lane) tooYoung(ctx context.Context, record messages.JobRecord) (bool, error) {
	stream, err := l.js.Stream(ctx, messages.ResultsStream)
	if err != nil {
		return false, fmt.Errorf("look at stream %s: %w", messages.ResultsStream, err)
	}
	if record.FinishedAt == nil {
		return false, nil
	}
	age := stream.CachedInfo().Config.MaxAge
	return age == 0 || time.Since(*record.FinishedAt) < age-skew, nil
}

// described reports whether the record says what the job's message does. The first one of a
// job does not: it is written before the message is read.
func (v view) described() bool { return v.at != 0 && v.record.Digest != "" }

// there reports whether there is anything of the job. The first record of a claim is nothing
// by itself: a process that was stopped writes one before it finds the job's message gone.
func (v view) there() bool {
	return v.described() || v.record.State.Ended() || v.last.page > 0 || v.message != nil
}

// ended reports whether nothing more happens to the job.
func (v view) ended() bool { return v.record.State.Ended() || v.last.last }

// job is what is known of the job.
func (v view) job() messages.Job {
	job := v.record.Job
	job.ID, job.Connection = v.key.id, v.key.connection
	if m := v.message; m != nil {
		job.Operation, _, _, _ = messages.ParseJobSubject(m.Subject)
		job.QueuedAt, job.Digest = m.Time.UTC(), digestOf(m.Subject, m.Data)
		if of := m.Header.Get(messages.HeaderRetryOf); messages.ValidJobID(of) {
			job.RetryOf = of
		}
	}
	job.State = cmp.Or(job.State, messages.JobQueued)
	if v.lost {
		job.State, job.Pages, job.Rows = messages.JobFailed, v.last.page, v.last.rows
		job.Error = messages.Errorf(messages.Internal, "results were lost: %d of %d messages are stored; "+
			"run the job again under another id", v.last.page, v.record.Pages)
		return job
	}
	if v.last.page <= job.Pages && !v.last.last {
		return job
	}
	job.Pages, job.Rows = v.last.page, v.last.rows
	if v.last.total != nil {
		job.Total = v.last.total
	}
	job.Incarnation = cmp.Or(job.Incarnation, v.last.incarnation)
	if v.last.last && !job.State.Ended() { // the record follows
		finished := v.last.time.UTC()
		job.State, job.Error, job.RetryAt, job.FinishedAt = v.last.state(), v.last.fault(), nil, &finished
	}
	return job
}
