package tokens

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/redis/go-redis/v9"
)

// renewalsKey is the work list of renewals over all processes: a sorted set of
// connections, scored by when they are due, in ms since 1970. It is a hint, never
// the truth: what is missing comes back (renew.go), what is wrong is looked at
// and put right.
const renewalsKey = keyPrefix + "renewals"

// usedKey exists while a connection counts as recently used.
func usedKey(id string) string { return keyPrefix + "{" + id + "}:used" }

const (
	stampQueue = 1024
	stampBatch = 64
	stampTime  = 2 * time.Second
)

// stamp is something about a connection that the work list should know.
type stamp struct {
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
	case s.stamps <- stamp{id: r.ID, inUse: s.dueInUse(r), atRest: s.dueAtRest(r), used: used}:
	default:
	}
}

// dueInUse is before the first process would renew because of a request, so that
// in steady state no request begins a refresh, let alone waits for one.
func (s *Source) dueInUse(r record) time.Time {
	m := renewBefore(r)
	return r.AccessTokenExpiresAt.Add(-m - m/4*rand.N(time.Duration(1000))/1000)
}

// renewBefore is how long before its end the token of a connection in use is
// renewed at the latest.
func renewBefore(r record) time.Duration { return min(5*time.Minute, r.tokenLife()/4) }

// dueAtRest keeps a refresh token from ending by inactivity.
func (s *Source) dueAtRest(r record) time.Time {
	k := s.renewal.KeepAlive
	return r.RefreshedAt.Add(k*3/4 + rand.N(k/4+1))
}

// writeStamps brings stamps into Redis until the source ends.
func (s *Source) writeStamps() {
	for {
		select {
		case <-s.loops.Done():
			return
		case first := <-s.stamps:
			batch := []stamp{first}
			for len(batch) < stampBatch && len(s.stamps) > 0 {
				batch = append(batch, <-s.stamps)
			}
			ctx, cancel := context.WithTimeout(s.loops, stampTime)
			_ = s.writeBatch(ctx, batch) // a hint; see renewalsKey
			cancel()
		}
	}
}

func (s *Source) writeBatch(ctx context.Context, batch []stamp) error {
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
	_, err = s.store.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, x := range batch {
			switch {
			case x.used: // never later than it is due already
				p.ZAddLT(ctx, renewalsKey, due(x.id, x.inUse))
			case known[i].Val() > 0:
				p.ZAdd(ctx, renewalsKey, due(x.id, x.inUse))
			default:
				p.ZAdd(ctx, renewalsKey, due(x.id, x.atRest))
			}
		}
		return nil
	})
	return err
}

func due(id string, at time.Time) redis.Z {
	return redis.Z{Member: id, Score: float64(at.UnixMilli())}
}

// claimScript returns up to ARGV[3] connections that are due at ARGV[1] and puts
// them off to ARGV[2], when they are due again if the claimer dies.
var claimScript = redis.NewScript(`
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
for _, id in ipairs(ids) do redis.call('ZADD', KEYS[1], ARGV[2], id) end
return ids`)

func (s *Source) claim(ctx context.Context, most int) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, stampTime)
	defer cancel()
	now := time.Now()
	ids, err := claimScript.Run(ctx, s.store.rdb, []string{renewalsKey},
		now.UnixMilli(), now.Add(s.renewal.Claim).UnixMilli(), most).StringSlice()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	return ids, err
}

// backfill puts connections on the work list that are not on it: made since the
// last time, or lost on the way there. One process at a time does it.
func (s *Source) backfill(ctx context.Context) error {
	mine, err := s.store.rdb.SetNX(ctx, renewalsKey+":backfill", 1, s.renewal.Backfill/2).Result()
	if err != nil || !mine {
		return err
	}
	for after := "-"; pause(ctx, time.Millisecond); {
		ids, err := s.store.rdb.ZRangeByLex(ctx, indexKey, &redis.ZRangeBy{Min: after, Max: "+", Count: backfillPage}).Result()
		if err != nil || len(ids) == 0 {
			return err
		}
		scores, err := s.store.rdb.ZMScore(ctx, renewalsKey, ids...).Result()
		if err != nil {
			return err
		}
		var missing []redis.Z
		for i, id := range ids {
			if scores[i] == 0 {
				missing = append(missing, due(id, time.Now().Add(rand.N(s.renewal.KeepAlive/7+1))))
			}
		}
		if len(missing) > 0 {
			if err := s.store.rdb.ZAddNX(ctx, renewalsKey, missing...).Err(); err != nil {
				return err
			}
		}
		after = "(" + ids[len(ids)-1]
	}
	return ctx.Err()
}

const backfillPage = 500
