package tokens

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// scan calls see with the keys of sealed records, from every master of a cluster,
// one call at a time. A record that is there all the while is seen at least once.
func (s *Store) scan(ctx context.Context, see func([]string) error) error {
	return s.scanFor(ctx, func(key string) bool { return purposeOf(key) != "" }, see)
}

// scanFor is scan of the keys that are wanted.
func (s *Store) scanFor(ctx context.Context, wanted func(key string) bool, see func([]string) error) error {
	var mu sync.Mutex
	through := func(ctx context.Context, node redis.Cmdable) error {
		for cursor := uint64(0); ; {
			keys, next, err := node.Scan(ctx, cursor, keyPrefix+"*", scanBatch).Result()
			if err != nil {
				return redisError(err)
			}
			keys = slices.DeleteFunc(keys, func(key string) bool { return !wanted(key) })
			if len(keys) > 0 {
				mu.Lock()
				err = see(keys)
				mu.Unlock()
			}
			if err != nil || next == 0 {
				return err
			}
			cursor = next
		}
	}
	if cluster, ok := s.rdb.(*redis.ClusterClient); ok {
		return cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return through(ctx, node) })
	}
	return through(ctx, s.rdb)
}

// purposeOf says what is sealed under a key, "" where nothing is.
func purposeOf(key string) string {
	switch {
	case strings.HasPrefix(key, keyPrefix+"{") && strings.HasSuffix(key, "}:grant"):
		return grantPurpose
	case strings.HasPrefix(key, keyPrefix+"{") && strings.HasSuffix(key, "}:changes"):
		return changePurpose
	case strings.HasPrefix(key, ticketKey("")):
		return ticketPurpose
	case strings.HasPrefix(key, stateKey("")):
		return statePurpose
	}
	return ""
}
