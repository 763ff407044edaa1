package tokens

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"
)

// A flight replaces one version of a connection's grant. Who needs a newer token
// names the version that he has seen; a flight that finds another version has
// nothing to do. That makes the expired token, the early renewal, the refused
// token and the lost race one case.

const (
	flightTime  = time.Minute      // one flight, waiting for another process's included
	savingTime  = 10 * time.Second // getting a new token into Redis
	pollShort   = 30 * time.Millisecond
	pollLong    = 250 * time.Millisecond
	flightTurns = 3 // versions that one caller goes through before giving up
	lockTries   = 3 // calls for the lock that may fail in one flight
)

var errClosed = &Error{Code: CodeUnavailable, Message: "this process is shutting down; try again", Retryable: true}

// await returns the record once it has a token that is newer than r's.
func (s *Source) await(ctx context.Context, r record, forced bool) (record, error) {
	begun, first := time.Now(), false
	defer func() {
		s.waited(ctx, time.Since(begun))
		s.awaited(ctx, begun, first)
	}()
	for range flightTurns {
		f := s.begin(r, forced)
		if f == nil {
			return record{}, errClosed
		}
		first = !f.waited.Swap(true) || first
		select {
		case <-f.done:
		case <-ctx.Done():
			return record{}, late(ctx, ctx.Err())
		}
		if f.err != nil {
			return record{}, f.err
		}
		fresh := f.record
		if err := fresh.grantError(); err != nil {
			return record{}, err
		}
		if time.Now().Before(fresh.AccessTokenExpiresAt) {
			return fresh, nil
		}
		r = fresh
	}
	return record{}, &Error{Code: CodeUnavailable, Message: "the tokens that Entra gives end at once; check this " +
		"machine's clock", Retryable: true}
}

// refreshInBackground begins a refresh that nobody waits for.
func (s *Source) refreshInBackground(r record) {
	if s.backoffs.pause(r.ID) == nil && !s.local.isAway() {
		s.begin(r, false)
	}
}

// flight is one replacement under way; record and err may be read once done is closed.
type flight struct {
	done   chan struct{}
	waited atomic.Bool // somebody gets err, so that it needs no log line
	record
	err error
}

// begin joins or starts the flight that replaces r's version; nil after Close.
// It runs on the source's own context, so that nobody who waits can cancel it.
func (s *Source) begin(r record, forced bool) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done {
		return nil
	}
	key := r.ID + "/" + r.Incarnation + "/" + strconv.FormatInt(r.Version, 10) + "/" + r.wid
	if f := s.flights[key]; f != nil {
		return f
	}
	f := &flight{done: make(chan struct{})}
	s.flights[key] = f
	s.work.Go(func() {
		f.record, f.err = s.fly(r, forced)
		if f.err != nil && !f.waited.Load() {
			s.log.Warn("token refresh failed", "connection", r.ID, "code", CodeOf(f.err), "error", f.err.Error())
		}
		s.mu.Lock()
		delete(s.flights, key)
		s.mu.Unlock()
		close(f.done)
	})
	return f
}

func (s *Source) fly(r record, forced bool) (fresh record, err error) {
	ctx, cancel := context.WithTimeout(s.life, flightTime)
	defer cancel()
	err = guard(s.log, "the refresh", r.ID, func() (err error) {
		fresh, err = s.replace(ctx, r, forced)
		return err
	})
	return fresh, err
}

// replace waits for its turn and refreshes, unless another version is there.
func (s *Source) replace(ctx context.Context, seen record, forced bool) (record, error) {
	tries := 0
	for poll := pollShort; ; poll = min(poll*2, pollLong) {
		now, err := s.store.load(ctx, seen.ID)
		if err != nil || !now.is(seen) {
			return now, err
		}
		if err := s.backoffs.pause(seen.ID); err != nil {
			return record{}, err
		}
		release, err := s.locks.hold(ctx, refreshKey(seen.ID))
		if err == nil {
			return s.refreshHeld(ctx, seen, forced, release)
		}
		// A call for the lock has only a part of the lease. One that did not make it,
		// because Redis or the pool of connections to it was busy, must not fail
		// everybody who waits for this flight, as long as the look above still works.
		if !errors.Is(err, errTaken) {
			if tries++; tries == lockTries {
				return record{}, err
			}
		}
		select {
		case <-ctx.Done():
			return record{}, &Error{Code: CodeUnavailable, Message: "another process's token refresh takes " +
				"too long; try again",
				Retryable: true, Err: ctx.Err()}
		case <-time.After(poll/2 + rand.N(poll)):
		}
	}
}

// is reports whether both are the same write.
func (r record) is(other record) bool {
	return r.Incarnation == other.Incarnation && r.Version == other.Version && r.wid == other.wid
}

// refreshHeld is the one token request, under the lock.
func (s *Source) refreshHeld(ctx context.Context, seen record, forced bool, release func()) (record, error) {
	defer release()
	// The second look: whoever had the lock before may have done the work.
	r, err := s.store.load(ctx, seen.ID)
	if err != nil || !r.is(seen) {
		return r, err
	}
	r.challenge = seen.challenge
	a, kept := s.backoffs.unsaved(r)
	if !kept {
		a, err = s.entra.again(ctx, r)
		s.verdict(cmp.Or(CodeOf(err), codeOK))
	}
	if err != nil {
		return s.failed(ctx, r, err)
	}
	return s.keep(ctx, r, a, forced)
}

// keep saves the answer before anybody uses it. When Redis is away it is tried
// for a while, and the answer is kept for the next flight: its refresh token may
// be the only one that still works.
func (s *Source) keep(ctx context.Context, r record, a tokenResponse, forced bool) (record, error) {
	fresh := r
	fresh.access, fresh.AccessTokenExpiresAt, fresh.RefreshedAt = a.access, a.expires, a.at
	if a.refresh != "" {
		fresh.refresh = a.refresh
	}
	if len(a.scopes) > 0 {
		fresh.Scopes = a.scopes
	}
	if r.challenge != "" {
		fresh.challenge, fresh.claims = "", "" // answered by this token
	}
	if forced {
		fresh.forcedAt = time.Now().UTC()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), savingTime)
	defer cancel()
	for wait := pollShort; ; wait = min(wait*2, time.Second) {
		saved, err := s.store.save(ctx, fresh)
		if err == nil {
			s.backoffs.succeeded(r.ID)
			s.saved(saved)
			s.nameInBackground(saved)
			return saved, nil
		}
		if errors.Is(err, errConflict) {
			// Newer, deleted, or this very save whose answer was lost.
			s.backoffs.succeeded(r.ID)
			return s.store.load(ctx, r.ID)
		}
		select {
		case <-ctx.Done():
			s.backoffs.keepUnsaved(r, a)
			return record{}, err
		case <-time.After(wait):
		}
	}
}

// failed draws the consequence of a refused or failed refresh.
func (s *Source) failed(ctx context.Context, r record, err error) (record, error) {
	f, ok := errors.AsType[*Error](err)
	if !ok {
		return record{}, err
	}
	if f.Code != CodeReauthorizationRequired {
		s.backoffs.failed(r.ID, f)
		return record{}, f
	}
	// The save is the look at the store before the verdict: when a refresher that
	// lost its lease or a person has put a newer grant there, the refusal was about
	// an old token, and the newer grant counts.
	r.Status, r.LastError = StatusReauthorizationRequired, f.Message
	r = r.challenged(f.challenge(r))
	saved, err := s.store.saveChange(ctx, r, ChangeReauthorizationRequired)
	if errors.Is(err, errConflict) {
		return s.store.load(ctx, r.ID)
	}
	if err != nil {
		return record{}, err
	}
	return saved, f
}
