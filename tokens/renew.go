package tokens

import (
	"context"
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

// renewOne renews a connection if it is due, and writes down when it is again. nil:
// Entra was not asked.
func (s *Source) renewOne(ctx context.Context, id string) *renewed {
	loading, cancel := context.WithTimeout(ctx, scheduleTime)
	defer cancel()
	r, err := s.store.load(loading, id)
	switch {
	case CodeOf(err) == CodeUnavailable:
		return nil // Redis: the claim runs out
	case CodeOf(err) == CodeConnectionNotFound, CodeOf(err) == CodeInvalidRequest, err == nil && r.Status != StatusActive:
		// Connecting again or using it puts it back; so does the backfill.
		s.store.rdb.ZRem(loading, renewalsKey, id)
		return nil
	case err != nil:
		s.putOff(ctx, id, againOwn) // it cannot be read
		return nil
	}
	n, err := s.store.rdb.Exists(loading, usedKey(id)).Result()
	if err != nil {
		return nil
	}
	if !s.isDue(r, n > 0) {
		s.saved(r)
		return nil
	}
	f := s.begin(r, false)
	if f == nil {
		return nil
	}
	select {
	case <-ctx.Done():
		return nil
	case <-f.done:
	}
	if f.err == nil {
		s.saved(f.record) // of another process perhaps
		return &renewed{directory: r.TenantID}
	}
	fault, ok := f.err.(*Error)
	if !ok {
		fault = &Error{Code: CodeInternal, Err: f.err, own: true}
	}
	switch fault.Code {
	case CodeReauthorizationRequired:
		s.store.rdb.ZRem(ctx, renewalsKey, id)
		return &renewed{directory: r.TenantID}
	case CodeConnectionNotFound:
		s.store.rdb.ZRem(ctx, renewalsKey, id)
		return nil
	case CodeConfigurationError:
		s.putOff(ctx, id, max(againOwn, fault.RetryAfter))
	default:
		s.putOff(ctx, id, max(againFirst, fault.RetryAfter))
	}
	return &renewed{r.TenantID, fault}
}

func (s *Source) isDue(r record, used bool) bool {
	now := time.Now()
	if used {
		m := renewBefore(r)
		return r.AccessTokenExpiresAt.Sub(now) <= m+m/4
	}
	return now.Sub(r.RefreshedAt) >= s.renewal.KeepAlive*3/4
}

func (s *Source) putOff(ctx context.Context, id string, d time.Duration) {
	d = min(d, s.renewal.KeepAlive/8)                          // in scaled set-ups too
	_ = s.store.due(ctx, "XX", []dueIn{{id, d + rand.N(d+1)}}) // the claim runs out otherwise
}
