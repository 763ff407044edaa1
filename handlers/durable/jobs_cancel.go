package durable

import (
	"context"

	"github.com/crmbridge/crmbridge/messages"
)

// Cancel ends a job; one that has ended is returned as it is.
func (l *Lane) Cancel(ctx context.Context, connection, id string) (messages.Job, error) {
	if err := l.available(); err != nil {
		return messages.Job{}, err
	}
	job, err := l.cancelJob(ctx, connection, id)
	if err != nil {
		return messages.Job{}, asked(ctx, err)
	}
	if job.State == messages.JobCancelled {
		l.board.end(jobKey{connection, id}) // no call of it begins here after the answer
	}
	return job, nil
}
