package messagestest

import (
	"context"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/messages"
)

type jobKey struct{ connection, id string }

// A job is one job of a connection, from its publication on.
type job struct {
	key      jobKey
	subject  string
	header   nats.Header
	body     []byte
	sequence uint64    // of its message in CRM_JOBS
	deadline time.Time // when it is given up

	mu      sync.Mutex // held while something of it is stored
	record  messages.JobRecord
	stated  uint64      // sequence of the record
	results []*nats.Msg // as they are stored
	stored  uint64      // sequence of the last one
	at      *place      // after the last page; nil is the beginning
	dead    bool        // there is a dead letter
	running bool
	stop    context.CancelFunc // of the run; nil where none runs
}

const (
	owner       = "messagestest"
	jobLifetime = 24 * time.Hour
	// mostAttempts and mostTakeovers are how many runs without a new page end a job, which waits
	// retryWait between them, unless an error says how long.
	mostAttempts  = 5
	mostTakeovers = 8
	retryWait     = 10 * time.Millisecond
)

// consume takes the jobs in that the stream has and gets.
func (b *Bridge) consume(s *serving) error {
	consumer, err := b.js.OrderedConsumer(s.ctx, messages.JobsStream, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return err
	}
	s.consuming, err = consumer.Consume(func(msg jetstream.Msg) {
		about, err := msg.Metadata()
		if err != nil {
			b.t.Errorf("messagestest: a job without metadata: %v", err)
			return
		}
		header := nats.Header{}
		maps.Copy(header, msg.Headers())
		b.intake(s, &job{subject: msg.Subject(), header: header, body: msg.Data(), sequence: about.Sequence.Stream},
			about.Timestamp)
	})
	return err
}

// intake begins a job, goes on with one that stood still, or drops one whose id was used.
func (b *Bridge) intake(s *serving, j *job, at time.Time) {
	j.open(at)
	b.mu.Lock()
	known, again := b.jobs[j.key], false
	if known != nil && known.record.Digest != j.record.Digest {
		b.mu.Unlock()
		b.t.Logf("messagestest: a job was dropped: its id was used by another job of the connection: %s", j.subject)
		b.forget(j.sequence)
		return
	}
	if known != nil {
		again, j = true, known
	}
	b.jobs[j.key] = j
	b.mu.Unlock()
	j.mu.Lock()
	ended := j.record.State.Ended()
	j.mu.Unlock()
	if again && ended {
		b.forget(j.sequence)
		return
	}
	b.begin(s, func() { b.run(s.ctx, j) })
}

// open fills in what the job's message says.
func (j *job) open(at time.Time) {
	op, connection, id, _ := messages.ParseJobSubject(j.subject)
	j.key = jobKey{connection, id}
	j.record = messages.JobRecord{Form: messages.JobForm, RequestID: j.header.Get(messages.HeaderRequestID),
		Job: messages.Job{ID: id, Connection: connection, Operation: op, State: messages.JobQueued, QueuedAt: at.UTC(),
			Digest: messages.JobDigest(j.subject, j.body)}}
	if of := j.header.Get(messages.HeaderRetryOf); messages.ValidJobID(of) {
		j.record.RetryOf = of
	}
	if !messages.ValidRequestID(j.record.RequestID) {
		j.record.RequestID = newID()
	}
	j.deadline = at.Add(jobLifetime)
}

// run takes a job from its last stored page to its end, or until the bridge is stopped.
func (b *Bridge) run(ctx context.Context, j *job) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	j.mu.Lock()
	if j.running || j.record.State.Ended() {
		j.mu.Unlock()
		return
	}
	j.running, j.stop = true, cancel
	j.mu.Unlock()
	defer func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.running, j.stop = false, nil
		if !j.record.State.Ended() {
			j.record.State, j.record.Owner = messages.JobQueued, ""
			b.writeRecord(j)
		}
	}()
	for {
		select {
		case b.jobSlots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		fault := b.execute(ctx, j)
		<-b.jobSlots
		wait, over := b.judge(ctx, j, fault)
		if over {
			return
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// execute reads the job's pages from the last stored one on.
func (b *Bridge) execute(ctx context.Context, j *job) *messages.Error {
	j.mu.Lock()
	began := time.Now().UTC()
	j.record.State, j.record.Owner, j.record.RetryAt, j.record.Error = messages.JobRunning, owner, nil, nil
	if j.record.StartedAt == nil {
		j.record.StartedAt = &began
	}
	if conn, err := b.connection(j.key.connection); err == nil && j.record.Incarnation == "" {
		j.record.Incarnation = conn.Incarnation()
	}
	incarnation := j.record.Incarnation
	b.writeRecord(j)
	j.mu.Unlock()

	c := &call{b: b, op: j.record.Operation, requestID: j.record.RequestID, connection: j.key.connection,
		scope: j.key.connection, trace: traceOf(j.header), job: j, incarnation: incarnation}
	if fault := j.permit(); fault != nil {
		return fault
	}
	const room = 2 << 10 // of the headers of a result
	c.budget = max(b.budget(c.requestID, c.trace)-room, 256)
	ctx, cancel := context.WithDeadline(ctx, j.deadline)
	defer cancel()
	c.ctx = ctx
	options, body, fault := messages.SplitJobOptions(j.body)
	if fault != nil {
		return fault
	}
	table, verb, ofTable := c.op.Table(b.options.Tables)
	keep := func(p part, _ bool) *messages.Error {
		return b.keep(c, j, p, options.Encoding == messages.EncodingZstd)
	}
	if ofTable {
		return c.rows(table, verb, body, keep)
	}
	switch c.op {
	case messages.UsersGet, messages.UsersWhoAmI:
		return c.users(body, keep)
	}
	return messages.Errorf(messages.NotSupported, "%s cannot be a job", c.op)
}

// permit refuses headers that are wrong.
func (j *job) permit() *messages.Error {
	if text := j.header.Get(messages.HeaderDeadline); text != "" {
		at, err := time.Parse(time.RFC3339Nano, strings.ToUpper(text))
		if err != nil {
			return messages.Invalid(messages.HeaderDeadline, "must be an RFC 3339 time such as 2026-01-31T12:00:00Z")
		}
		if at.Before(j.deadline) {
			j.deadline = at
		}
	}
	if id := j.header.Get(messages.HeaderRequestID); id != "" && !messages.ValidRequestID(id) {
		return messages.Invalid(messages.HeaderRequestID, "must be 1 to %d printable ASCII characters without spaces",
			messages.MaxRequestID)
	}
	if !messages.ValidJobID(j.key.id) {
		return messages.Invalid("", "the last part of the job's subject is not the id of a job: 1 to 64 letters, "+
			"digits, _ and -")
	}
	return nil
}

// errEnded is the end of a run whose job somebody else has ended.
var errEnded = &messages.Error{Code: "ended"}

// keep stores one page of the results.
func (b *Bridge) keep(c *call, j *job, p part, zstd bool) *messages.Error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.record.State.Ended() {
		return errEnded
	}
	if fault := c.over(); fault != nil {
		return fault
	}
	msg := j.result(c, p.rows, p.total)
	if err := b.replies.check(c.op, msg.Header, p.body); err != nil {
		b.t.Errorf("messagestest: a result of %s is not one of crmbridge's: %v", c.op, err)
	}
	if msg.Data = p.body; zstd {
		var err error
		if msg.Data, err = zipped(p.body); err != nil {
			return messages.Errorf(messages.Internal, "compress a result: %v", err)
		}
		msg.Header.Set(messages.HeaderContentEncoding, messages.EncodingZstd)
	}
	if p.last {
		msg.Header.Set(messages.HeaderLast, "true")
	}
	if p.place != nil {
		msg.Header.Set(messages.HeaderCheckpoint, c.checkpoint(j, *p.place))
	}
	if bound := b.options.JobMaxBytes; j.record.Bytes+sizeOf(msg) > bound {
		return messages.Errorf(messages.TooLarge, "the job's results would take more than %d bytes "+
			"(JOB_MAX_BYTES, or a quarter of what %s may hold); what is stored stays; ask for fewer fields or rows",
			bound, messages.ResultsStream)
	}
	if fault := b.storeResult(j, msg); fault != nil {
		return fault
	}
	j.at = p.place
	j.record.Rows += int64(p.rows)
	if p.total != nil {
		j.record.Total = p.total
	}
	if p.last {
		b.end(j, nil)
		return nil
	}
	j.record.Attempts, j.record.Takeovers, j.record.Error = 0, 0, nil
	b.writeRecord(j)
	return nil
}

// result is the next message of the results, without a body.
func (j *job) result(c *call, rows int, total *int64) *nats.Msg {
	msg := nats.NewMsg(messages.ResultSubject(j.key.connection, j.key.id))
	maps.Copy(msg.Header, c.trace)
	msg.Header.Set(messages.HeaderRequestID, c.requestID)
	msg.Header.Set(messages.HeaderPage, strconv.Itoa(len(j.results)+1))
	msg.Header.Set(messages.HeaderRows, strconv.FormatInt(j.record.Rows+int64(rows), 10))
	if j.record.Incarnation != "" {
		msg.Header.Set(messages.HeaderIncarnation, j.record.Incarnation)
	}
	if total != nil {
		msg.Header.Set(messages.HeaderTotal, strconv.FormatInt(*total, 10))
	}
	return msg
}

// checkpoint is a place for the header of that name. Nobody else can read it.
func (c *call) checkpoint(j *job, p place) string {
	return c.seal(&Connection{incarnation: j.record.Incarnation}, p)
}

func (b *Bridge) storeResult(j *job, msg *nats.Msg) *messages.Error {
	sequence, err := b.store(msg, jetstream.WithExpectLastSequencePerSubject(j.stored))
	if err != nil {
		return messages.Errorf(messages.Internal, "store a result: %v", err)
	}
	j.stored = sequence
	j.results = append(j.results, msg)
	j.record.Pages = len(j.results)
	j.record.Bytes += sizeOf(msg)
	return nil
}

// sizeOf is what a result takes of the job's bytes.
func sizeOf(msg *nats.Msg) int64 {
	size := len(msg.Data)
	for name, values := range msg.Header {
		size += len(name) + len(values[0]) + len(": \r\n")
	}
	return int64(size)
}

// judge says what becomes of a job after a run: it is over, or run again after a wait.
func (b *Bridge) judge(ctx context.Context, j *job, fault *messages.Error) (wait time.Duration, over bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case fault == nil, fault == errEnded, j.record.State.Ended(), ctx.Err() != nil:
		return 0, true
	case fault == errLost:
		if j.record.Takeovers++; j.record.Takeovers < mostTakeovers {
			return 0, false
		}
		fault = messages.Errorf(messages.Internal, "%d processes in a row ended, or stood still, while they ran this "+
			"job, and stored no page of it; it is not tried again", mostTakeovers)
	case !time.Now().Before(j.deadline):
		fault = messages.Errorf(messages.DeadlineExceeded, "the job was not done by its deadline, %s",
			j.deadline.UTC().Format(time.RFC3339))
	default:
		switch fault.Code {
		case messages.Throttled, messages.Overloaded:
			return b.waitFor(j, fault), false
		case messages.Internal, messages.UpstreamError, messages.Unavailable, messages.DeadlineExceeded:
			if j.record.Attempts++; j.record.Attempts < mostAttempts {
				return b.waitFor(j, fault), false
			}
		}
	}
	b.fail(j, fault)
	return 0, true
}

func (b *Bridge) waitFor(j *job, fault *messages.Error) time.Duration {
	wait := fault.RetryAfter()
	if wait == 0 {
		wait = retryWait
	}
	at := time.Now().Add(wait).UTC()
	j.record.State, j.record.Owner, j.record.RetryAt, j.record.Error = messages.JobQueued, "", &at, fault
	b.writeRecord(j)
	return wait
}

// fail stores the error that ends a job, and what follows from it.
func (b *Bridge) fail(j *job, fault *messages.Error) {
	c := &call{b: b, op: j.record.Operation, requestID: j.record.RequestID, connection: j.key.connection,
		trace: traceOf(j.header)}
	msg := j.result(c, 0, j.record.Total)
	msg.Header.Set(messages.HeaderLast, "true")
	msg.Data = c.errorMessage(msg.Header, fault)
	if fault := b.storeResult(j, msg); fault != nil {
		b.t.Errorf("messagestest: the end of job %s: %v", j.key.id, fault)
	}
	if fault.Code != messages.Cancelled {
		letter := nats.NewMsg(messages.DeadSubject(j.key.connection, j.key.id))
		letter.Data = j.body
		c.errorMessage(letter.Header, fault)
		letter.Header.Set(messages.HeaderOperation, string(j.record.Operation))
		letter.Header.Set(messages.HeaderRequestID, j.record.RequestID)
		letter.Header.Set(messages.HeaderAttempts, strconv.Itoa(j.record.Attempts))
		if j.record.Incarnation != "" {
			letter.Header.Set(messages.HeaderIncarnation, j.record.Incarnation)
		}
		if _, err := b.store(letter); err != nil {
			b.t.Errorf("messagestest: the dead letter of job %s: %v", j.key.id, err)
		}
		j.dead = true
	}
	b.end(j, fault)
}

// end writes the record of a job that has ended, and removes its message.
func (b *Bridge) end(j *job, fault *messages.Error) {
	at := now()
	j.record.State, j.record.Owner, j.record.RetryAt, j.record.FinishedAt = messages.JobDone, "", nil, &at
	if j.record.Error = fault; fault != nil {
		if j.record.State = messages.JobFailed; fault.Code == messages.Cancelled {
			j.record.State = messages.JobCancelled
		}
	}
	b.writeRecord(j)
	b.forget(j.sequence)
}

// writeRecord stores a job's record.
func (b *Bridge) writeRecord(j *job) {
	j.record.Beat++
	msg := nats.NewMsg(messages.StateSubject(j.key.connection, j.key.id))
	msg.Data = wire(j.record)
	sequence, err := b.store(msg, jetstream.WithExpectLastSequencePerSubject(j.stated))
	if err != nil {
		b.t.Errorf("messagestest: the record of job %s: %v", j.key.id, err)
		return
	}
	j.stated = sequence
}

// forget removes the message of a job.
func (b *Bridge) forget(sequence uint64) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	stream, err := b.js.Stream(ctx, messages.JobsStream)
	if err == nil {
		err = stream.DeleteMsg(ctx, sequence)
	}
	if err != nil && !strings.Contains(err.Error(), "no message found") {
		b.t.Logf("messagestest: the message of a job stays in its stream: %v", err)
	}
}
