package handlers

import (
	"context"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// jobsRetry answers jobs.retry: the request of a dead letter is a job again, under another
// id.
func (o *Operations) jobsRetry(ctx context.Context, c route.Call,
	in messages.JobRetryRequest) (messages.JobReply, error) {
	if err := checkJobID("job_id", in.JobID); err != nil {
		return messages.JobReply{}, err
	}
	if in.NewJobID != "" {
		if err := checkJobID("new_job_id", in.NewJobID); err != nil {
			return messages.JobReply{}, err
		}
	}
	if in.NewJobID == in.JobID {
		return messages.JobReply{}, messages.Invalid("new_job_id",
			"is the id of the job that failed; give another, or none")
	}
	job, err := o.jobs().Retry(ctx, c.Connection, in.JobID, in.NewJobID)
	return messages.JobReply{Job: job}, err
}
