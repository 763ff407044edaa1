package messagestest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/crmbridge/crmbridge/messages"
)

// A Fault is what happens to tries that are to come. A try is a request, or one page of a stream
// or of a job.
type Fault struct {
	// Operation, Connection and JobID say which tries are struck; "" is any. A fault with a JobID
	// strikes that job only, one without strikes requests and jobs.
	Operation  messages.Operation
	Connection string
	JobID      string
	// Skip lets so many of these tries through before; Times is how many are struck: 0 is one, and
	// negative means all until Clear.
	Skip, Times int

	// Delay is waited first. A request whose deadline passes meanwhile is deadline_exceeded.
	Delay time.Duration
	// Error is the answer, in place of a result: see [Code]. A job ends with it, or waits and goes on
	// where the code says that it passes: for retry_after_ms, or for some milliseconds.
	Error *messages.Error
	// Lost is an answer that does not arrive: a request gets none, the stream lacks a message, and a
	// job is taken over by another process from the last page that is stored.
	Lost bool
}

// Code is an error as crmbridge answers it, with its general sentence: retry after so long where
// that is not 0. It panics where there is no such code.
func Code(code messages.Code, retryAfter time.Duration) *messages.Error {
	if !slices.Contains(messages.Codes(), code) {
		panic(fmt.Sprintf("messagestest: there is no code %q; see messages.Codes", code))
	}
	fault := messages.Errorf(code, "%s", code.Sentence())
	if retryAfter > 0 {
		fault.After(retryAfter)
	}
	return fault
}

// Fail has a fault strike. Of several that apply to a try the first strikes.
func (b *Bridge) Fail(f Fault) {
	b.t.Helper()
	if err := f.check(b.options.Tables); err != nil {
		b.t.Fatalf("messagestest.Fault: %v", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = append(b.faults, &f)
}

// Clear forgets the faults that have not struck.
func (b *Bridge) Clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = nil
}

// check refuses a fault that nothing could be struck by.
func (f Fault) check(tables []messages.Table) error {
	switch {
	case f.Operation != "" && !slices.Contains(messages.Operations(tables), f.Operation):
		return fmt.Errorf("there is no operation %q", f.Operation)
	case f.Connection != "" && !messages.ValidConnection(f.Connection):
		return fmt.Errorf("%q is not the id of a connection", f.Connection)
	case f.JobID != "" && !messages.ValidJobID(f.JobID):
		return fmt.Errorf("%q is not the id of a job", f.JobID)
	case f.Delay == 0 && f.Error == nil && !f.Lost:
		return errors.New("it has none of Delay, Error and Lost")
	case f.Error != nil && f.Lost:
		return errors.New("an answer that is lost has no error")
	case f.Error != nil && !slices.Contains(messages.Codes(), f.Error.Code):
		return fmt.Errorf("there is no code %q; see messages.Codes", f.Error.Code)
	}
	return nil
}

func (f *Fault) strikes(c *call) bool {
	id := ""
	if c.job != nil {
		id = c.job.key.id
	}
	return (f.Operation == "" || f.Operation == c.op) && (f.Connection == "" || f.Connection == c.connection) &&
		(f.JobID == "" || f.JobID == id)
}

// struck takes the fault that strikes a try, the zero value for none.
func (b *Bridge) struck(c *call) Fault {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, f := range b.faults {
		if !f.strikes(c) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		if f.Times >= 0 {
			if f.Times--; f.Times <= 0 {
				b.faults = slices.Delete(b.faults, i, i+1)
			}
		}
		return *f
	}
	return Fault{}
}

// errLost is the end of a try whose answer does not arrive.
var errLost = &messages.Error{Code: "lost"}

// try is one try of a call. Its error is the fault's, the call's deadline's, or errLost.
func (c *call) try() *messages.Error {
	f := c.b.struck(c)
	if f.Delay > 0 {
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-c.ctx.Done():
		}
	}
	if err := c.over(); err != nil {
		return err
	}
	if f.Lost {
		return errLost
	}
	if f.Error == nil {
		return nil
	}
	said := *f.Error
	return &said
}

// over is the error of a call whose time has passed, or whose process ends.
func (c *call) over() *messages.Error {
	switch {
	case c.ctx.Err() == nil:
		return nil
	case errors.Is(c.ctx.Err(), context.DeadlineExceeded):
		return messages.Errorf(messages.DeadlineExceeded, "the request's deadline passed before its answer was ready")
	}
	return messages.Errorf(messages.Unavailable, "this process is stopping; send the request again").After(time.Second)
}

// Faults are those that have not struck, or not as often as they should.
func (b *Bridge) Faults() []Fault {
	b.mu.Lock()
	defer b.mu.Unlock()
	var left []Fault
	for _, f := range b.faults {
		left = append(left, *f)
	}
	return left
}
