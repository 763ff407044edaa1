package handlers

import (
	"context"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// Jobs is what the durable lane does for the operations of jobs. Its errors are those that
// requesters see (*[messages.Error]), or of tokens and dynamics. Where there is no durable
// lane every method fails with not_supported and the reason.
type Jobs interface {
	// Get describes a job of a connection.
	Get(ctx context.Context, connection, id string) (messages.Job, error)
	// List is one page of the jobs of a connection, or without one of those that wait and run.
	List(ctx context.Context, in messages.JobsListRequest) (messages.JobsListReply, error)
	// Page is one message of a job's results, as it is stored.
	Page(ctx context.Context, connection, id string, page int) (route.Part, error)
	// Cancel ends a job. One that has ended is returned as it is.
	Cancel(ctx context.Context, connection, id string) (messages.Job, error)
	// Retry runs the job of a dead letter again under another id; "" makes one.
	Retry(ctx context.Context, connection, id, as string) (messages.Job, error)
	// Delete removes an ended job's results, record and dead letter, and reports whether
	// there was any.
	Delete(ctx context.Context, connection, id string) (bool, error)
}
