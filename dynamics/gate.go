package dynamics

import (
	"context"
	"time"
)

// Principal is whom Dataverse's service protection limits count: one user of one
// organization, by whichever connection the calls come
// (https://learn.microsoft.com/power-apps/developer/data-platform/api-limits).
type Principal struct{ Organization, User string }

// Limit is one of the three service protection limits.
type Limit int

// The limits; NoLimit is an answer that is none of a limit's.
const (
	NoLimit          Limit = iota
	LimitRequests          // 6,000 requests in 300 s: 0x80072322
	LimitTime              // 1,200 s of execution in 300 s: 0x80072321
	LimitConcurrency       // 52 requests at once: 0x80072326
	LimitUnknown           // 429 with another code or none
)

// String returns the limit as a word for logs and metric labels.
func (l Limit) String() string {
	names := [...]string{"none", "requests", "time", "concurrency", "unknown"}
	if l < 0 || int(l) >= len(names) {
		return "unknown"
	}
	return names[l]
}

// Answer is what a [Gate] learns from a call that is over.
type Answer struct {
	Limit      Limit
	RetryAfter time.Duration // what Dataverse asked for with the limit
}

// A Gate lets calls begin, so that a fleet keeps to the limits of a user together.
type Gate interface {
	// Enter waits until a call of the principal may begin, at most until ctx ends.
	// lane is the connection: calls of several lanes take turns. The call's answer
	// must be reported once. The errors are an [*Error] of kind Throttled, with
	// RetryAfter, where Dataverse wants nothing for longer than a call may wait;
	// Overloaded where too many wait already; Cancelled where ctx ended.
	Enter(ctx context.Context, p Principal, lane string) (leave func(Answer), err error)
}
