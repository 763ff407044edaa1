package dynamics

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
)

// An environment that does not answer is not asked by every request anew: after
// breakAfter failures in a row its connection's calls are refused for breakFor, then
// one is let through, and its outcome decides.
const (
	breakAfter = 10
	breakFor   = 2 * time.Second
	// slowCall is from when on a call that its caller gave up counts as a failure.
	slowCall = 2 * time.Second
	// maxBreakers bounds the connections that are remembered.
	maxBreakers = 4096
)

// breakers has one circuit breaker a connection.
type breakers struct {
	mu    sync.Mutex
	known map[string]circuitbreaker.CircuitBreaker[any]
}

func (b *breakers) of(connection string) circuitbreaker.CircuitBreaker[any] {
	b.mu.Lock()
	defer b.mu.Unlock()
	one := b.known[connection]
	if one == nil {
		if b.known == nil || len(b.known) >= maxBreakers {
			b.known = map[string]circuitbreaker.CircuitBreaker[any]{} // those of working environments hold nothing, the others learn again
		}
		one = circuitbreaker.NewBuilder[any]().WithFailureThreshold(breakAfter).WithDelay(breakFor).WithSuccessThreshold(1).Build()
		b.known[connection] = one
	}
	return one
}

// begin lets an attempt through, or refuses it without anything sent. ended must be
// told what came of it.
func (b *breakers) begin(r request) (ended func(error), err error) {
	if r.lane == "" {
		return func(error) {}, nil
	}
	one := b.of(r.lane)
	if !one.TryAcquirePermit() {
		return nil, &Error{Kind: Unavailable, Op: r.op, RetryAfter: max(one.RemainingDelay(), 100*time.Millisecond),
			Message: "the environment has not answered the last requests, so this one was not sent"}
	}
	begun := time.Now()
	return func(err error) {
		switch {
		case failed(err, time.Since(begun)):
			one.RecordFailure()
		case KindOf(err) == Cancelled && one.IsClosed():
			// The caller left early: that says nothing about the environment.
		case KindOf(err) == Cancelled:
			one.RecordFailure() // the one that was let through must decide
		default:
			one.RecordSuccess()
		}
	}, nil
}

// failed reports whether an attempt says that the environment cannot be reached.
func failed(err error, took time.Duration) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && (e.Kind == Unavailable || e.Kind == Cancelled && took >= slowCall && errors.Is(e, context.DeadlineExceeded))
}
