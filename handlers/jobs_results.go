package handlers

import (
	"context"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// jobsResults answers jobs.results with one message of a job's results as it is stored. Where
// that is the error that ended the job, the answer is that error.
func (o *Operations) jobsResults(ctx context.Context, c route.Call, in messages.JobResultsRequest) (route.Part, error) {
	if err := checkJobID("job_id", in.JobID); err != nil {
		return route.Part{}, err
	}
	if in.Page == 0 {
		return route.Part{}, messages.Invalid("page", "is missing; the first is 1")
	}
	return o.jobs().Page(ctx, c.Connection, in.JobID, int(in.Page))
}
