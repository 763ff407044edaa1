package durable

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/crmbridge/crmbridge/messages"
)

// A hold is a claimed job as its owner sees it: the record, rewritten every heartbeat, and
// the time up to which nobody else can have taken the job over.
type hold struct {
	lane *Lane
	key  jobKey
	lose context.CancelCauseFunc // ends the execution with errNotOurs

	writing sync.Mutex // held while a write is on its way, so that each has the one before's sequence

	mu        sync.Mutex
	record    messages.JobRecord // what the next write stores
	at        uint64             // sequence of the record in CRM_STATE
	confirmed time.Time          // when the last write that is known to be stored was sent
	gone      error              // why the job is not ours any more

	stopping context.CancelFunc
	beating  sync.WaitGroup
}

// takeHold begins to keep a claimed job. lose is called with errNotOurs when it is another's.
func (l *Lane) takeHold(c claimed, lose context.CancelCauseFunc) *hold {
	h := &hold{lane: l, key: c.key(), lose: lose, record: c.record, at: c.revision, confirmed: c.since}
	life, stop := context.WithCancel(context.Background())
	h.stopping = stop
	h.beating.Go(func() { h.beat(life) })
	return h
}

// stop ends the heartbeat. The record stays as it is.
func (h *hold) stop() {
	h.stopping()
	h.beating.Wait()
}

func (h *hold) beat(life context.Context) {
	tick := time.NewTicker(h.lane.options.Heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-life.Done():
			return
		case <-tick.C:
			// The execution hears of a lost job by its context.
			_ = h.write(life, func(*messages.JobRecord) {})
		}
	}
}

// fresh is nil where nobody else can have taken the job over: the last confirmed write is
// younger than the lease. An older one is renewed first. The clock is this process's own,
// and goes on while the process is stopped.
func (h *hold) fresh(ctx context.Context) error {
	h.mu.Lock()
	gone, age := h.gone, time.Since(h.confirmed)
	h.mu.Unlock()
	switch {
	case gone != nil:
		return gone
	case age < h.lane.options.Lease:
		return nil
	}
	return h.write(ctx, func(*messages.JobRecord) {})
}

// note changes what the next heartbeat writes.
func (h *hold) note(change func(*messages.JobRecord)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change(&h.record)
}

// known is the record as the next heartbeat writes it.
func (h *hold) known() messages.JobRecord {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.record
}

// write changes the record and stores it, again where it is not known whether it was stored,
// for as long as the claim lasts. Its error is errNotOurs where somebody else wrote, or where
// the lease ended before it was known; the execution has been ended then.
func (h *hold) write(ctx context.Context, change func(*messages.JobRecord)) error {
	h.writing.Lock()
	defer h.writing.Unlock()
	h.mu.Lock()
	change(&h.record)
	record, at, gone, until := h.record, h.at, h.gone, h.confirmed.Add(h.lane.options.Lease)
	h.mu.Unlock()
	if gone != nil {
		return gone
	}
	if least := time.Now().Add(apiWait); until.Before(least) {
		until = least // a process that was stopped asks once whether the job still is its own
	}
	for {
		sent := time.Now()
		stored, err := h.lane.ledger.write(context.WithoutCancel(ctx), record, at)
		if err != nil {
			stored, err = h.find(ctx, &record, &at, err)
		}
		switch {
		case err == nil:
			h.confirm(stored, sent)
			return nil
		case errors.Is(err, errNotOurs):
			return h.isGone(err)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case time.Now().After(until):
			return h.isGone(fmt.Errorf("%w, as far as is known: %w", errNotOurs, err))
		}
		pause(ctx, 100*time.Millisecond)
	}
}

// find looks what became of a write that failed. Its error is errNotOurs where the record is
// another's, and the write's own where it may be sent again, after the record that is there.
func (h *hold) find(ctx context.Context, record *messages.JobRecord, at *uint64, failed error) (uint64, error) {
	found, sequence, err := h.lane.ledger.read(context.WithoutCancel(ctx), h.key.connection, h.key.id)
	next := err == nil && sequence > *at && found.Beat == record.Beat+1
	switch {
	case sequence == 0 && err == nil:
		return 0, fmt.Errorf("%w: its record is gone", errNotOurs)
	case sequence == *at || sequence == 0:
		return 0, failed
	case next && found.Owner == record.Owner && found.State == record.State:
		return sequence, nil // it was stored, and its answer was lost
	case next && found.Owner == h.lane.name:
		// A heartbeat was stored whose answer was lost, and this is the write after it.
		record.Beat, *at = found.Beat, sequence
		h.mu.Lock()
		h.record.Beat, h.at = found.Beat, sequence
		h.mu.Unlock()
		return 0, failed
	}
	return 0, fmt.Errorf("%w: its record was written by %q", errNotOurs, messages.Printable(found.Owner))
}

func (h *hold) confirm(sequence uint64, sent time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at, h.confirmed = sequence, sent
	h.record.Beat++
}

func (h *hold) isGone(why error) error {
	h.mu.Lock()
	h.gone = why
	h.mu.Unlock()
	h.lose(errNotOurs)
	return why
}

// pause waits for half of d to one and a half of it, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d/2 + rand.N(d))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
