package messagestest

import (
	"cmp"
	"context"
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/messages"
)

// aboutJobs answers jobs.*.
func (c *call) aboutJobs(body []byte, send sender) *messages.Error {
	switch c.op {
	case messages.JobsList:
		return plain(c, body, send, false, c.listJobs)
	case messages.JobsResults:
		in, fault := decode(c, messages.NewCodec[messages.JobResultsRequest](), body, true)
		if fault != nil {
			return fault
		}
		p, fault := c.jobPage(in)
		if fault != nil {
			return fault
		}
		return send(p, false)
	case messages.JobsRetry:
		return plain(c, body, send, true, c.retryJob)
	case messages.JobsDelete:
		return plain(c, body, send, true, c.deleteJob)
	case messages.JobsCancel:
		return plain(c, body, send, true, c.cancelJob)
	}
	return plain(c, body, send, true, func(in messages.JobRequest) (out messages.JobReply, fault *messages.Error) {
		if fault = first(checkJobID("job_id", in.JobID), c.tried(checkJobID("job_id", in.JobID))); fault != nil {
			return out, fault
		}
		j, fault := c.jobOf(in.JobID)
		if fault == nil {
			out.Job = j.described()
		}
		return out, fault
	})
}

func checkJobID(member, id string) *messages.Error {
	switch {
	case id == "":
		return messages.Invalid(member, "is missing")
	case !messages.ValidJobID(id):
		return messages.Invalid(member, "is not the id of a job: 1 to 64 letters, digits, _ and -")
	}
	return nil
}

func (j *job) described() messages.Job {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.record.Job
}

// jobOf finds a job of the call's connection, one that has not been taken in yet among them.
func (c *call) jobOf(id string) (*job, *messages.Error) {
	conn, err := c.b.connection(c.connection)
	if err != nil {
		return nil, noConnection(c.connection)
	}
	incarnation := conn.Incarnation()
	for range 2 { // it may be taken in, and end, while its message is looked for
		c.b.mu.Lock()
		j := c.b.jobs[jobKey{c.connection, id}]
		c.b.mu.Unlock()
		if j != nil {
			if of := j.described().Incarnation; of == "" || of == incarnation {
				return j, nil
			}
		}
		if j = c.b.waiting(c.connection, id); j != nil {
			return j, nil
		}
	}
	return nil, messages.Errorf(messages.NotFound, "the connection has no job of this id; jobs are known for 7 days")
}

// waiting finds the message of a job that has not been taken in.
func (b *Bridge) waiting(connection, id string) *job {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	stream, err := b.js.Stream(ctx, messages.JobsStream)
	if err != nil {
		return nil
	}
	msg, err := stream.GetLastMsgForSubject(ctx, messages.Operation("*.*").JobSubject(connection, id))
	if err != nil {
		return nil
	}
	j := &job{subject: msg.Subject, header: msg.Header, body: msg.Data, sequence: msg.Sequence}
	j.open(msg.Time)
	return j
}

// jobPage is one message of a job's results, as it is stored.
func (c *call) jobPage(in messages.JobResultsRequest) (p part, fault *messages.Error) {
	if fault = checkJobID("job_id", in.JobID); fault == nil && in.Page == 0 {
		fault = messages.Invalid("page", "is missing; the first is 1")
	}
	if fault = first(fault, c.tried(fault)); fault != nil {
		return p, fault
	}
	j, fault := c.jobOf(in.JobID)
	if fault != nil {
		return p, fault
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case int(in.Page) <= len(j.results):
		msg := j.results[in.Page-1]
		p = part{body: msg.Data, header: nats.Header{}, last: true}
		maps.Copy(p.header, msg.Header)
		p.header.Del(messages.HeaderCheckpoint)
		return p, nil
	case j.record.State.Ended():
		return p, messages.Errorf(messages.NotFound, "the job has ended with page %d", len(j.results))
	}
	fault = messages.Errorf(messages.NotFound, "page %d is not stored yet; the job goes on", in.Page)
	fault.Retryable = true
	return p, fault.After(time.Second)
}

func (c *call) cancelJob(in messages.JobRequest) (out messages.JobReply, fault *messages.Error) {
	fault = checkJobID("job_id", in.JobID)
	if fault = first(fault, c.tried(fault)); fault != nil {
		return out, fault
	}
	j, fault := c.jobOf(in.JobID)
	if fault != nil {
		return out, fault
	}
	c.b.mu.Lock()
	if known := c.b.jobs[j.key]; known == nil || known.record.Digest != j.record.Digest {
		c.b.jobs[j.key] = j // it has not been taken in, and will be as one that has ended
	} else {
		j = known
	}
	c.b.mu.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.record.State.Ended() {
		if conn, err := c.b.connection(c.connection); err == nil && j.record.Incarnation == "" {
			j.record.Incarnation = conn.Incarnation()
		}
		c.b.fail(j, messages.Errorf(messages.Cancelled, "the job was cancelled"))
		if j.stop != nil {
			j.stop()
		}
	}
	out.Job = j.record.Job
	return out, nil
}

func (c *call) deleteJob(in messages.JobRequest) (out messages.DeletedReply, fault *messages.Error) {
	fault = checkJobID("job_id", in.JobID)
	if fault = first(fault, c.tried(fault)); fault != nil {
		return out, fault
	}
	j, fault := c.jobOf(in.JobID)
	if fault != nil {
		if fault.Code == messages.NotFound {
			return out, nil
		}
		return out, fault
	}
	if !j.described().State.Ended() {
		return out, messages.Invalid("job_id", "the job has not ended; cancel it first (jobs.cancel)")
	}
	c.b.mu.Lock()
	delete(c.b.jobs, j.key)
	c.b.mu.Unlock()
	c.b.purgeJob(j.key.connection, j.key.id)
	out.Deleted = true
	return out, nil
}

func (c *call) retryJob(in messages.JobRetryRequest) (out messages.JobReply, fault *messages.Error) {
	if fault = checkJobID("job_id", in.JobID); fault == nil && in.NewJobID != "" {
		fault = checkJobID("new_job_id", in.NewJobID)
	}
	if fault == nil && in.NewJobID == in.JobID {
		fault = messages.Invalid("new_job_id", "is the id of the job that failed; give another, or none")
	}
	if fault = first(fault, c.tried(fault)); fault != nil {
		return out, fault
	}
	j, fault := c.jobOf(in.JobID)
	if fault != nil && fault.Code != messages.NotFound {
		return out, fault
	}
	if j == nil || !j.isDead() {
		return out, messages.Errorf(messages.NotFound,
			"the connection has no dead letter of this job: only jobs that failed have one, for 30 days")
	}
	id := cmp.Or(in.NewJobID, newID())
	if again, fault := c.jobOf(id); fault == nil {
		if out.Job = again.described(); out.Job.RetryOf != in.JobID {
			return messages.JobReply{}, messages.Invalid("new_job_id", "is the id of another job of the connection")
		}
		return out, nil
	}
	msg := nats.NewMsg(j.record.Operation.JobSubject(c.connection, id))
	msg.Data = j.body
	msg.Header.Set(messages.HeaderRetryOf, in.JobID)
	msg.Header.Set(messages.HeaderRequestID, j.record.RequestID)
	if _, err := c.b.store(msg); err != nil {
		return out, messages.Errorf(messages.Unavailable, "JetStream does not answer, or not as it should; try again").
			After(time.Second)
	}
	made, fault := c.jobOf(id)
	if fault == nil {
		out.Job = made.described()
	}
	return out, fault
}

func (j *job) isDead() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.dead
}

func (c *call) listJobs(in messages.JobsListRequest) (out messages.JobsListReply, fault *messages.Error) {
	out.Jobs = []messages.Job{}
	if fault = checkPageSize(in.PageSize, messages.MaxJobsPageSize); fault != nil {
		return out, fault
	}
	size := cmp.Or(int(in.PageSize), messages.DefaultJobsPageSize)
	text, err := base64.RawURLEncoding.DecodeString(in.Cursor)
	if in.Cursor != "" && (err != nil || strings.Count(string(text), ".") != 1) {
		return out, messages.Invalid("cursor", "is not a next_cursor of jobs.list for the same connection, or for none")
	}
	if fault = c.try(); fault != nil {
		return out, fault
	}
	incarnation := ""
	if c.connection != "" {
		conn, err := c.b.connection(c.connection)
		if err != nil {
			return out, noConnection(c.connection)
		}
		incarnation = conn.Incarnation()
	}
	for _, job := range c.b.allJobs() {
		of := job.Connection + "." + job.ID
		if of <= string(text) || c.connection != "" && (job.Connection != c.connection ||
			job.Incarnation != "" && job.Incarnation != incarnation) || c.connection == "" && job.State.Ended() {
			continue
		}
		if len(out.Jobs) == size {
			last := out.Jobs[size-1]
			out.NextCursor = base64.RawURLEncoding.EncodeToString([]byte(last.Connection + "." + last.ID))
			break
		}
		out.Jobs = append(out.Jobs, job)
	}
	return out, nil
}

// allJobs are the jobs that have been taken in, in the order of connection and id.
func (b *Bridge) allJobs() (all []messages.Job) {
	b.mu.Lock()
	known := slices.Collect(maps.Values(b.jobs))
	b.mu.Unlock()
	for _, j := range known {
		all = append(all, j.described())
	}
	slices.SortFunc(all, func(x, y messages.Job) int {
		return cmp.Or(cmp.Compare(x.Connection, y.Connection), cmp.Compare(x.ID, y.ID))
	})
	return all
}

// purge removes everything of a connection that was deleted.
func (b *Bridge) purge(connection string) {
	b.mu.Lock()
	var of []*job
	for key, j := range b.jobs {
		if key.connection == connection {
			of = append(of, j)
			delete(b.jobs, key)
		}
	}
	b.mu.Unlock()
	for _, j := range of {
		j.mu.Lock()
		if !j.record.State.Ended() {
			j.record.State = messages.JobCancelled // nothing more of it is stored
			b.forget(j.sequence)
		}
		if j.stop != nil {
			j.stop()
		}
		j.mu.Unlock()
	}
	b.purgeJob(connection, "*")
}

// purgeJob removes what is stored of jobs that have ended.
func (b *Bridge) purgeJob(connection, id string) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for stream, subject := range map[string]string{messages.ResultsStream: messages.ResultSubject(connection, id),
		messages.DeadStream:  messages.DeadSubject(connection, id),
		messages.StateStream: messages.StateSubject(connection, id)} {
		of, err := b.js.Stream(ctx, stream)
		if err == nil {
			err = of.Purge(ctx, jetstream.WithPurgeSubject(subject))
		}
		if err != nil {
			b.t.Errorf("messagestest: purge %s: %v", stream, err)
		}
	}
}
