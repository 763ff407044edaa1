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
	// List is one page of the jobs of a connection, or without one of those that wait and run. The
	// reply takes at most budget bytes.
	List(ctx context.Context, in messages.JobsListRequest, budget int) (messages.JobsListReply, error)
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

// noJobs is the lane of a process that has none.
type noJobs struct{}

func (noJobs) fault() error {
	return messages.Errorf(messages.NotSupported, "this crmbridge runs no jobs: it has no durable lane")
}

func (n noJobs) Get(context.Context, string, string) (messages.Job, error) {
	return messages.Job{}, n.fault()
}

func (n noJobs) List(context.Context, messages.JobsListRequest, int) (messages.JobsListReply, error) {
	return messages.JobsListReply{}, n.fault()
}

func (n noJobs) Page(context.Context, string, string, int) (route.Part, error) {
	return route.Part{}, n.fault()
}

func (n noJobs) Cancel(context.Context, string, string) (messages.Job, error) {
	return messages.Job{}, n.fault()
}

func (n noJobs) Retry(context.Context, string, string, string) (messages.Job, error) {
	return messages.Job{}, n.fault()
}

func (n noJobs) Delete(context.Context, string, string) (bool, error) { return false, n.fault() }

// jobs is the durable lane.
func (o *Operations) jobs() Jobs {
	if o.Jobs == nil {
		return noJobs{}
	}
	return o.Jobs
}
