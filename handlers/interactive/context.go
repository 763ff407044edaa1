package interactive

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/budget"
	"github.com/crmbridge/crmbridge/handlers/measure"
	"github.com/crmbridge/crmbridge/handlers/route"
)

// A requestContext is a request's context: one that ends at the deadline, with the request,
// or with the grace of a process that stops. Calls find in it the request's account and its
// id. It does what [context.WithDeadline] and three contexts with values would, in memory of
// the request's own and without a timer of its own: an alarm ends it. It is never used for
// another request, since nobody knows who holds it still.
type requestContext struct {
	values   context.Context // whose values it has, and which does not end
	deadline time.Time
	account  *budget.Account
	clientID string
	trace    route.Header // that the message came with

	over    atomic.Bool // err is there
	mu      sync.Mutex
	err     error
	done    chan struct{} // made when it is asked for
	endings []ending      // in space, where they have room
	space   [2]ending     // most requests have one at a time
	number  uint          // of the ending that was added last
}

// An ending is what is called when a context ends.
type ending struct {
	number uint
	call   func()
}

// valuesOf is a context that has the values of ctx and does not end. A context by WithoutCancel
// costs an allocation for each value that it is asked for, unless another one asks it, and
// net/http alone asks a request's context five times.
func valuesOf(ctx context.Context) context.Context {
	return context.WithValue(context.WithoutCancel(ctx), keyOfNothing{}, nil)
}

type keyOfNothing struct{}

// keyOfAccount, keyOfID and keyOfTrace are the keys of what a requestContext has.
var keyOfAccount, keyOfID, keyOfTrace = budget.ContextKey(), dynamics.RequestIDKey(), measure.TraceKey()

// Value returns the request's account, what knows its id, its trace, or the value of the process.
func (c *requestContext) Value(key any) any {
	switch key {
	case keyOfAccount:
		return c.account
	case keyOfID:
		return c
	case keyOfTrace:
		return map[string][]string(c.trace)
	}
	return c.values.Value(key)
}

// ClientRequestID is the request's id as Dataverse sees it.
func (c *requestContext) ClientRequestID() string { return c.clientID }

// Deadline returns the request's deadline.
func (c *requestContext) Deadline() (deadline time.Time, ok bool) { return c.deadline, true }

// Err is nil until the context ends: then [context.DeadlineExceeded], or [context.Canceled].
func (c *requestContext) Err() error {
	if !c.over.Load() { // as is seen thousands of times
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// alreadyOver is the channel of contexts that ended before anybody asked for theirs.
var alreadyOver = func() chan struct{} {
	over := make(chan struct{})
	close(over)
	return over
}()

// Done returns a channel that is closed when the context ends.
func (c *requestContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = alreadyOver
		if c.err == nil {
			c.done = make(chan struct{})
		}
	}
	return c.done
}

// end ends the context, and what was made from it, unless that has happened before.
func (c *requestContext) end(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = err
	c.over.Store(true) // before anybody can find done closed
	if c.done != nil {
		close(c.done)
	}
	endings := c.endings
	c.endings = nil
	c.mu.Unlock()
	for i := range endings {
		endings[i].call()
	}
}

// AfterFunc has f called once when the context has ended, and at once in a goroutine of its
// own where that was before. stop keeps it from being called, and reports whether it did. The
// package context finds this method, and has contexts end by it that are made from this one:
// such an f takes the lock of its own context, for a moment.
func (c *requestContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f()
		return func() bool { return false }
	}
	if c.endings == nil {
		c.endings = c.space[:0]
	}
	c.number++
	number := c.number
	c.endings = append(c.endings, ending{number, f})
	return func() bool { return c.without(number) }
}

// without takes back an ending, and reports whether it was there still.
func (c *requestContext) without(number uint) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.endings {
		if c.endings[i].number == number {
			last := len(c.endings) - 1
			c.endings[i] = c.endings[last]
			c.endings[last] = ending{}
			c.endings = c.endings[:last]
			return true
		}
	}
	return false
}
