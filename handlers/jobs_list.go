package handlers

import (
	"context"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// jobsList answers jobs.list: the jobs of a connection, or on the plain subject without a
// connection those that wait and run.
func (o *Operations) jobsList(ctx context.Context, c route.Call,
	in messages.JobsListRequest) (messages.JobsListReply, error) {
	if in.PageSize == 0 {
		in.PageSize = messages.DefaultJobsPageSize
	}
	if in.PageSize > messages.MaxJobsPageSize {
		return messages.JobsListReply{}, messages.Invalid("page_size", "must be from 1 to %d", messages.MaxJobsPageSize)
	}
	in.Connection = c.Connection
	return o.jobs().List(ctx, in, c.Budget)
}
