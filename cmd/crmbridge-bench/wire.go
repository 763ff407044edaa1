package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crmbridge/crmbridge/messages"
)

// The ways to break the lane on the wire, to see that the checks notice.
const (
	// mutateNoGuard takes the expected last sequence off every result.
	mutateNoGuard = "no-guard"
	// mutateMsgID gives every result the id <connection>.<job id>.<page>.
	mutateMsgID = "msg-id"
)

const (
	guardHeader = "Nats-Expected-Last-Subject-Sequence"
	idHeader    = "Nats-Msg-Id"
)

// A wire is what lies between one crmbridge and all NATS servers.
type wire struct {
	mutate string
	until  <-chan struct{} // ends a hold before its time; nil never does

	holdNext atomic.Int64 // nanoseconds for which the next result is held
	held     atomic.Int64 // results that were held
	changed  atomic.Int64 // results that were changed
	faked    atomic.Int64 // heartbeats that were answered here

	// claimed is told of each record that this process publishes as a job's new owner; nil
	// is nobody.
	claimed atomic.Pointer[func(subject string)]

	mu    sync.Mutex
	deaf  time.Time       // nothing of CRM_STATE passes until then
	owned map[string]bool // records that said that a job is run by this process
}

// armHold has the next result held: a network that stands still with the page in it. It
// arrives when somebody else runs the job.
func (w *wire) armHold(d time.Duration) { w.holdNext.Store(int64(d)) }

// beDeaf cuts the process off from CRM_STATE: its heartbeats are answered here and stored
// nowhere, and it does not hear of other owners. It goes on with jobs that were taken over.
func (w *wire) beDeaf(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deaf = time.Now().Add(d)
}

// owns reports whether the process runs a job, as far as its records say.
func (w *wire) owns(j job) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.owned[messages.StateSubject(j.connection, j.id)]
}

// ownsAny reports whether the process runs any job, as far as its records say.
func (w *wire) ownsAny() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.owned) > 0
}

// forgetAll is for a process that begins anew.
func (w *wire) forgetAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.owned)
	w.deaf = time.Time{}
}

func (w *wire) isDeaf() bool { return time.Now().Before(w.deaf) }

const (
	resultPrefix = "crm.results."
	statePrefix  = "crm.state."
)

// hold says how long a message is held.
func (w *wire) hold(m *message) time.Duration {
	if !strings.HasPrefix(m.subject, resultPrefix) {
		return 0
	}
	d := time.Duration(w.holdNext.Swap(0))
	if d > 0 {
		w.held.Add(1)
	}
	return d
}

// change breaks a result, where that is asked for.
func (w *wire) change(m *message) {
	if w.mutate == "" || len(m.header) == 0 || !strings.HasPrefix(m.subject, resultPrefix) {
		return
	}
	switch w.mutate {
	case mutateNoGuard:
		m.header = setHeader(m.header, guardHeader, "")
	case mutateMsgID:
		page := getHeader(m.header, messages.HeaderPage)
		if page == "" {
			return
		}
		m.header = setHeader(m.header, idHeader, strings.TrimPrefix(m.subject, resultPrefix)+"."+page)
	}
	w.changed.Add(1)
}

// swallow answers a heartbeat of a deaf process in the server's place. nil means that the
// message passes.
func (w *wire) swallow(m *message) []byte {
	if !strings.HasPrefix(m.subject, statePrefix) || m.reply == "" {
		return nil
	}
	var record messages.JobRecord
	if json.Unmarshal(m.body, &record) != nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	running := record.State == messages.JobRunning && record.Owner != ""
	if !running || !w.isDeaf() || !w.owned[m.subject] {
		if w.owned == nil {
			w.owned = map[string]bool{}
		}
		if !running {
			delete(w.owned, m.subject)
		} else if !w.owned[m.subject] {
			w.owned[m.subject] = true
			if tell := w.claimed.Load(); tell != nil {
				go (*tell)(m.subject)
			}
		}
		return nil
	}
	n := w.faked.Add(1)
	return fmt.Appendf(nil, `{"stream":%q,"seq":%d}`, messages.StateStream, 1<<40+n)
}

// hides reports whether the process does not hear of a message.
func (w *wire) hides(subject string) bool {
	if !strings.HasPrefix(subject, statePrefix) {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.isDeaf()
}
