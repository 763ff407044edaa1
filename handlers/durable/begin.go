package durable

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/budget"
	"github.com/crmbridge/crmbridge/messages"
)

// begin finds out where the job stands: from what is stored of its results, and nothing else.
func (x *execution) begin(ctx context.Context) error {
	record := x.hold.known()
	at, unread := x.read(ctx)
	if unread != nil && !errors.Is(unread, errForeign) {
		return unread
	}
	// The connection is asked after the results were read: see dismiss.
	current, err := x.lane.incarnation(ctx, x.key.connection)
	if err == nil {
		x.incarnation = current
		if unread != nil || at.sequence != 0 && at.incarnation != current {
			at, unread = x.last(ctx)
		}
		err = unread
	} else if x.incarnation = cmp.Or(record.Incarnation, at.incarnation); at.last && at.incarnation == x.incarnation {
		err = nil // whatever becomes of the connection, the job has ended
		current = x.incarnation
	}
	x.at = afterAll(at, record)
	switch {
	case err != nil:
		return err
	case record.Incarnation != "" && record.Incarnation != current:
		// The record is of a connection that is gone, and this job was published since.
		x.forget()
	case at.sequence == 0 && record.Pages > 0:
		return errLost
	}
	x.moveTo(at)
	return nil
}

// mostCounted bounds numbers in what is stored: more is none of crmbridge's, and would overflow.
const mostCounted = 1 << 50

// sane is a record without numbers that no job comes to: another NATS user may have written it.
func sane(r messages.JobRecord) messages.JobRecord {
	r.Pages, r.Rows, r.Bytes = countable(r.Pages), countable(r.Rows), countable(r.Bytes)
	r.Attempts, r.Takeovers = countable(r.Attempts), countable(r.Takeovers)
	if r.Total != nil && (*r.Total < 0 || *r.Total > mostCounted) {
		r.Total = nil
	}
	return r
}

func countable[N int | int64](n N) N { return min(max(n, 0), mostCounted) }

// afterAll is the place behind everything that is stored, or was.
func afterAll(at stored, record messages.JobRecord) stored {
	if at.page < record.Pages {
		at.page, at.rows = record.Pages, max(at.rows, record.Rows)
	}
	return at
}

// forget takes a record for that of a job that nobody has run.
func (x *execution) forget() {
	x.bytes = 0
	x.note(func(r *messages.JobRecord) {
		r.Pages, r.Rows, r.Bytes, r.Total, r.Attempts, r.Takeovers = 0, 0, 0, nil, 0, 0
	})
}

// errOverdue: the job's deadline has passed.
var errOverdue = errors.New("the job's deadline has passed")

// permit finds what ends a job before anything is executed.
func (x *execution) permit() error {
	x.call.Deadline = x.message.Time.Add(x.lane.options.JobLifetime)
	header := x.message.Header
	if text := header.Get(messages.HeaderDeadline); text != "" {
		deadline, err := dynamics.ParseTime(text)
		if err != nil {
			return messages.Invalid(messages.HeaderDeadline, "must be an RFC 3339 time such as 2026-01-31T12:00:00Z")
		}
		if deadline.Before(x.call.Deadline) {
			x.call.Deadline = deadline
		}
	}
	if id := header.Get(messages.HeaderRequestID); id != "" && !messages.ValidRequestID(id) {
		return messages.Invalid(messages.HeaderRequestID, "must be 1 to %d printable ASCII characters without spaces",
			messages.MaxRequestID)
	}
	if !messages.ValidJobID(x.key.id) {
		// No operation on jobs could name it, neither to read nor to delete its results.
		return messages.Invalid("", "the last part of the job's subject is not the id of a job: 1 to 64 letters, digits, "+
			"_ and -")
	}
	if !time.Now().Before(x.call.Deadline) {
		return errOverdue
	}
	if n := x.hold.known().Takeovers; n >= mostTakeovers {
		return final(messages.Errorf(messages.Internal, "%d processes in a row ended, or stood still, while they ran "+
			"this job, and stored no page of it; it is not tried again", n))
	}
	return nil
}

// errUnknownOperation: the operation is left to processes that know it.
var errUnknownOperation = errors.New("this process does not know the operation")

// prepare reads the job's own options, and takes the memory that its body holds.
func (x *execution) prepare() (*budget.Account, error) {
	var known bool
	if x.route, known = x.lane.routes[x.call.Operation]; !known {
		return nil, errUnknownOperation
	}
	account, err := x.lane.options.Memory.Open(int64(len(x.message.Data)))
	if err != nil {
		return nil, err
	}
	var fault *messages.Error
	if x.options, x.body, fault = messages.SplitJobOptions(x.message.Data); fault != nil {
		account.Close()
		return nil, fault
	}
	return account, nil
}

// resume opens the checkpoint of the last stored page.
func (x *execution) resume() error {
	if x.at.sequence == 0 {
		x.place, x.bytes = nil, 0
		return nil
	}
	point, err := x.lane.open(x.at.checkpoint, x.key, x.incarnation, x.at.page)
	if err != nil {
		return err
	}
	x.place, x.bytes = bytes.Clone(point.place), point.bytes+int64(len(x.at.checkpoint))
	if x.place == nil {
		x.place = []byte{} // a place, and not the beginning
	}
	return nil
}
