package messages

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/klauspost/compress/zstd"
	"github.com/nats-io/nats.go"
)

// DefaultResultBody bounds the body of one result in bytes, decompressed. A page of Dataverse
// has 64 MiB at most.
const DefaultResultBody = 64 << 20

// ResultsOptions say how a job's results are read. The zero value reads all of them by
// jobs.results.
type ResultsOptions struct {
	// From is the number of the first page to read; 0 is 1. Whoever has kept pages up to N
	// goes on with N + 1.
	From int
	// Stream reads the stream CRM_RESULTS by a pull consumer, for volume: it takes the right to
	// make one. By default each page is asked for by jobs.results, which takes the right to a
	// subject only.
	Stream bool
	// Consumer is the consumer's name; "" is <connection>-reader. Readers that read at the
	// same time need names of their own.
	Consumer string
	// MaxBody bounds the body of one result, decompressed; 0 is DefaultResultBody.
	MaxBody int
}

// A Result is one message of a job's results.
type Result struct {
	Connection, JobID string
	// Page is the message's number. Last marks the end of the results.
	Page int
	Last bool
	// Rows counts the rows of the job up to this message. Total is how many there will be, nil
	// where that is not known.
	Rows  int64
	Total *int64
	// Incarnation is the connection's.
	Incarnation string
	// Body is the operation's reply in JSON, decompressed. See [TableClient.ReadPage] and
	// [ReadResult].
	Body []byte
}

// ReadResult reads the body of a result.
func ReadResult[T any](result *Result, codec Codec[T]) (*T, error) {
	var out T
	if err := codec.Read(result.Body, &out); err != nil {
		return nil, fmt.Errorf("page %d of job %s is not what crmbridge sends: %w", result.Page, result.JobID,
			withoutValue(err))
	}
	return &out, nil
}

// A JobError is the end of a job that failed or was cancelled. [errors.As] finds the
// [*Error] in it, which is crmbridge's.
type JobError struct {
	Connection, JobID string
	Page              int // the number of the message that ended the job; 0 where the job's record said so
	Cause             *Error
}

// Error is the job's id, and why it ended.
func (e *JobError) Error() string { return fmt.Sprintf("%s (job %s)", e.Cause.Error(), e.JobID) }

// Unwrap is why the job ended.
func (e *JobError) Unwrap() error { return e.Cause }

// Results yields the results of a job from a page on, as they come, up to the last one. It
// waits for pages of a job that runs, as long as ctx allows. It ends after the first error.
//
// A job that failed or was cancelled ends it with a *JobError; the pages before are good, and
// not all. Other errors say that reading failed: unavailable can be tried again from the page
// where it stopped; not_found is of a job that is gone, or of pages that are not kept any
// more (48 h), and internal of results that were lost.
//
// Every page comes once and in order. Results of another incarnation of the connection, which
// a process that was cut off may have stored, are left out.
func (j *JobsClient) Results(ctx context.Context, connection, id string,
	options ResultsOptions) iter.Seq2[*Result, error] {
	return func(yield func(*Result, error) bool) {
		if fault := validJob(connection, id); fault != nil {
			yield(nil, fault)
			return
		}
		r := &resultsReader{jobs: j, connection: connection, id: id, next: max(options.From, 1), most: options.MaxBody}
		if r.most <= 0 {
			r.most = DefaultResultBody
		}
		defer r.close()
		r.source = &askedResults{r}
		if options.Stream {
			source := &streamedResults{r: r, name: options.Consumer}
			if source.name == "" {
				source.name = connection + "-reader"
			}
			if !ValidConnection(source.name) && options.Consumer != "" {
				yield(nil, Invalid("consumer", "must be letters, digits, _ and -, at most %d", MaxConnection))
				return
			}
			defer source.close()
			r.source = source
		}
		for {
			result, err := r.read(ctx)
			if err == nil && result == nil {
				return
			}
			if !yield(result, err) || err != nil || result.Last {
				return
			}
		}
	}
}

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

// ReadPage reads a result of a search.
func (t *TableClient) ReadPage(result *Result) (*Page, error) {
	page, err := ReadResult(result, CodecFor[Page](t.table))
	if err == nil && page.Rows == nil {
		return nil, t.noRows(result)
	}
	return page, err
}

// ReadChanges reads a result of changes.
func (t *TableClient) ReadChanges(result *Result) (*ChangesReply, error) {
	page, err := ReadResult(result, CodecFor[ChangesReply](t.table))
	if err == nil && page.Rows == nil {
		return nil, t.noRows(result)
	}
	return page, err
}

// noRows is the error of a result that another operation brought.
func (t *TableClient) noRows(result *Result) error {
	return Invalid("job_id", "%s is no job that reads %s", result.JobID, t.table.Name)
}

// JobPages yields the pages of a search that runs as a job; see [JobsClient.Results].
func (t *TableClient) JobPages(ctx context.Context, connection, id string,
	options ResultsOptions) iter.Seq2[*Page, error] {
	return eachResult(t.client.Jobs().Results(ctx, connection, id, options), t.ReadPage)
}

// JobChanges yields the pages of changes that run as a job; see [JobsClient.Results]. The last
// one has the cursor for the next time.
func (t *TableClient) JobChanges(ctx context.Context, connection, id string,
	options ResultsOptions) iter.Seq2[*ChangesReply, error] {
	return eachResult(t.client.Jobs().Results(ctx, connection, id, options), t.ReadChanges)
}

func eachResult[T any](results iter.Seq2[*Result, error], read func(*Result) (*T, error)) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for result, err := range results {
			var page *T
			if err == nil {
				page, err = read(result)
			}
			if !yield(page, err) || err != nil {
				return
			}
		}
	}
}
