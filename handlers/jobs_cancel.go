package handlers

import (
	"context"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// jobsCancel answers jobs.cancel. A job that has ended stays as it is, which is no error.
func (o *Operations) jobsCancel(ctx context.Context, c route.Call, in messages.JobRequest) (messages.JobReply, error) {
	if err := checkJobID("job_id", in.JobID); err != nil {
		return messages.JobReply{}, err
	}
	job, err := o.jobs().Cancel(ctx, c.Connection, in.JobID)
	return messages.JobReply{Job: job}, err
}
