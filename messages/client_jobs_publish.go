package messages

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
)

// A JobPublication says how a job is published and run. Its zero value is a job under an id
// of its own.
type JobPublication struct {
	// JobOptions say how the job is run.
	JobOptions
	// ID is the job's id, 1 to 64 letters, digits, _ and -; "" makes a UUIDv7. Within 7 days an
	// id of a connection names one job, however often it is published: whoever keeps the id
	// before publishing can publish again after a crash.
	ID string
	// Deadline is when the job is given up; zero is the deployment's JOB_LIFETIME after its
	// publication. A context's deadline bounds the publishing, and not the job.
	Deadline time.Time
	// RequestID correlates the job with its results and with crmbridge's log; "" makes one.
	RequestID string
	// TraceParent and TraceState are the W3C trace context; "" for that of the span in the
	// context of the publication, if there is one.
	TraceParent, TraceState string
}

// A PublishedJob is a job that CRM_JOBS has taken.
type PublishedJob struct {
	Operation      Operation
	Connection, ID string
	RequestID      string // of this publication; the job has that of the first
	// Known says that the same job had been published under this id before: it waits, runs
	// or has ended, and this publication changes nothing.
	Known bool
}

// The bounds of a publication. A cluster pauses for about 8 s when the leader of a stream is
// killed, and all attempts together outlast that.
const (
	publishWait     = 2 * time.Second // for one acknowledgement
	publishAttempts = 10
	publishFirst    = 100 * time.Millisecond // the wait before another attempt, doubled each time
	publishMost     = 2 * time.Second
	lookWait        = 5 * time.Second // for one answer about a job

	publishUnsupported = 3 // attempts where crmbridge runs no jobs and no stream takes any
	fullWait           = 30 * time.Second
)

// publishJob publishes an operation as a job.
//
// The errors, where they are not about the request: overloaded with a time to wait where
// CRM_JOBS is full, invalid_request where the id names another job, unavailable otherwise.
// A job that is returned beside an error may have been accepted or not; publishing again
// under its id does no harm.
func publishJob[In any](ctx context.Context, c *Client, op Operation, codec Codec[In], in *In,
	how JobPublication) (*PublishedJob, error) {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	p := publication{client: c, given: how.ID != ""}
	var err error
	if p.job.ID, err = madeID(how.ID); err != nil {
		return nil, err
	}
	if p.job.RequestID, err = madeID(how.RequestID); err != nil {
		return nil, err
	}
	p.job.Operation, p.job.Connection = op, targetOf(in)
	if fault := validJob(p.job.Connection, p.job.ID); fault != nil {
		return nil, fault
	}
	if !ValidRequestID(p.job.RequestID) {
		return nil, Invalid("request_id", "must be 1 to %d printable ASCII characters without spaces", MaxRequestID)
	}
	body, err := codec.Encode(in)
	if err != nil {
		return nil, fmt.Errorf("%s: encode the job: %w", op, withoutValue(err))
	}
	p.msg = nats.NewMsg(op.JobSubject(p.job.Connection, p.job.ID))
	joined, fault := JoinJobOptions(body, how.JobOptions)
	if fault != nil {
		return nil, fault
	}
	p.msg.Data = joined
	p.msg.Header.Set(HeaderRequestID, p.job.RequestID)
	if !how.Deadline.IsZero() {
		p.msg.Header.Set(HeaderDeadline, how.Deadline.UTC().Format(time.RFC3339Nano))
	}
	if how.TraceParent == "" {
		inject(ctx, p.msg.Header)
	} else {
		p.msg.Header.Set(HeaderTraceParent, how.TraceParent)
		if how.TraceState != "" {
			p.msg.Header.Set(HeaderTraceState, how.TraceState)
		}
	}
	return p.publish(ctx)
}

// madeID is the id given, or a new one.
func madeID(given string) (string, error) {
	if given != "" {
		return given, nil
	}
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("make an id: %w", err)
	}
	return id.String(), nil
}

// A publication is a job on its way to CRM_JOBS.
//
// It has no Nats-Msg-Id. JetStream knows such ids for the whole stream, so that somebody
// else's message with the same one would make the server drop this job and acknowledge it.
type publication struct {
	client *Client
	msg    *nats.Msg
	job    PublishedJob
	given  bool // the id is the caller's and may have been used
	lost   bool // an attempt went unanswered: a job that is found may be this one

	noStream    bool   // no stream took the last attempt
	unsupported *Error // what a crmbridge that runs no jobs said, when it was asked last
}

func (p *publication) publish(ctx context.Context) (*PublishedJob, error) {
	if p.given {
		// The message of a job that has ended is gone, and JetStream would take it again.
		there, err := p.look(ctx)
		if err != nil {
			return nil, err
		}
		if there == foundSame {
			p.job.Known = true
			return &p.job, nil
		}
	}
	wait := publishFirst
	for attempt := 1; ; attempt++ {
		refused, err := p.send(ctx)
		if err == nil {
			return &p.job, nil
		}
		if errors.Is(err, errFinal) {
			return nil, errors.Unwrap(err)
		}
		there, other := p.look(ctx)
		switch {
		case other != nil:
			return nil, other
		case there == foundSame:
			p.job.Known = !p.lost
			return &p.job, nil
		case refused.full() && there == foundNot:
			return nil, Errorf(Overloaded, "the stream %s is full (%s): the job was not accepted",
				JobsStream, refused.Description).After(fullWait)
		case p.noStream && !p.lost && p.unsupported != nil && attempt >= publishUnsupported:
			return &p.job, Errorf(NotSupported, "the job was not accepted: %s", p.unsupported.Message)
		case attempt == publishAttempts, ctx.Err() != nil:
			return p.givenUp(ctx, there, err)
		}
		select {
		case <-ctx.Done():
			return p.givenUp(ctx, there, err)
		case <-time.After(wait/2 + rand.N(wait)):
		}
		wait = min(2*wait, publishMost)
	}
}

// givenUp is the answer after the last attempt. The job goes with it, since who publishes it
// again must do so under its id.
func (p *publication) givenUp(ctx context.Context, there found, err error) (*PublishedJob, error) {
	what := "it is not known whether the job was accepted; publish it again under its id " + p.job.ID
	if there == foundNot && !p.lost {
		what = "the job was not accepted"
	}
	if ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled) {
		return &p.job, fmt.Errorf("%s: %w", what, ctx.Err())
	}
	return &p.job, Errorf(Unavailable, "%s: %v", what, err).Because(err)
}

// errFinal wraps an error of a publish that another attempt would meet again.
var errFinal = errors.New("final")

type finalError struct{ error }

func (f finalError) Unwrap() error        { return f.error }
func (f finalError) Is(target error) bool { return target == errFinal }

// refusal is why JetStream did not take a message.
type refusal struct {
	Code        int    `json:"err_code"`
	Description string `json:"description"`
}

// Error codes of JetStream.
const (
	codeStreamFull      = 10077 // by a limit of the stream, or by the one message that a subject may have
	codeMessageTooLarge = 10054
	codeHeadersTooLarge = 10097
)

// full reports whether a limit of the whole stream refused the message. A subject that has its
// one message is refused with the same code and other words.
func (r *refusal) full() bool {
	return r != nil && r.Code == codeStreamFull && !strings.Contains(r.Description, "per subject")
}

// send publishes once and reads JetStream's acknowledgement. refused is what JetStream
// answered, nil where no answer came.
func (p *publication) send(ctx context.Context) (refused *refusal, err error) {
	waiting, cancel := context.WithTimeout(ctx, publishWait)
	defer cancel()
	reply, err := p.client.nc.RequestMsgWithContext(waiting, p.msg)
	p.noStream = errors.Is(err, nats.ErrNoResponders)
	switch {
	case p.noStream:
		return nil, fmt.Errorf("no stream takes jobs on %s: is JetStream there, and has a crmbridge made %s?",
			p.msg.Subject, JobsStream)
	case errors.Is(err, nats.ErrMaxPayload):
		return nil, finalError{transportError(ctx, p.msg.Subject, err)}
	case err != nil:
		p.lost = true
		if said := p.client.nc.LastError(); errors.Is(said, nats.ErrPermissionViolation) &&
			strings.Contains(said.Error(), `"`+p.msg.Subject+`"`) {
			return nil, finalError{Errorf(Unavailable, "%v", said).Because(said)}
		}
		return nil, fmt.Errorf("no acknowledgement of %s came: %w", p.msg.Subject, err)
	}
	var ack struct {
		Error  *refusal `json:"error"`
		Stream string   `json:"stream"`
		Seq    uint64   `json:"seq"`
	}
	if json.Unmarshal(reply.Data, &ack) != nil || ack.Error == nil && ack.Seq == 0 {
		p.lost = true
		return nil, errors.New("what answered the publication is not JetStream")
	}
	switch {
	case ack.Error == nil && ack.Stream != JobsStream:
		return nil, finalError{Errorf(ConfigurationError, "the stream %s took the job in place of %s; take %s out "+
			"of its subjects", ack.Stream, JobsStream, p.msg.Subject)}
	case ack.Error == nil:
		return nil, nil
	case ack.Error.Code == codeMessageTooLarge, ack.Error.Code == codeHeadersTooLarge:
		return ack.Error, finalError{Errorf(TooLarge, "the stream %s does not take the job: %s", JobsStream,
			ack.Error.Description)}
	}
	return ack.Error, fmt.Errorf("the stream %s does not take the job: %s (%d)", JobsStream,
		ack.Error.Description, ack.Error.Code)
}
