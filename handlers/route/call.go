package route

import (
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
	// Deadline is when the requester stops waiting: work is not begun after it and
	// abandoned at it.
	Deadline time.Time
	// Budget is how many bytes the body of one reply may have.
	Budget int
}
