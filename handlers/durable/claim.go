package durable

import (
	"context"
	"errors"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/messages"
)

// What became of the attempt to claim a job; also the label of its metric.
type verdictOfClaim string

const (
	claimMade  verdictOfClaim = "claimed"
	claimOver  verdictOfClaim = "taken_over"  // its owner's lease had run out
	claimLost  verdictOfClaim = "lost"        // somebody else was first, or still has it
	claimGone  verdictOfClaim = "gone"        // it has ended, and its message is deleted
	claimEnded verdictOfClaim = "ended"       // its end has been stored, and is to be finished
	claimLater verdictOfClaim = "later"       // its time has not come
	claimNewer verdictOfClaim = "newer"       // its record is of a newer form
	claimOther verdictOfClaim = "another_job" // its id was another job's
	claimError verdictOfClaim = "error"       // NATS did not answer, or not in time
)

// A claiming is an attempt to claim a job, and what was found.
type claiming struct {
	verdict verdictOfClaim
	claimed claimed
	hash    uint64    // of the record that was read, 0 for none
	owner   string    // of that record,
	beat    int64     // and how often it was written
	again   time.Time // of claimLater
	err     error     // of claimError
}

// digestOf tells jobs of one id apart, by their subject and body.
func digestOf(subject string, body []byte) string { return messages.JobDigest(subject, body) }

// claim tries to make a job this process's: by compare-and-set on its record, at first on
// there being none. Then the job is read, from the stream's leader; what the follower saw
// may have been deleted meanwhile. It is not cut short: whether a record was written should
// be known.
func (l *Lane) claim(ctx context.Context, o *openJob) claiming {
	ctx = context.WithoutCancel(ctx)
	if !o.known {
		got, conflict := l.claimNew(ctx, o)
		if !conflict {
			return got
		}
		if l.board.isHeld(o) {
			return claiming{verdict: claimLost} // its owner was heard of: nothing need be read
		}
	}
	return l.claimKnown(ctx, o)
}

// claimNew claims a job that has no record. conflict says that it has one.
func (l *Lane) claimNew(ctx context.Context, o *openJob) (got claiming, conflict bool) {
	record := messages.JobRecord{Job: messages.Job{ID: o.id, Connection: o.queue.connection,
		Operation: l.board.operation(o), QueuedAt: time.Unix(0, o.at).UTC()}}
	c, err := l.own(ctx, record, 0)
	switch {
	case errors.Is(err, errConflict):
		return claiming{}, true
	case err != nil:
		return claiming{verdict: claimError, err: err}, false
	}
	// Side by side: neither depends on the other, and both come after the claim.
	results := l.firstLook(ctx, o)
	if c.message, err = l.message(ctx, o); err != nil {
		<-results
		return l.release(ctx, c, err), false
	}
	c.results = <-results
	if c.message == nil {
		// It ended, and even its record has been removed since, or it never was there.
		l.removeRecord(ctx, c.revision)
		return claiming{verdict: claimGone}, false
	}
	return claiming{verdict: claimMade, claimed: c.describe()}, false
}

// firstLook reads the last result of a job that was claimed just now. What cannot be read is
// read by the execution.
func (l *Lane) firstLook(ctx context.Context, o *openJob) <-chan *looked {
	found := make(chan *looked, 1)
	l.work.Go(func() {
		msg, err := lastOf(ctx, l.js, messages.ResultsStream, messages.ResultSubject(o.queue.connection, o.id))
		if err != nil {
			found <- nil
			return
		}
		found <- &looked{msg}
	})
	return found
}

// claimKnown claims a job that has a record, if the record allows it.
func (l *Lane) claimKnown(ctx context.Context, o *openJob) claiming {
	record, revision, hash, err := l.recordNow(ctx, o)
	if err != nil {
		return claiming{verdict: claimError, err: err}
	}
	elsewhere := o.elsewhere(record.JobRecord, hash, l.name)
	message, err := l.message(ctx, o)
	switch {
	case err != nil:
		return claiming{verdict: claimError, err: err}
	case message == nil:
		if record.Owner == l.name {
			l.removeRecord(ctx, revision)
		}
		return claiming{verdict: claimGone}
	}
	expired := l.now() >= o.expires
	switch {
	case record.Form > messages.JobForm && !expired:
		return claiming{verdict: claimNewer}
	case record.isOf(message):
	case record.Digest == "" && elsewhere:
		// Its first owner says soon whose record it is.
		return claiming{verdict: claimLost, hash: hash, owner: record.Owner, beat: record.Beat}
	default:
		return l.another(ctx, o, record, revision, message)
	}
	switch {
	case record.State.Ended():
		return claiming{verdict: claimEnded, hash: hash,
			claimed: claimed{record: record.JobRecord, revision: revision, message: message, since: time.Now()}}
	case elsewhere:
		return claiming{verdict: claimLost, hash: hash, owner: record.Owner, beat: record.Beat}
	case record.Owner == "" && record.RetryAt != nil && time.Until(*record.RetryAt) > 0 && !expired:
		return claiming{verdict: claimLater, again: *record.RetryAt}
	}
	verdict := claimMade
	if record.Owner != "" && (record.Owner != l.name || o.lapsed) {
		verdict = claimOver
		record.Takeovers++
	}
	c, err := l.own(ctx, record.JobRecord, revision)
	switch {
	case errors.Is(err, errConflict):
		return claiming{verdict: claimLost}
	case err != nil:
		return claiming{verdict: claimError, err: err}
	}
	c.message = message
	return claiming{verdict: verdict, claimed: c.describe()}
}

// elsewhere reports whether a job's record says that another process runs it, whose lease has
// not run out.
func (o *openJob) elsewhere(r messages.JobRecord, hash uint64, name string) bool {
	return r.Owner != "" && r.Owner != name && (!o.lapsed || o.hash != hash)
}

// isBefore reports whether a record was read that is older than one by which the job was
// heard to be given back: that one is on its way to the stream, or was refused.
func (o *openJob) isBefore(r messages.JobRecord) bool { return r.Owner != "" && r.Beat < o.back }

// backAfter is when a record is read again that was read before the giving back was stored.
var backAfter = [...]time.Duration{20 * time.Millisecond, 200 * time.Millisecond}

// recordNow is record, a little later where the job was heard to be given back and is not yet.
func (l *Lane) recordNow(ctx context.Context, o *openJob) (storedRecord, uint64, uint64, error) {
	record, revision, hash, err := l.record(ctx, o)
	for _, wait := range backAfter {
		if err != nil || !o.isBefore(record.JobRecord) {
			break
		}
		pauseFor(l.following, wait)
		record, revision, hash, err = l.record(ctx, o)
	}
	return record, revision, hash, err
}

// ownReads is how often a record is read again to see whether it was written.
const ownReads = 5

// own writes a record that says that this process runs the job. Where no answer comes, the
// record is read: it may have been written.
func (l *Lane) own(ctx context.Context, record messages.JobRecord, at uint64) (claimed, error) {
	now := time.Now()
	record.State, record.Owner, record.RetryAt, record.Error = messages.JobRunning, l.name, nil, nil
	if record.StartedAt == nil {
		begun := now.UTC()
		record.StartedAt = &begun
	}
	revision, err := l.ledger.write(ctx, record, at)
	record.Form = messages.JobForm
	record.Beat++
	if errors.Is(err, errUnknown) {
		found, stored, readErr := l.ledger.read(ctx, record.Connection, record.ID)
		for again := 0; readErr != nil && again < ownReads; again++ {
			pauseFor(ctx, apiAgain)
			found, stored, readErr = l.ledger.read(ctx, record.Connection, record.ID)
		}
		if readErr == nil && found.Owner == l.name && found.Beat == record.Beat && stored > at &&
			found.State == record.State {
			revision, err = stored, nil
		}
	}
	if err != nil {
		return claimed{}, err
	}
	return claimed{record: record, revision: revision, since: now}, nil
}

// release gives a claim back whose job could not be read.
func (l *Lane) release(ctx context.Context, c claimed, why error) claiming {
	c.record.State, c.record.Owner = messages.JobQueued, ""
	if _, err := l.ledger.write(ctx, c.record, c.revision); err != nil {
		why = errors.Join(why, err) // this process may claim it again, and others when the lease has passed
	}
	return claiming{verdict: claimError, err: why}
}

// removeRecord removes the record of a claim whose job is gone.
func (l *Lane) removeRecord(ctx context.Context, revision uint64) {
	if err := deleteMessage(ctx, l.js, messages.StateStream, revision); err != nil {
		l.seldom.warn("the record of a job that is gone was not removed", "error", err)
	}
}

// message is the job's message, nil where there is none any more.
func (l *Lane) message(ctx context.Context, o *openJob) (*jetstream.RawStreamMsg, error) {
	msg, err := messageAt(ctx, l.js, messages.JobsStream, o.seq)
	if err == nil && msg != nil {
		// A stream that was deleted and made again has other messages under the same sequences.
		if _, connection, id, _ := messages.ParseJobSubject(msg.Subject); connection != o.queue.connection || id != o.id {
			return nil, nil
		}
	}
	return msg, err
}

// A storedRecord is a job's record as it was read.
type storedRecord struct{ messages.JobRecord }

// isOf reports whether the record is of the job of a message, and not of another with its id.
func (r storedRecord) isOf(m *jetstream.RawStreamMsg) bool {
	if r.Digest != "" {
		return r.Digest == digestOf(m.Subject, m.Data)
	}
	op, _, _, _ := messages.ParseJobSubject(m.Subject)
	return r.Operation == "" || r.Operation == op
}

// record is a job's record, its revision and its hash. One that cannot be read is taken for
// one that says nothing.
func (l *Lane) record(ctx context.Context, o *openJob) (storedRecord, uint64, uint64, error) {
	record := storedRecord{messages.JobRecord{Job: messages.Job{State: messages.JobQueued,
		QueuedAt: time.Unix(0, o.at).UTC()}}}
	msg, err := lastOf(ctx, l.js, messages.StateStream, messages.StateSubject(o.queue.connection, o.id))
	if err != nil {
		return record, 0, 0, err
	}
	var at, hash uint64
	if msg != nil {
		at, hash = msg.Sequence, hashOf(msg.Data)
		var read messages.JobRecord
		if err := json.Unmarshal(msg.Data, &read); err != nil || len(msg.Data) > messages.MaxJobRecord {
			l.log.Warn("the record of a job cannot be read; the job goes on from its results",
				"connection", o.queue.connection, "job", o.id)
		} else {
			record.JobRecord = read
			if most := msg.Time.Add(longestRetry); read.RetryAt != nil && read.RetryAt.After(most) {
				record.RetryAt = &most
			}
		}
	}
	record.Connection, record.ID = o.queue.connection, o.id
	if record.Operation == "" {
		record.Operation = l.board.operation(o)
	}
	return record, at, hash, nil
}

// describe adds what the job's message says to its record.
func (c claimed) describe() claimed {
	c.record.Digest = digestOf(c.message.Subject, c.message.Data)
	if op, _, _, ok := messages.ParseJobSubject(c.message.Subject); ok {
		c.record.Operation = op
	}
	c.record.QueuedAt = c.message.Time.UTC()
	if id := c.message.Header.Get(messages.HeaderRequestID); c.record.RequestID == "" && messages.ValidRequestID(id) {
		c.record.RequestID = id
	}
	if id := c.message.Header.Get(messages.HeaderRetryOf); c.record.RetryOf == "" && messages.ValidJobID(id) {
		c.record.RetryOf = id
	}
	return c
}
