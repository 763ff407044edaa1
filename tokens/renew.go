package tokens

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// Renewal says how tokens are renewed ahead of time, by all processes together:
// each takes due connections from one list in Redis, a few at a time and no
// faster than it may. Zero values mean the defaults.
type Renewal struct {
	// Off leaves renewing to others and to the requests.
	Off bool
	// Recent is how long after its last use the access token of a connection is
	// still renewed before it ends; 2 h.
	Recent time.Duration
	// KeepAlive is how old the tokens of a connection that nobody uses may become;
	// 7 days. An unused refresh token ends after 90 days:
	// https://learn.microsoft.com/entra/identity-platform/refresh-tokens
	KeepAlive time.Duration
	// Look is how often a process looks for due connections; 5 s.
	Look time.Duration
	// Backfill is how often connections are looked for that nobody put on the
	// list; 10 min.
	Backfill time.Duration
	// Claim is how long a process that died keeps the connections that it took; 2 min.
	Claim time.Duration
	// Concurrent and PerSecond bound a process; 4 and 5.
	Concurrent, PerSecond int
}

func (r Renewal) withDefaults() Renewal {
	for at, value := range map[*time.Duration]time.Duration{
		&r.Recent: 2 * time.Hour, &r.KeepAlive: 7 * 24 * time.Hour, &r.Look: 5 * time.Second,
		&r.Backfill: 10 * time.Minute, &r.Claim: 2 * time.Minute,
	} {
		if *at <= 0 {
			*at = value
		}
	}
	if r.Concurrent <= 0 {
		r.Concurrent = 4
	}
	if r.PerSecond <= 0 {
		r.PerSecond = 5
	}
	return r
}

// useEvery is how often a process writes down that a connection is in use.
func (r Renewal) useEvery() time.Duration { return min(10*time.Minute, r.Recent/12) }

const (
	againFirst = time.Minute     // until a renewal that failed is tried again
	againOwn   = 5 * time.Minute // the same where a person must mend something first
)

// renew takes due connections until the source ends.
func (s *Source) renew() {
	var now pace
	backfillAt := time.Now().Add(rand.N(s.renewal.Backfill))
	for wait := s.renewal.Look; pause(s.loops, wait/2+rand.N(wait)); wait = s.renewal.Look {
		if time.Now().After(backfillAt) {
			_ = s.backfill(s.loops) // tried again the next time
			backfillAt = time.Now().Add(s.renewal.Backfill/2 + rand.N(s.renewal.Backfill))
		}
		for {
			ids, err := s.claim(s.loops, s.renewal.Concurrent)
			if err != nil || len(ids) == 0 {
				break // a Redis that is away is waited for like an empty list
			}
			if calm := now.after(s.renewAll(ids)); calm > 0 && !pause(s.loops, calm/2+rand.N(calm)) {
				return
			}
		}
	}
}

// renewAll renews claimed connections side by side, begun at the allowed rate.
func (s *Source) renewAll(ids []string) []*renewed {
	outcomes := make([]*renewed, len(ids))
	var wait sync.WaitGroup
	for i, id := range ids {
		wait.Go(func() {
			_ = guard(s.log, "the renewal", id, func() error { // a defect says nothing about others
				outcomes[i] = s.renewOne(s.loops, id)
				return nil
			})
		})
		if !pause(s.loops, time.Second/time.Duration(s.renewal.PerSecond)) {
			break // what was claimed comes back
		}
	}
	wait.Wait()
	return outcomes
}

// renewOne renews a connection if it is due, and enters in the schedule when it is due
// again. nil: Entra was not asked.
func (s *Source) renewOne(ctx context.Context, id string) *renewed {
	r, asked, err := s.renewIfDue(ctx, id)
	e, ok := errors.AsType[*Error](err)
	if err != nil && !ok {
		e = &Error{Code: CodeInternal, Err: err, own: true}
	}
	code := CodeOf(err)
	switch {
	case err == nil:
		s.saved(r) // by this process, or by another one
	case code == CodeConnectionNotFound, code == CodeInvalidRequest, code == CodeReauthorizationRequired:
		s.unschedule(ctx, id) // connecting again or using it puts it back; so does the backfill
	case code == CodeUnavailable && !asked: // Redis is away, or this process ends: the claim runs out
	case code == CodeConfigurationError, !asked: // somebody must act first, or it cannot be read
		s.putOff(ctx, id, max(againOwn, e.RetryAfter))
	default:
		s.putOff(ctx, id, max(againFirst, e.RetryAfter))
	}
	switch {
	case !asked, code == CodeConnectionNotFound:
		return nil
	case err == nil, code == CodeReauthorizationRequired:
		return &renewed{directory: r.TenantID}
	}
	return &renewed{r.TenantID, e}
}

// renewIfDue returns the connection as it is afterwards, or as it was where that
// failed. asked: a refresh was begun, so that err is its outcome.
func (s *Source) renewIfDue(ctx context.Context, id string) (r record, asked bool, err error) {
	loading, cancel := context.WithTimeout(ctx, scheduleTime)
	defer cancel()
	if r, err = s.store.load(loading, id); err == nil {
		err = r.grantError()
	}
	if err != nil {
		return r, false, err
	}
	used, err := s.store.rdb.Exists(loading, usedKey(id)).Result()
	if err != nil {
		return r, false, redisError(err)
	}
	if !s.isDue(r, used > 0) {
		return r, false, nil
	}
	f := s.begin(r, false)
	if f == nil {
		return r, false, errClosed
	}
	select {
	case <-ctx.Done():
		return r, false, errClosed
	case <-f.done:
	}
	if f.err != nil {
		return r, true, f.err
	}
	return f.record, true, nil
}

func (s *Source) isDue(r record, used bool) bool {
	now := time.Now()
	if used {
		m := renewBefore(&r)
		return r.AccessTokenExpiresAt.Sub(now) <= m+m/4
	}
	return now.Sub(r.RefreshedAt) >= s.renewal.KeepAlive*3/4
}

func (s *Source) unschedule(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(ctx, scheduleTime)
	defer cancel()
	_ = s.store.rdb.ZRem(ctx, renewalsKey, id).Err() // looked at and found out again otherwise
}

func (s *Source) putOff(ctx context.Context, id string, d time.Duration) {
	d = min(d, s.renewal.KeepAlive/8)                          // in scaled set-ups too
	_ = s.store.due(ctx, "XX", []dueIn{{id, d + rand.N(d+1)}}) // the claim runs out otherwise
}
