package messages

import "time"

// MaxDailyCalls bounds AuthorizeRequest.DailyCalls.
const MaxDailyCalls = 1_000_000_000

// Values of LimitsReply.BlockedBy: Dataverse's service protection limits
// (https://learn.microsoft.com/power-apps/developer/data-platform/api-limits).
const (
	BlockedByRequests      = "requests"
	BlockedByExecutionTime = "execution_time"
	BlockedByConcurrency   = "concurrency"
)

// Values of LimitsReply.Breaker.
const (
	BreakerClosed   = "closed"    // calls are made
	BreakerOpen     = "open"      // none is: the environment does not answer
	BreakerHalfOpen = "half_open" // the next call finds out
)

// LimitsReply is how much of Dataverse's limits the user of a connection uses. Dataverse
// counts by user, so that connections of the same user have the same figures.
type LimitsReply struct {
	Head
	// InFlight are calls in flight over the fleet; what other processes have is as they said
	// it last, within half a second.
	InFlight int `json:"in_flight" jsonschema:"calls in flight over the fleet"`
	// Limit is how many may be, fewer than USER_CONCURRENCY after a refusal.
	Limit int `json:"limit" jsonschema:"how many calls may be in flight over the fleet"`
	// Queued are calls that wait for their turn in the process that answers.
	Queued int `json:"queued" jsonschema:"calls that wait in the process that answers"`
	// BlockedUntil is until when Dataverse wants no call, nil where it takes them, and
	// BlockedBy why, "" where Dataverse did not say it.
	BlockedUntil *time.Time `json:"blocked_until,omitzero" jsonschema:"no call begins before; not there where Dataverse takes calls"`
	BlockedBy    string     `json:"blocked_by,omitzero" jsonschema:"requests, execution_time or concurrency; not there where Dataverse did not say it"`
	// Breaker is the circuit breaker of the connection in the process that answers.
	Breaker string `json:"breaker" jsonschema:"circuit breaker in the process that answers: closed, open or half_open"`
	// CallsToday are the fleet's calls since midnight UTC, each attempt counted. The last
	// quarter of a second of other processes may be missing.
	CallsToday int `json:"calls_today" jsonschema:"calls of the fleet since midnight UTC"`
	// DailyCalls is what the customer allows a day, 0 where nothing is said. Where it is
	// reached requests are throttled until midnight UTC.
	DailyCalls int `json:"daily_calls,omitzero" jsonschema:"calls a day that the customer allows; not there where nothing is said"`
}
