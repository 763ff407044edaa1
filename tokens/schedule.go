package tokens

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/redis/go-redis/v9"
)

// renewalsKey is the schedule of renewals over all processes: a sorted set of
// connections, scored by when they are due, in ms since 1970 by Redis's clock, since
// processes take each other's entries. It is a hint, never the truth: what is missing
// comes back (relist.go), and what is wrong is found out and corrected.
const renewalsKey = keyPrefix + "renewals"

// usedKey exists while a connection counts as recently used.
func usedKey(id string) string { return keyPrefix + "{" + id + "}:used" }

const (
	scheduleQueue = 1024
	scheduleBatch = 64
	scheduleTime  = 2 * time.Second
)

// dueTimes says when a connection is due for a renewal.
type dueTimes struct {
	id            string
	inUse, atRest time.Time // when it is due if it is in use, and if not
	used          bool      // it is in use; otherwise usedKey says it
}

// used notes, without waiting, that a connection is in use. What is lost here is
// noted again in a while.
func (s *Source) used(r record) { s.note(r, true) }

// saved notes, without waiting, that a connection got a new token.
func (s *Source) saved(r record) { s.note(r, false) }

func (s *Source) note(r record, used bool) {
	select {
	case s.schedule <- dueTimes{id: r.ID, inUse: s.dueInUse(r), atRest: s.dueAtRest(r), used: used}:
	default:
	}
}

// dueInUse is before the first process would renew because of a request, so that
// in steady state no request begins a refresh, let alone waits for one.
func (s *Source) dueInUse(r record) time.Time {
	m := renewBefore(&r)
	return r.AccessTokenExpiresAt.Add(-m - m/4*rand.N(time.Duration(1000))/1000)
}

// renewBefore is how long before its end the token of a connection in use is
// renewed at the latest.
func renewBefore(r *record) time.Duration { return min(5*time.Minute, r.tokenLife()/4) }

// dueAtRest keeps a refresh token from ending by inactivity.
func (s *Source) dueAtRest(r record) time.Time {
	k := s.renewal.KeepAlive
	return r.RefreshedAt.Add(k*3/4 + rand.N(k/4+1))
}

// writeSchedule writes what arrives in s.schedule to Redis, until the source ends.
func (s *Source) writeSchedule() {
	for {
		select {
		case <-s.loops.Done():
			return
		case first := <-s.schedule:
			batch := []dueTimes{first}
			for len(batch) < scheduleBatch && len(s.schedule) > 0 {
				batch = append(batch, <-s.schedule)
			}
			ctx, cancel := context.WithTimeout(s.loops, scheduleTime)
			_ = s.writeBatch(ctx, batch) // a hint; see renewalsKey
			cancel()
		}
	}
}

func (s *Source) writeBatch(ctx context.Context, batch []dueTimes) error {
	known := make([]*redis.IntCmd, len(batch))
	_, err := s.store.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, x := range batch {
			if x.used {
				p.Set(ctx, usedKey(x.id), 1, s.renewal.Recent)
			} else {
				known[i] = p.Exists(ctx, usedKey(x.id))
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	var now, soonest []dueIn
	for i, x := range batch {
		switch {
		case x.used: // never later than it is due already
			soonest = append(soonest, dueIn{x.id, time.Until(x.inUse)})
		case known[i].Val() > 0:
			now = append(now, dueIn{x.id, time.Until(x.inUse)})
		default:
			now = append(now, dueIn{x.id, time.Until(x.atRest)})
		}
	}
	return errors.Join(s.store.due(ctx, "", now), s.store.due(ctx, "LT", soonest))
}

// dueIn says when a connection is due, from now.
type dueIn struct {
	id string
	in time.Duration
}

// dueScript puts pairs of connection and ms from now into the work list KEYS[1], under
// the condition ARGV[1] of ZADD ("" for none).
var dueScript = redis.NewScript(timeLua + `
for i = 2, #ARGV, 2 do
  local at = string.format('%d', now + tonumber(ARGV[i + 1]))
  if ARGV[1] == '' then
    redis.call('ZADD', KEYS[1], at, ARGV[i])
  else
    redis.call('ZADD', KEYS[1], ARGV[1], at, ARGV[i])
  end
end`)

func (s *Store) due(ctx context.Context, condition string, list []dueIn) error {
	if len(list) == 0 {
		return nil
	}
	args := make([]any, 0, 1+2*len(list))
	args = append(args, condition)
	for _, d := range list {
		args = append(args, d.id, d.in.Milliseconds())
	}
	if err := dueScript.Run(ctx, s.rdb, []string{renewalsKey}, args...).Err(); err != nil &&
		!errors.Is(err, redis.Nil) {
		return err
	}
	return nil
}

// claimScript returns up to ARGV[2] connections that are due and puts them off by
// ARGV[1] ms, when they are due again if the claimer dies.
var claimScript = redis.NewScript(timeLua + `
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%d', now), 'LIMIT', 0, ARGV[2])
for _, id in ipairs(ids) do redis.call('ZADD', KEYS[1], string.format('%d', now + tonumber(ARGV[1])), id) end
return ids`)

func (s *Source) claim(ctx context.Context, most int) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, scheduleTime)
	defer cancel()
	ids, err := claimScript.Run(ctx, s.store.rdb, []string{renewalsKey}, s.renewal.Claim.Milliseconds(),
		most).StringSlice()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	return ids, err
}
