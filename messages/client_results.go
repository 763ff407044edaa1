package messages

import (
	"context"
	"fmt"
	"iter"
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
