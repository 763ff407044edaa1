package tokens

import (
	"fmt"
	"sync"
	"time"
)

// trials remembers, per connection and only in this process, the last failures of
// Entra, so that nobody hammers it, and answers that could not be saved. Its zero
// value is ready.
type trials struct {
	mu   sync.Mutex
	byID map[string]*trial
}

type trial struct {
	failures int
	until    time.Time // nothing is asked before
	err      *Error

	unsaved *answer // for the write below
	of      record  // without its secrets
}

const (
	pauseFirst   = time.Second
	pauseMost    = time.Minute
	trialsSweep  = 1024          // entries from which ended pauses are thrown away
	trialForgets = 2 * pauseMost // how long failures are counted together
)

// pause returns the error to repeat while nothing should be asked.
func (t *trials) pause(id string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.byID[id]
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

func (t *trials) failed(id string, err *Error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.at(id)
	x.failures++
	wait := min(pauseFirst<<min(x.failures-1, 10), pauseMost)
	x.until = time.Now().Add(max(wait, err.RetryAfter))
	x.err = err
}

func (t *trials) succeeded(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byID, id)
}

// keep remembers an answer for the version r that could not be saved.
func (t *trials) keep(r record, a answer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.at(r.ID)
	x.unsaved, x.of = &a, record{Connection: r.Connection, wid: r.wid}
}

// kept returns the answer that was kept for exactly this version, while its
// access token is worth saving.
func (t *trials) kept(r record) (answer, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.byID[r.ID]
	if x == nil || x.unsaved == nil {
		return answer{}, false
	}
	if !x.of.is(r) {
		x.unsaved = nil
		return answer{}, false
	}
	return *x.unsaved, true
}

func (t *trials) at(id string) *trial {
	if t.byID == nil {
		t.byID = map[string]*trial{}
	}
	if len(t.byID) >= trialsSweep {
		for id, x := range t.byID {
			if x.unsaved == nil && time.Since(x.until) > trialForgets {
				delete(t.byID, id)
			}
		}
	}
	x := t.byID[id]
	if x == nil {
		x = &trial{}
		t.byID[id] = x
	}
	return x
}

// String keeps fmt away from answers.
func (t *trials) String() string { return fmt.Sprintf("trials, %s", redacted) }
