package tokens

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// CheckKeyUnused says whether nothing that is stored is sealed under a key, so that
// it can be removed. Search cursors are not stored.
//
// Errors: unavailable; configuration_error, which says how many records there are.
func (s *Store) CheckKeyUnused(ctx context.Context, id uint32) error {
	found := 0
	err := s.scan(ctx, func(keys []string) error {
		n, err := s.sealedUnder(ctx, keys, id)
		found += n
		return err
	})
	if err == nil && found > 0 {
		err = newError(CodeConfigurationError,
			fmt.Sprintf("%d records are still sealed under key %d and would not open "+
				"without it; run `crmbridge keys reseal` first, and see that no process still seals with it", found, id), nil)
	}
	return err
}

// sealedUnder counts what a key sealed at these Redis keys.
func (s *Store) sealedUnder(ctx context.Context, keys []string, id uint32) (found int, err error) {
	records, lists := map[int]*redis.StringCmd{}, map[int]*redis.StringSliceCmd{}
	// Each reply has its own error: a record that is gone meanwhile is no fault.
	_, _ = s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, key := range keys {
			if purposeOf(key) == changePurpose {
				lists[i] = p.LRange(ctx, key, 0, -1)
			} else {
				records[i] = p.HGet(ctx, key, "sealed")
			}
		}
		return nil
	})
	count := func(sealed string) {
		if by, ok := sealedBy([]byte(sealed)); ok && by == id {
			found++
		}
	}
	for _, reply := range records {
		if sealed, err := reply.Result(); err == nil {
			count(sealed)
		} else if !errors.Is(err, redis.Nil) && !wrongType(err) {
			return found, redisError(err)
		}
	}
	for _, reply := range lists {
		entries, err := reply.Result()
		if err != nil && !wrongType(err) {
			return found, redisError(err)
		}
		for _, entry := range entries {
			if parts := strings.SplitN(entry, " ", 3); len(parts) == 3 {
				count(parts[2])
			}
		}
	}
	return found, nil
}

const (
	// checkSample is how many connections [Store.CheckKeys] tries.
	checkSample = 200
	// checkBatch is how many of them are read at once.
	checkBatch = 50
)

// CheckKeys tries whether stored connections, at most 200 picked at random, open
// with the key set, and returns how many were tried and how many did not open. It
// is an error, a configuration_error that names TOKEN_KEYSET, when there are some
// and none opens: then the keys are not those of this Redis.
func (s *Store) CheckKeys(ctx context.Context) (tried, unopened int, err error) {
	ids, err := s.rdb.ZRandMember(ctx, indexKey, checkSample).Result()
	if err != nil {
		return 0, 0, redisError(err)
	}
	var first error
	for batch := range slices.Chunk(ids, checkBatch) {
		replies := s.readGrants(ctx, batch)
		read := time.Now()
		for i, id := range batch {
			at := grantFence(id)
			at.at = read
			v, err := replies[i].Result()
			_, err = s.found(&at, v, err)
			switch {
			case err == nil:
				tried++
			case errors.Is(err, errForeign): // says nothing about the keys
			case errors.Is(err, ErrUnsealable):
				tried, unopened = tried+1, unopened+1
				first = firstError(first, err)
			case !errors.Is(err, errMissing):
				return tried, unopened, err
			}
		}
	}
	if tried == 0 || unopened < tried {
		return tried, unopened, nil
	}
	why := "it is another key set than the one that sealed them, or they were changed in Redis"
	if errors.Is(first, ErrKeyMissing) {
		why = "it does not hold the keys that sealed them"
	}
	return tried, unopened, newError(CodeConfigurationError, fmt.Sprintf(
		"TOKEN_KEYSET opens none of the stored connections (%d tried): %s; give the key set with which "+
			"they were made, or "+
			"an empty Redis", tried, why), first)
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
