package handlers

import (
	"context"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// jobsGet answers jobs.get.
func (o *Operations) jobsGet(ctx context.Context, c route.Call, in messages.JobRequest) (messages.JobReply, error) {
	if err := checkJobID("job_id", in.JobID); err != nil {
		return messages.JobReply{}, err
	}
	job, err := o.jobs().Get(ctx, c.Connection, in.JobID)
	return messages.JobReply{Job: job}, err
}

// checkJobID refuses what cannot be the id of a job.
func checkJobID(member, id string) error {
	switch {
	case id == "":
		return messages.Invalid(member, "is missing")
	case !messages.ValidJobID(id):
		return messages.Invalid(member, "is not the id of a job: 1 to 64 letters, digits, _ and -")
	}
	return nil
}
