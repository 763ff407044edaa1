package route

import (
	"context"
	"time"

	"github.com/crmbridge/crmbridge/messages"
)

// A Call is one request as its operation sees it. It is a value: what an operation
// writes to it, nobody else reads.
type Call struct {
	Operation messages.Operation
	RequestID string
	// Connection is the connection that the request is about, "" for operations over
	// all connections. It is settled before the operation runs.
	Connection string
	// Scope is the connection that the subject names, "" on a plain subject.
	Scope string
	// Named is the connection that the lane found in the body, in memory of its own, "" where
	// it has not looked.
	Named string
	// Deadline is when the requester stops waiting: work is not begun after it and
	// abandoned at it.
	Deadline time.Time
	// Budget is how many bytes the body of one reply may have.
	Budget int
	// Job is what the request is run as by the durable lane, nil on the interactive one.
	Job *Job
}

// A Job is how an operation runs as a job: it reads everything that the request asks for,
// page after page, and may be run again from any page that it gave the place of.
//
// Parts up to one with a [Part.Place] are stored together or not at all, so they end where
// a page of Dataverse ends. Their bodies stay as they are until the operation is asked for the
// part after that one, or told that none is wanted; they may be another page's from then on.
type Job struct {
	ID string
	// Incarnation is the connection's: where the operation finds another one, its error is
	// [dynamics.ErrConnectionChanged].
	Incarnation string
	// From is the place after the last page that is stored, as Part.Place gave it; nil is
	// the beginning. Everything before it has been delivered, by this version or an older one.
	From []byte
	// Sequential has rows read one page after the other.
	Sequential bool
	// MaxParts is how many parts may come up to one with a Part.Place, that one counted; 0 is
	// any number. A page of Dataverse that takes more is to be read again with fewer rows.
	MaxParts int
	// Encode compresses a body; nil leaves bodies as they are. [Call.Budget] bounds what it
	// returns. The operation calls it, since how many rows fit depends on it.
	Encode func(body []byte) ([]byte, error)
	// Turn waits until the job may read one more page: a slot is free, it is the
	// connection's turn, and there is memory. done gives the slot back, and is called when
	// the page is stored, or will not be. The context is for what the page takes, its calls
	// and its memory. Operations that read in parallel take several turns at once. An
	// operation that answers with one part takes none: its lane did.
	Turn func(ctx context.Context) (page context.Context, done func(), err error)
}
