package tokens

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// A connection stays in the index of changes for minutes after its change was published. If
// every process looked at all of these again and again, a day on which thousands of people
// connect would cost processes × connections. So a process looks at those of the last seconds,
// and at all of them once in a while, one process at a time.

const (
	// recentChange is how old a change may be that [Store.PublishRecentChanges] looks at: much
	// older than one is when a process looks that is at work.
	recentChange = 20 * time.Second
	// allChangesTurn is how often all changes are looked at, by all processes together.
	allChangesTurn = 30 * time.Second
)

// recentScript returns Redis's time in ms and then, with their scores, ARGV[2] of the members of
// the index KEYS[1], from the ARGV[3]th of those on that were announced within the last ARGV[1] ms.
var recentScript = redis.NewScript(timeLua + `
local all = redis.call('ZRANGEBYSCORE', KEYS[1], string.format('%d', now - tonumber(ARGV[1])), '+inf', 'WITHSCORES',
  'LIMIT', ARGV[3], ARGV[2])
table.insert(all, 1, string.format('%d', now))
return all`)

// PublishRecentChanges is [Store.PublishChanges] of the connections that changed within the
// last 20 s. What it costs does not grow with those that changed before.
func (s *Store) PublishRecentChanges(ctx context.Context, publish func(context.Context, Change) error) (
	published int, err error,
) {
	round := publishing{store: s, publish: publish}
	for from := 0; ; from += outboxBatch {
		batch, now, err := s.recentChanges(ctx, from)
		if err != nil || len(batch) == 0 {
			return round.published, firstError(err, round.closed)
		}
		heads, read := s.outboxHeads(ctx, batch), time.Now()
		if err := round.batch(ctx, batch, heads, now, read); err != nil {
			return round.published, err
		}
		if len(batch) < outboxBatch {
			return round.published, round.closed
		}
	}
}

// recentChanges is one batch of connections that changed lately, and Redis's time.
func (s *Store) recentChanges(ctx context.Context, from int) (batch []redis.Z, now time.Time, err error) {
	all, err := recentScript.Run(ctx, s.rdb, []string{changesKey}, recentChange.Milliseconds(), outboxBatch,
		from).StringSlice()
	if err != nil {
		return nil, now, redisError(err)
	}
	ms, err := strconv.ParseInt(all[0], 10, 64)
	if err != nil {
		return nil, now, redisError(err)
	}
	for i := 1; i+1 < len(all); i += 2 {
		score, err := strconv.ParseFloat(all[i+1], 64)
		if err != nil {
			return nil, now, redisError(err)
		}
		batch = append(batch, redis.Z{Member: all[i], Score: score})
	}
	return batch, time.UnixMilli(ms), nil
}

// MayPublishAll reports whether it is this process's turn to look at all changes that may
// wait ([Store.PublishChanges]): one of all processes may, every 30 s.
func (s *Store) MayPublishAll(ctx context.Context) bool {
	mine, err := s.rdb.SetNX(ctx, changesKey+":all", 1, allChangesTurn).Result()
	return err == nil && mine
}
