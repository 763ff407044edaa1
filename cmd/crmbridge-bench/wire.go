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

	// claims is told of each record that was stored; nil is nobody.
	claims *claims
	// claimed is told of each job that this process has made its own; nil is nobody.
	claimed atomic.Pointer[func(subject string)]

	mu    sync.Mutex
	deaf  time.Time         // nothing of CRM_STATE passes until then
	owned map[string]bool   // records that were stored and say that this process runs the job
	sent  map[string]record // those that are not acknowledged yet, by reply subject
}

// A record is a message for CRM_STATE.
type record struct {
	subject string
	says    messages.JobRecord
}

// running reports whether the record makes or keeps its writer the owner of a job.
func (r record) running() bool { return r.says.State == messages.JobRunning && r.says.Owner != "" }

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
	clear(w.sent)
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

// mostSent bounds the records that are not acknowledged: the answers of a server that was
// killed never come.
const mostSent = 10_000

// swallow answers a heartbeat of a deaf process in the server's place. nil means that the
// message passes.
func (w *wire) swallow(m *message) []byte {
	if !strings.HasPrefix(m.subject, statePrefix) || m.reply == "" {
		return nil
	}
	r := record{subject: m.subject}
	if json.Unmarshal(m.body, &r.says) != nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !r.running() || !w.isDeaf() || !w.owned[m.subject] {
		if w.sent == nil || len(w.sent) > mostSent {
			w.sent = map[string]record{}
		}
		w.sent[m.reply] = r
		return nil
	}
	n := w.faked.Add(1)
	return fmt.Appendf(nil, `{"stream":%q,"seq":%d}`, messages.StateStream, 1<<40+n)
}

// answered looks at what a server sends: a record counts when its acknowledgement comes back.
// A refused one changes nothing.
func (w *wire) answered(subject string, body []byte) {
	w.mu.Lock()
	r, ok := w.sent[subject]
	delete(w.sent, subject)
	w.mu.Unlock()
	if !ok {
		return
	}
	var answer struct {
		Sequence uint64          `json:"seq"`
		Error    json.RawMessage `json:"error"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.Error != nil || answer.Sequence == 0 {
		return // also the 503 of a server that has no JetStream yet
	}
	if w.claims != nil {
		w.claims.stored(r.subject, r.says, answer.Sequence)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !r.running() {
		delete(w.owned, r.subject)
		return
	}
	if w.owned[r.subject] {
		return
	}
	if w.owned == nil {
		w.owned = map[string]bool{}
	}
	w.owned[r.subject] = true
	if tell := w.claimed.Load(); tell != nil {
		go (*tell)(r.subject)
	}
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
