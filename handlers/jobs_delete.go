package handlers

import (
	"context"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// jobsDelete answers jobs.delete; that there is nothing to delete is no error, and said.
func (o *Operations) jobsDelete(ctx context.Context, c route.Call, in messages.JobRequest) (
	messages.DeletedReply, error) {
	if err := checkJobID("job_id", in.JobID); err != nil {
		return messages.DeletedReply{}, err
	}
	there, err := o.jobs().Delete(ctx, c.Connection, in.JobID)
	return messages.DeletedReply{Deleted: there}, err
}
