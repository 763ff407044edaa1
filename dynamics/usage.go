package dynamics

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Usage is how much of a user's limits is used.
type Usage struct {
	InFlight int // calls, over the fleet
	Limit    int // how many may be
	Queued   int // calls that wait in this process
	// Blocked is for how long no call begins, 0 where they do, and BlockedBy why.
	Blocked    time.Duration
	BlockedBy  Limit
	CallsToday int // of the fleet since midnight UTC
	Breaker    BreakerState
}

// A BreakerState is what the circuit breaker of a connection does in this process.
type BreakerState string

// The states of a circuit breaker.
const (
	BreakerClosed   BreakerState = "closed"    // calls are made
	BreakerOpen     BreakerState = "open"      // calls are refused
	BreakerHalfOpen BreakerState = "half_open" // the next call decides
)

// A Meter is a [Gate] that counts.
type Meter interface {
	// Usage says how much of the principal's limits is used. An error is an [*Error] of
	// kind Unavailable.
	Usage(ctx context.Context, p Principal) (Usage, error)
	// Today is how many calls the fleet has made for the principal since midnight UTC, as far
	// as this process knows, those in flight here among them, and how long the day lasts; ok
	// is false where nothing is known of it.
	Today(p Principal) (calls int, left time.Duration, ok bool)
}

// ErrDailyCalls is the cause of a refusal because the customer's allowance for the day is
// used up. Kind Throttled; nothing was sent.
var ErrDailyCalls = errors.New("the calls that the customer allows a day are used up")

// OfDay reports whether the error is a refusal for ErrDailyCalls.
func (e *Error) OfDay() bool { return errors.Is(e.Err, ErrDailyCalls) }

// withinDay gives the call of r back that would be more than the customer allows a day. It
// is looked at once the call may begin: then the gate knows what the fleet has done.
func (c *Client) withinDay(r *request, slot Slot) (Slot, error) {
	if r.daily == 0 {
		return slot, nil
	}
	meter, ok := c.config.Gate.(Meter)
	if !ok {
		return slot, nil
	}
	calls, left, ok := meter.Today(r.principal)
	if !ok || calls <= r.daily {
		return slot, nil
	}
	slot.Leave(Answer{})
	return nil, &Error{Kind: Throttled, Op: r.op, RetryAfter: max(left, time.Second), Err: ErrDailyCalls,
		Message: fmt.Sprintf("the %d calls a day that the customer allows this user are used up until midnight UTC "+
			"(daily_calls); nothing was sent", r.daily)}
}

// Usage says how much of the limits of a connection's user is used. Nothing is sent to the
// environment. Without a [Meter], or where the user is not known, only the circuit breaker is.
func (c *Client) Usage(ctx context.Context, connection, environment string, p Principal) (Usage, error) {
	origin, err := c.config.Hosts.Environment(environment)
	if err != nil {
		return Usage{}, err
	}
	used := Usage{}
	if meter, ok := c.config.Gate.(Meter); ok && p.known() {
		if used, err = meter.Usage(ctx, p.in(origin)); err != nil {
			return Usage{}, err
		}
	}
	used.Breaker = c.breakers.state(connection, origin)
	return used, nil
}

// state is that of a connection's circuit breaker; one that is not there yet is not made.
func (b *breakers) state(connection, environment string) BreakerState {
	b.mu.Lock()
	one := b.known[circuitKey{connection, environment}]
	b.mu.Unlock()
	if one == nil {
		return BreakerClosed
	}
	one.mu.Lock()
	defer one.mu.Unlock()
	now := time.Now()
	one.notice(now)
	switch {
	case one.until.IsZero():
		return BreakerClosed
	case now.Before(one.until):
		return BreakerOpen
	}
	return BreakerHalfOpen
}
