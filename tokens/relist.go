package tokens

import (
	"context"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// A record and the lists that name it are in different slots of a cluster, so that no
// script writes both. Every save puts its connection on the list again; what nobody
// saves, and lists that Redis lost in a fail-over, come back here.

const (
	backfillPage = 500
	// relistEvery is how many backfills there are between two looks at every key.
	relistEvery = 6
)

// backfill puts connections on the work list that are not on it: made since the
// last time, or lost on the way there. One process at a time does it; now and then it
// looks for what the lists themselves have lost first.
func (s *Source) backfill(ctx context.Context) error {
	mine, err := s.store.rdb.SetNX(ctx, renewalsKey+":backfill", 1, s.renewal.Backfill/2).Result()
	if err != nil || !mine {
		return err
	}
	mine, err = s.store.rdb.SetNX(ctx, renewalsKey+":relist", 1, s.renewal.Backfill*relistEvery).Result()
	if err != nil {
		return err
	}
	if mine {
		if err := s.store.relist(ctx); err != nil {
			return err
		}
	}
	for after := "-"; pause(ctx, time.Millisecond); {
		ids, err := s.store.rdb.ZRangeByLex(ctx, indexKey, &redis.ZRangeBy{Min: after, Max: "+",
			Count: backfillPage}).Result()
		if err != nil || len(ids) == 0 {
			return err
		}
		scores, err := s.store.rdb.ZMScore(ctx, renewalsKey, ids...).Result()
		if err != nil {
			return err
		}
		var missing []dueIn
		for i, id := range ids {
			if scores[i] == 0 && ValidID(id) {
				missing = append(missing, dueIn{id, rand.N(s.renewal.KeepAlive/7 + 1)})
			}
		}
		if err := s.store.due(ctx, "NX", missing); err != nil {
			return err
		}
		after = "(" + ids[len(ids)-1]
	}
	return ctx.Err()
}

// relist puts every connection that there is on the list of connections, and every
// one whose changes wait on the list of those, and every deletion on its list. One that is
// deleted meanwhile is put there in vain, and passed over by who reads it.
func (s *Store) relist(ctx context.Context) error {
	wanted := func(key string) bool { return purposeOf(key) != "" || isPurge(key) }
	return s.scanFor(ctx, wanted, func(keys []string) error {
		var connections []redis.Z
		var changes, purges []string
		for _, key := range keys {
			id, ok := idOf(key)
			switch purpose := purposeOf(key); {
			case ok && purpose == grantPurpose:
				connections = append(connections, redis.Z{Member: id})
			case ok && purpose == changePurpose:
				changes = append(changes, id)
			case ok && isPurge(key):
				purges = append(purges, id)
			}
		}
		if len(connections) > 0 {
			if err := s.rdb.ZAddNX(ctx, indexKey, connections...).Err(); err != nil {
				return redisError(err)
			}
		}
		for _, id := range changes {
			if err := announceScript.Run(ctx, s.rdb, []string{changesKey}, id).Err(); err != nil {
				return redisError(err)
			}
		}
		for _, id := range purges {
			if err := s.announcePurge(ctx, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// idOf is the connection in a key of its own.
func idOf(key string) (id string, ok bool) {
	rest, tagged := strings.CutPrefix(key, keyPrefix+"{")
	id, _, closed := strings.Cut(rest, "}")
	return id, tagged && closed && ValidID(id)
}
