package messages

import (
	"context"
	"iter"
)

// A JobsClient asks about jobs. Jobs are published by the methods of [TableClient] and
// [Client] whose names end in Job, and their results are read by [JobsClient.Results],
// [TableClient.JobPages] and [TableClient.JobChanges].
type JobsClient struct{ client *Client }

// Jobs asks about jobs.
func (c *Client) Jobs() *JobsClient { return &JobsClient{c} }

// Get describes a job. The error is not_found where there is none under the id, or none any
// more: a job is known for 7 days after it has ended.
func (j *JobsClient) Get(ctx context.Context, connection, id string) (*Job, error) {
	return j.one(ctx, JobsGet, connection, id)
}

// List returns one page of the jobs of a connection, or without a connection of those that
// wait and run.
func (j *JobsClient) List(ctx context.Context, in JobsListRequest) (*JobsListReply, error) {
	return call[JobsListReply](ctx, j.client, JobsList, &in)
}

// All yields the jobs of every page of a list, one request a page. It ends after the first
// error.
func (j *JobsClient) All(ctx context.Context, in JobsListRequest) iter.Seq2[*Job, error] {
	return func(yield func(*Job, error) bool) {
		for {
			page, err := j.List(ctx, in)
			if err != nil {
				yield(nil, err)
				return
			}
			for i := range page.Jobs {
				if !yield(&page.Jobs[i], nil) {
					return
				}
			}
			if page.NextCursor == "" {
				return
			}
			if page.NextCursor == in.Cursor {
				yield(nil, Errorf(Internal, "the list's cursors lead nowhere: there would be no end"))
				return
			}
			in.Cursor = page.NextCursor
		}
	}
}

// Cancel ends a job, and returns it as it is then: cancelled, or as it ended before.
func (j *JobsClient) Cancel(ctx context.Context, connection, id string) (*Job, error) {
	return j.one(ctx, JobsCancel, connection, id)
}

// Retry runs a job that failed again, under another id, and returns the new job.
func (j *JobsClient) Retry(ctx context.Context, in JobRetryRequest) (*Job, error) {
	reply, err := Ask[JobReply](ctx, j.client, JobsRetry, &in)
	if err != nil {
		return nil, err
	}
	return &reply.Job, nil
}

// Delete removes an ended job's results, record and dead letter, which gives room to others,
// and reports whether there was anything.
func (j *JobsClient) Delete(ctx context.Context, connection, id string) (deleted bool, err error) {
	reply, err := Ask[DeletedReply](ctx, j.client, JobsDelete, &JobRequest{Target{connection}, id})
	return err == nil && reply.Deleted, err
}

// one asks for something about one job that is answered with the job.
func (j *JobsClient) one(ctx context.Context, op Operation, connection, id string) (*Job, error) {
	reply, err := Ask[JobReply](ctx, j.client, op, &JobRequest{Target{connection}, id})
	if err != nil {
		return nil, err
	}
	return &reply.Job, nil
}

// aboutJob is validJob of a request about a job.
func aboutJob(in any) error {
	switch in := in.(type) {
	case *JobRequest:
		return validJob(*in.TargetID(), in.JobID)
	case *JobRetryRequest:
		return validJob(*in.TargetID(), in.JobID)
	}
	return nil
}

// validJob finds out before anything is sent that an id would not be one token of a subject.
func validJob(connection, id string) error {
	if !ValidConnection(connection) {
		return Invalid("connection", "is not a connection id: 1 to 64 letters, digits, _ and -")
	}
	if !ValidJobID(id) {
		return Invalid("job_id", "is not the id of a job: 1 to 64 letters, digits, _ and -")
	}
	return nil
}
