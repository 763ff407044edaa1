package messages

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/klauspost/compress/zstd"
	"github.com/nats-io/nats.go"
)

// A resultSource brings messages of a job's results.
type resultSource interface {
	// message is the message of a page in the job's incarnation, nil where it is not there
	// (yet): after some seconds at the latest.
	message(ctx context.Context, page int) (*nats.Msg, error)
}

// A resultsReader reads the results of one job.
type resultsReader struct {
	jobs           *JobsClient
	connection, id string
	source         resultSource
	most           int
	decoder        *zstd.Decoder // nil until a body is compressed

	next        int    // the page to read
	incarnation string // of the job, "" until it is known
	any         bool   // the job's record names no incarnation
	waited      bool   // the source has waited for the page already
	failures    int    // in a row
	missing     int    // how often in a row the job's record had the page and the source had not
	wake        *JobWatch
	wait        waits
}

// read waits for the next result; nil is the end of a job whose last page had been read.
func (r *resultsReader) read(ctx context.Context) (*Result, error) {
	for {
		r.waited = false
		msg, err := r.source.message(ctx, r.next)
		if err == nil && msg != nil {
			r.failures, r.missing = 0, 0
			r.wait.reset()
			return r.open(msg)
		}
		if err == nil {
			var ended bool
			if ended, err = r.consider(ctx); err == nil && ended {
				return nil, nil
			}
		}
		if err != nil && !r.again(ctx, err) {
			if final, ok := errors.AsType[finalError](err); ok {
				err = final.error
			}
			return nil, err
		}
		if err == nil && r.waited && r.missing == 0 {
			continue
		}
		if err := r.pause(ctx); err != nil {
			return nil, err
		}
	}
}

// errForeign: a message belongs to another incarnation of the connection.
var errForeign = errors.New("the result belongs to another incarnation of the connection")

// ours finds out whether a message belongs to the incarnation in which the job runs. An end
// that was stored when there was no connection has none.
func (r *resultsReader) ours(ctx context.Context, msg *nats.Msg) error {
	its := msg.Header.Get(HeaderIncarnation)
	if r.any || its == "" {
		return nil
	}
	if r.incarnation == "" {
		job, err := r.jobs.Get(ctx, r.connection, r.id)
		switch {
		case err != nil:
			return err
		case job.Incarnation == "" && job.State == JobQueued:
			return errForeign // the job has not begun
		case job.Incarnation == "":
			r.any = true
			return nil
		}
		r.incarnation = job.Incarnation
	}
	if its != r.incarnation {
		return errForeign
	}
	return nil
}

// consider asks for the job whose next page is not there. ended says that there is no next
// page.
func (r *resultsReader) consider(ctx context.Context) (ended bool, err error) {
	job, err := r.jobs.Get(ctx, r.connection, r.id)
	if err != nil {
		return false, err
	}
	switch {
	case r.incarnation != "" && job.Incarnation != "" && job.Incarnation != r.incarnation:
		return false, Errorf(ConnectionNotFound, "the connection %s was deleted and made again meanwhile: the results "+
			"of job %s are gone", r.connection, r.id)
	case !job.State.Ended() && job.Pages < r.next:
		return false, nil
	}
	// A page that should be there may be on its way from the stream's leader. What is still
	// missing after some tries is gone.
	if r.missing++; job.Pages >= r.next && r.missing <= mostMissing {
		return false, nil
	}
	switch {
	case job.Pages >= r.next:
		return false, errAgedOut(r.id, r.next, "")
	case job.State == JobDone && r.next > job.Pages+1:
		return false, Invalid("page", "job %s has %d pages; %d is none of them", r.id, job.Pages, r.next)
	case job.State == JobDone:
		return true, nil
	}
	cause := job.Error
	if cause == nil {
		code := Internal
		if job.State == JobCancelled {
			code = Cancelled
		}
		cause = Errorf(code, "%s", code.Sentence())
	}
	return false, &JobError{Connection: r.connection, JobID: r.id, Cause: cause}
}

// mostMissing is how often a page that the job is known to have is looked for: about 3 s long.
const mostMissing = 6

func errAgedOut(id string, page int, more string) *Error {
	return Errorf(NotFound, "page %d of job %s is not kept any more%s: results are kept for 48 h, and until the job "+
		"is deleted", page, id, more)
}

// mostFailures is how often in a row reading may fail.
const mostFailures = 10

// again reports whether reading goes on after an error.
func (r *resultsReader) again(ctx context.Context, err error) bool {
	fault, ok := errors.AsType[*Error](err)
	if !ok || !fault.Code.Retryable() || errors.Is(err, errFinal) || ctx.Err() != nil {
		return false
	}
	if _, ended := errors.AsType[*JobError](err); ended {
		return false
	}
	r.failures++
	return r.failures < mostFailures
}

// open reads a message of the job.
func (r *resultsReader) open(msg *nats.Msg) (*Result, error) {
	header := msg.Header
	result := &Result{Connection: r.connection, JobID: r.id, Page: r.next, Last: header.Get(HeaderLast) == "true",
		Incarnation: header.Get(HeaderIncarnation), Body: msg.Data}
	if n, err := strconv.ParseInt(header.Get(HeaderRows), 10, 64); err == nil {
		result.Rows = n
	}
	if n, err := strconv.ParseInt(header.Get(HeaderTotal), 10, 64); err == nil {
		result.Total = &n
	}
	switch encoding := header.Get(HeaderContentEncoding); encoding {
	case "":
	case EncodingZstd:
		body, err := r.decompress(msg.Data)
		if err != nil {
			return nil, fmt.Errorf("page %d of job %s cannot be decompressed: %w", r.next, r.id, err)
		}
		result.Body = body
	default:
		return nil, fmt.Errorf("page %d of job %s is encoded as %q, which this version does not know", r.next, r.id,
			Printable(encoding))
	}
	if isError(msg) {
		var reply ErrorReply
		if err := json.Unmarshal(result.Body, &reply); err != nil || reply.Error == nil {
			code := Code(header.Get(HeaderErrorCode))
			if code == "" {
				code = Internal
			}
			reply.Error = Errorf(code, "%s", code.Sentence())
		}
		return nil, &JobError{r.connection, r.id, r.next, reply.Error}
	}
	r.next++
	return result, nil
}

// decompress takes no more memory than a body may have, whatever the message claims.
func (r *resultsReader) decompress(body []byte) ([]byte, error) {
	if r.decoder == nil {
		decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(r.most)))
		if err != nil {
			return nil, err
		}
		r.decoder = decoder
	}
	return r.decoder.DecodeAll(body, nil)
}

func (r *resultsReader) close() {
	if r.decoder != nil {
		r.decoder.Close()
	}
	if r.wake != nil {
		r.wake.Close()
	}
}
