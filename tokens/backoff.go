package tokens

import (
	"fmt"
	"sync"
	"time"
)

// backoffs holds, per connection and only in this process, how long Entra is not asked
// after it failed, and answers that could not be saved. Its zero value is ready.
type backoffs struct {
	mu   sync.Mutex
	byID map[string]*backoff
}

// backoff is what one connection has met with.
type backoff struct {
	failures int
	until    time.Time // nothing is asked before
	err      *Error

	unsaved *tokenResponse // for the write below
	of      record         // without its secrets
}

const (
	backoffFirst  = time.Second
	backoffMost   = time.Minute
	backoffsSweep = 1024            // entries from which ended ones are thrown away
	backoffKept   = 2 * backoffMost // how long failures are counted together
)

// pause returns the error to repeat while nothing should be asked.
func (b *backoffs) pause(id string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	x := b.byID[id]
	if x == nil || x.err == nil {
		return nil
	}
	left := time.Until(x.until)
	if left <= 0 {
		return nil
	}
	again := *x.err
	again.RetryAfter = left
	return &again
}

// failed begins or lengthens the pause of a connection.
func (b *backoffs) failed(id string, err *Error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	x := b.at(id)
	x.failures++
	wait := min(backoffFirst<<min(x.failures-1, 10), backoffMost)
	x.until = time.Now().Add(max(wait, err.RetryAfter))
	x.err = err
}

// succeeded forgets what the connection has met with.
func (b *backoffs) succeeded(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.byID, id)
}

// keepUnsaved holds an answer for the version r that could not be saved.
func (b *backoffs) keepUnsaved(r record, a tokenResponse) {
	b.mu.Lock()
	defer b.mu.Unlock()
	x := b.at(r.ID)
	x.unsaved, x.of = &a, record{Connection: r.Connection, wid: r.wid}
}

// unsaved returns the answer that was kept for exactly this version, while its access
// token is worth saving.
func (b *backoffs) unsaved(r record) (tokenResponse, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	x := b.byID[r.ID]
	if x == nil || x.unsaved == nil {
		return tokenResponse{}, false
	}
	if !x.of.is(r) {
		x.unsaved = nil
		return tokenResponse{}, false
	}
	return *x.unsaved, true
}

func (b *backoffs) at(id string) *backoff {
	if b.byID == nil {
		b.byID = map[string]*backoff{}
	}
	if len(b.byID) >= backoffsSweep {
		for id, x := range b.byID {
			if x.unsaved == nil && time.Since(x.until) > backoffKept {
				delete(b.byID, id)
			}
		}
	}
	x := b.byID[id]
	if x == nil {
		x = &backoff{}
		b.byID[id] = x
	}
	return x
}

// String keeps fmt away from answers.
func (b *backoffs) String() string { return fmt.Sprintf("backoffs, %s", redacted) }
