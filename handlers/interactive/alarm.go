package interactive

import (
	"context"
	"sync"
	"time"
)

// An alarm ends the context of a worker's request at its deadline. Its timer serves all
// requests of the worker and is not set for each: most deadlines lie as far ahead as the one
// before, so that it rings for a request that has been answered long ago, and is set then for
// the deadline of the present one.
type alarm struct {
	mu      sync.Mutex
	context *requestContext // of the request that the worker works on, nil between two
	at      time.Time       // its deadline, by the monotonic clock
	timer   *time.Timer     // nil before the first request
	rings   time.Time       // when the timer does, zero where it is not set
}

// watch has a context end at its deadline, and at once where working has ended. That of the
// request before must have been let go.
func (a *alarm) watch(c *requestContext, working context.Context) {
	left := a.take(c)
	if err := working.Err(); err != nil { // after abandon can find the context
		c.end(err)
	} else if left <= 0 {
		c.end(context.DeadlineExceeded)
	}
}

func (a *alarm) take(c *requestContext) (left time.Duration) {
	now := time.Now()
	left = c.deadline.Sub(now)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.context, a.at = c, now.Add(left)
	if left > 0 && (a.rings.IsZero() || a.at.Before(a.rings)) {
		a.set(left)
	}
	return left
}

// let ends a request's context, as that of one that is over.
func (a *alarm) let(c *requestContext) {
	a.mu.Lock()
	a.context = nil
	a.mu.Unlock()
	c.end(context.Canceled)
}

// set is called with the lock.
func (a *alarm) set(left time.Duration) {
	a.rings = a.at
	if a.timer == nil {
		a.timer = time.AfterFunc(left, a.ring)
		return
	}
	a.timer.Reset(left)
}

// ring is called when the timer rings: for the present request, for one before it, or between
// two requests.
func (a *alarm) ring() {
	if c := a.due(); c != nil {
		c.end(context.DeadlineExceeded)
	}
}

// due is the context whose deadline has come, nil for none; then the timer is set anew where
// there is a request.
func (a *alarm) due() *requestContext {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rings = time.Time{}
	if a.context == nil {
		return nil
	}
	if left := time.Until(a.at); left > 0 {
		a.set(left)
		return nil
	}
	return a.context
}

// abandon ends the context of the present request, if there is one.
func (a *alarm) abandon() {
	a.mu.Lock()
	c := a.context
	a.mu.Unlock()
	if c != nil {
		c.end(context.Canceled)
	}
}

// off ends the alarm with its worker.
func (a *alarm) off() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.timer != nil {
		a.timer.Stop()
	}
}
