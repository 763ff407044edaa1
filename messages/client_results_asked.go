package messages

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// askedResults asks for each page by jobs.results.
type askedResults struct{ r *resultsReader }

func (a *askedResults) message(ctx context.Context, page int) (*nats.Msg, error) {
	msg, err := a.r.jobs.page(ctx, a.r.connection, a.r.id, page)
	if err != nil || msg == nil {
		return nil, err
	}
	if err := a.r.ours(ctx, msg); errors.Is(err, errForeign) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return msg, nil
}

// page is one message of a job's results as it is stored, nil where it is not there.
func (j *JobsClient) page(ctx context.Context, connection, id string, page int) (*nats.Msg, error) {
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	in := JobResultsRequest{Target{connection}, id, Count(page)}
	msg, err := message(ctx, JobsResults, NewCodec[JobResultsRequest](), &in)
	if err != nil {
		return nil, err
	}
	answer, err := j.client.nc.RequestMsgWithContext(ctx, msg)
	if err != nil {
		return nil, transportError(ctx, msg.Subject, err)
	}
	// A stored message has a number, also where it is the error that ended the job; an error
	// of this request has none.
	if number := answer.Header.Get(HeaderPage); number == strconv.Itoa(page) {
		return answer, nil
	} else if number != "" {
		return nil, Errorf(Internal, "page %d of job %s was asked for, and %s came", page, id, Printable(number))
	}
	_, err = readReply(answer, NewCodec[Head]())
	if err == nil {
		return nil, Errorf(Internal, "page %d of job %s was asked for, and something without a number came", page, id)
	}
	if fault, ok := err.(*Error); ok && fault.Code == NotFound {
		return nil, nil
	}
	return nil, err
}

// Page is one message of a job's results by jobs.results: not_found where it is not there.
// A job's last page may be its error, a *JobError.
func (j *JobsClient) Page(ctx context.Context, connection, id string, page int) (*Result, error) {
	if fault := validJob(connection, id); fault != nil {
		return nil, fault
	}
	if page < 1 {
		return nil, Invalid("page", "must be a whole number from 1 on")
	}
	msg, err := j.page(ctx, connection, id, page)
	if err != nil {
		return nil, err
	}
	if msg == nil {
		return nil, Errorf(NotFound, "page %d of job %s is not there: it has not come yet, or is not kept any more",
			page, id)
	}
	r := &resultsReader{jobs: j, connection: connection, id: id, next: page, most: DefaultResultBody}
	defer r.close()
	return r.open(msg)
}

// Waiting for a page that is not there yet. A record of the job wakes the reader; where none
// comes, because the user may not subscribe to it, it asks from time to time.
const (
	waitFirst = 50 * time.Millisecond
	waitMost  = 5 * time.Second
)

// waits are the times between two questions, each twice as long as the one before.
type waits struct{ last time.Duration }

func (w *waits) reset() { w.last = 0 }

func (w *waits) next() time.Duration {
	w.last = min(max(2*w.last, waitFirst), waitMost)
	return w.last
}

// pause waits until the job's record changes, or for a while. Its error is ctx's.
func (r *resultsReader) pause(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, r.wait.next())
	defer cancel()
	if r.wake == nil {
		if watch, err := r.jobs.watch(waiting, r.connection, r.id); err == nil {
			r.wake = watch
		}
	}
	if r.wake != nil {
		if _, err := r.wake.Next(waiting); err == nil {
			r.wait.reset()
			return ctx.Err()
		}
	}
	<-waiting.Done() // also where the watch has ended: a question without a pause would be the next
	return ctx.Err()
}
