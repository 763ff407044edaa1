package tokens

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// What others keep about a connection (jobs and their results) goes with it: whoever
// deletes it has that removed at once, and it is removed again a while later, since work
// that was under way may have stored something in between. That it is to be done again is
// kept in Redis, so that no crash forgets it.
//
// The script that deletes a record notes that under the id, in the same slot; purgesKey is
// the list of the ids, in another slot and written first, as changesKey is. It names a
// connection that is not deleted after all where a process died in between, and one that
// was made again: whoever removes things looks for the present incarnation and spares what
// belongs to it.
//
// purgesKey is a sorted set of ids by when they are due, in ms of Redis's time.
const purgesKey = keyPrefix + "purges"

func purgeKey(id string) string { return keyPrefix + "{" + id + "}:purge" }

// isPurge reports whether a key notes a deletion.
func isPurge(key string) bool {
	return strings.HasPrefix(key, keyPrefix+"{") && strings.HasSuffix(key, "}:purge")
}

const (
	// purgeAfter is when what a deleted connection left is removed again.
	purgeAfter = 30 * time.Second
	// purgeTaken is how long others leave to a process what it has taken; after as long it
	// is tried again where it failed.
	purgeTaken = time.Minute
	// purgeKept is when it is given up.
	purgeKept  = 7 * 24 * time.Hour
	purgeBatch = 50
	// purgeFailures is how many in a row may fail before a round ends: then the cause is
	// not one of them.
	purgeFailures = 3
)

// announcePurgeScript puts the id ARGV[1] into the list KEYS[1], due in ARGV[2] ms.
var announcePurgeScript = redis.NewScript(timeLua + `
return redis.call('ZADD', KEYS[1], string.format('%d', now + tonumber(ARGV[2])), ARGV[1])`)

// takePurgesScript returns up to ARGV[1] ids of the list KEYS[1] that are due, and puts them
// off by ARGV[2] ms. One that is due later than anything is put off is of a machine whose
// clock was wrong.
var takePurgesScript = redis.NewScript(timeLua + `
local off = string.format('%d', now + tonumber(ARGV[2]))
local ids = redis.call('ZRANGE', KEYS[1], '-inf', string.format('%d', now), 'BYSCORE', 'LIMIT', 0, tonumber(ARGV[1]))
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], '(' .. off, '+inf', 'BYSCORE', 'LIMIT', 0, tonumber(ARGV[1]))) do
  redis.call('ZADD', KEYS[1], off, id)
end
for _, id in ipairs(ids) do redis.call('ZADD', KEYS[1], off, id) end
table.insert(ids, 1, off)
return ids`)

// purgedScript forgets the note KEYS[1] if it still is ARGV[1].
var purgedScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`)

// forgetPurgeScript takes the id ARGV[1] out of the list KEYS[1] if it is due at ARGV[2].
var forgetPurgeScript = redis.NewScript(`
if redis.call('ZSCORE', KEYS[1], ARGV[1]) == ARGV[2] then return redis.call('ZREM', KEYS[1], ARGV[1]) end
return 0`)

// announcePurge says that the connection is about to be deleted.
func (s *Store) announcePurge(ctx context.Context, id string) error {
	err := announcePurgeScript.Run(ctx, s.rdb, []string{purgesKey}, id, purgeAfter.Milliseconds()).Err()
	if err != nil {
		return redisError(err)
	}
	return nil
}

// keepPurge has what was left under the id removed soon, by anybody: it could not be
// removed now.
func (s *Store) keepPurge(ctx context.Context, id string) error {
	if err := s.announcePurge(ctx, id); err != nil {
		return err
	}
	if err := s.rdb.Set(ctx, purgeKey(id), random(9), purgeKept).Err(); err != nil {
		return redisError(err)
	}
	return nil
}

// PurgeDeleted has purge remove what connections left that were deleted 30 s ago or
// longer, and forgets a connection when purge returns nil; where it does not, it is tried
// again in a minute, by any process, for 7 days. The connection may have been made again:
// purge spares what belongs to its present incarnation; see [Store.Incarnation]. It returns how
// many were purged, and an error of Redis or the last one of purge.
func (s *Store) PurgeDeleted(ctx context.Context, purge func(ctx context.Context, connection string) error) (
	purged int, err error,
) {
	failures := 0
	for {
		taken, err := takePurgesScript.Run(ctx, s.rdb, []string{purgesKey}, purgeBatch,
			purgeTaken.Milliseconds()).StringSlice()
		if err != nil {
			return purged, redisError(err)
		}
		due, ids := taken[0], taken[1:]
		var failed error
		for _, id := range ids {
			done, err := s.purgeOne(ctx, id, due, purge)
			if err == nil {
				failures = 0
				if done {
					purged++
				}
				continue
			}
			failed = err
			if failures++; failures == purgeFailures || ctx.Err() != nil {
				return purged, err
			}
		}
		if len(ids) < purgeBatch || failed != nil {
			return purged, failed
		}
	}
}

// purgeOne has purge remove what one connection left, if a deletion noted that.
func (s *Store) purgeOne(ctx context.Context, id, due string,
	purge func(ctx context.Context, connection string) error) (done bool, err error) {
	if ValidID(id) {
		note, err := s.rdb.Get(ctx, purgeKey(id)).Result()
		switch {
		case errors.Is(err, redis.Nil): // never deleted, done by another, or given up
		case wrongType(err): // not ours: it must not come back for ever
			if err := s.rdb.Del(ctx, purgeKey(id)).Err(); err != nil {
				return false, redisError(err)
			}
		case err != nil:
			return false, redisError(err)
		default:
			if err := purge(ctx, id); err != nil {
				return false, fmt.Errorf("remove what connection %s left: %w", id, err)
			}
			if err := purgedScript.Run(ctx, s.rdb, []string{purgeKey(id)}, note).Err(); err != nil {
				return false, redisError(err)
			}
			done = true
		}
	}
	// After the note, so that what is deleted meanwhile stays on the list: it is due later.
	if err := forgetPurgeScript.Run(ctx, s.rdb, []string{purgesKey}, id, due).Err(); err != nil {
		return done, redisError(err)
	}
	return done, nil
}

// Incarnation is that of a connection as Redis holds it now, "" where there is none. A record
// that does not open has one like any other.
func (s *Store) Incarnation(ctx context.Context, id string) (string, error) {
	incarnation, err := s.rdb.HGet(ctx, grantKey(id), "inc").Result()
	if errors.Is(err, redis.Nil) || wrongType(err) {
		return "", nil
	}
	if err != nil {
		return "", redisError(err)
	}
	return incarnation, nil
}

// Incarnation is that of a connection, connected or not, as requests that use it find it.
// Errors: connection_not_found, configuration_error, unavailable, deadline_exceeded.
func (s *Source) Incarnation(ctx context.Context, connection string) (string, error) {
	if h, _ := s.local.get(connection, time.Now()); h != nil {
		return h.Incarnation, nil
	}
	h, err := s.usable(ctx, connection)
	if CodeOf(err) == CodeReauthorizationRequired && h.Incarnation != "" {
		return h.Incarnation, nil
	}
	return h.Incarnation, err
}

// clearWait bounds the removal of what a deleted connection left, while a person waits for
// the connection.
const clearWait = 5 * time.Second

// clear removes what a deleted connection of the id left elsewhere before another can be used.
// Where that does not work in time, the connection is made all the same: what is left
// carries another incarnation, which readers ignore, and it is removed later.
func (a *Authorizer) clear(ctx context.Context, id string) {
	if a.leftovers == nil {
		return
	}
	clearing, cancel := context.WithTimeout(ctx, clearWait)
	defer cancel()
	err := a.leftovers(clearing, id)
	if err == nil {
		return
	}
	a.log.WarnContext(ctx, "what a deleted connection left could not be removed before it is made again; "+
		"it is removed later", "connection", id, "error", err)
	if err := a.store.keepPurge(ctx, id); err != nil {
		a.log.ErrorContext(ctx, "what a deleted connection left may stay until it is too old", "connection", id,
			"error", err)
	}
}
