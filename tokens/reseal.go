package tokens

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// resealScript puts ARGV[2] in the place of the ciphertext ARGV[1]. What is sealed
// stays the same, so that incarnation, version and time to live stay too, and no
// writer who read the old ciphertext is disturbed.
var resealScript = redis.NewScript(`
if redis.call('HGET', KEYS[1], 'sealed') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'sealed', ARGV[2])
return 1`)

// resealEntryScript puts ARGV[2] in the place of the entry ARGV[1] of a list.
var resealEntryScript = redis.NewScript(`
if redis.call('LINSERT', KEYS[1], 'BEFORE', ARGV[1], ARGV[2]) <= 0 then return 0 end
redis.call('LREM', KEYS[1], 1, ARGV[1])
return 1`)

const (
	scanBatch   = 512
	resealTurns = 5
)

// Resealed says what [Store.Reseal] has done so far.
type Resealed struct {
	Total    int // records there are, as counted at the beginning
	Seen     int // records looked at in this turn
	Current  int // already under the primary key
	Resealed int // rewritten under the primary key, over all turns
	Grants   int // of Resealed: connections
	Tickets  int // of Resealed: connect links
	States   int // of Resealed: sign-ins under way
	Changes  int // of Resealed: changes that wait to be published
	// Unopened counts records that no key of the set opens; they are left alone.
	Unopened int
	// Left counts records that others wrote all the while, in this turn.
	Left int
}

// Reseal rewrites every stored record under the primary key, while any number of
// processes go on. It may be repeated; progress (may be nil) hears how far it is.
// It goes through all records until a turn finds nothing left to do.
//
// Errors: unavailable; configuration_error when records are left that the key set
// does not open, when another process still seals under an older key, or when a
// record is sealed under a key that is only staged here: the key set is from before
// the promotion, and resealing with it would go backwards.
func (s *Store) Reseal(ctx context.Context, progress func(Resealed)) (Resealed, error) {
	if progress == nil {
		progress = func(Resealed) {}
	}
	var sum Resealed
	if err := s.scan(ctx, func(keys []string) error { sum.Total += len(keys); return nil }); err != nil {
		return sum, err
	}
	for range resealTurns {
		before := sum.Resealed
		sum.Seen, sum.Current, sum.Unopened, sum.Left = 0, 0, 0, 0
		err := s.scan(ctx, func(keys []string) error {
			err := s.resealAll(ctx, keys, &sum)
			sum.Total = max(sum.Total, sum.Seen)
			progress(sum)
			return err
		})
		switch {
		case err != nil:
			return sum, err
		case sum.Left > 0: // another turn
		case sum.Resealed == before && sum.Unopened > 0:
			return sum, newError(CodeConfigurationError, fmt.Sprintf("%d records do not open with TOKEN_KEYSET; add the key "+
				"that sealed them again, or delete their connections", sum.Unopened), ErrUnsealable)
		case sum.Resealed == before:
			return sum, nil
		}
	}
	return sum, newError(CodeConfigurationError, "new records under an older key keep coming: a process still seals "+
		"with it; give every process the new key set, then reseal again", nil)
}

func (s *Store) resealAll(ctx context.Context, keys []string, sum *Resealed) error {
	replies := make([]*redis.SliceCmd, len(keys))
	// Each reply has its own error: one that is no record must not hold up the others.
	_, _ = s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, key := range keys {
			if purposeOf(key) != changePurpose {
				replies[i] = p.HMGet(ctx, key, "inc", "sealed")
			}
		}
		return nil
	})
	read := time.Now()
	for i, key := range keys {
		sum.Seen++
		var err error
		if replies[i] == nil {
			err = s.resealList(ctx, key, read, sum)
		} else if err = replies[i].Err(); err == nil {
			err = s.reseal(ctx, key, read, replies[i].Val(), sum)
		}
		if wrongType(err) {
			sum.Unopened++
			continue
		}
		if _, told := errors.AsType[*Error](err); err != nil && !told {
			err = redisError(err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// resealList rewrites the changes of a list. One that is published meanwhile is
// gone, and nothing is put in its place.
func (s *Store) resealList(ctx context.Context, list string, read time.Time, sum *Resealed) error {
	entries, err := s.rdb.LRange(ctx, list, 0, -1).Result()
	if err != nil {
		return err
	}
	for _, entry := range entries {
		parts := strings.SplitN(entry, " ", 3)
		if len(parts) < 3 || s.keys.current([]byte(parts[2])) {
			continue
		}
		if id, ahead := s.keys.ahead([]byte(parts[2])); ahead {
			return backwards(id)
		}
		plain, err := s.keys.openOf(read, []byte(parts[2]), changeAD(list))
		if err != nil {
			sum.Unopened++
			continue
		}
		fresh, err := s.keys.Seal(plain, changeAD(list))
		if err != nil {
			return newError(CodeInternal, "a change could not be sealed", err)
		}
		done, err := resealEntryScript.Run(ctx, s.rdb, []string{list}, entry,
			parts[0]+" "+parts[1]+" "+string(fresh)).Int()
		if err != nil {
			return redisError(err)
		}
		if done == 1 {
			sum.count(changePurpose)
		}
	}
	return nil
}

// reseal rewrites one record; where somebody else wrote it meanwhile it looks again.
func (s *Store) reseal(ctx context.Context, key string, read time.Time, v []any, sum *Resealed) error {
	for range saveTries {
		inc, there := v[0].(string)
		sealed, ok := v[1].(string)
		if !there || !ok {
			return nil // gone meanwhile
		}
		if s.keys.current([]byte(sealed)) {
			sum.Current++
			return nil
		}
		if id, ahead := s.keys.ahead([]byte(sealed)); ahead {
			return backwards(id)
		}
		ad := fence{key: key, purpose: purposeOf(key), inc: inc}.ad()
		plain, err := s.keys.openOf(read, []byte(sealed), ad)
		if err != nil {
			sum.Unopened++
			return nil
		}
		fresh, err := s.keys.Seal(plain, ad)
		if err != nil {
			return newError(CodeInternal, "a record could not be sealed", err)
		}
		done, err := resealScript.Run(ctx, s.rdb, []string{key}, sealed, fresh).Int()
		if err != nil {
			return redisError(err)
		}
		if done == 1 {
			sum.count(purposeOf(key))
			return nil
		}
		if v, err = s.rdb.HMGet(ctx, key, "inc", "sealed").Result(); err != nil {
			return redisError(err)
		}
	}
	sum.Left++
	return nil // it is being written all the time: the next turn sees it again
}

func backwards(id uint32) *Error {
	return newError(CodeConfigurationError, fmt.Sprintf("records are sealed under key %d, which "+
		"TOKEN_KEYSET holds as a "+
		"staged key: it is the key set from before `crmbridge keys rotate --promote`; give the present one", id), nil)
}

func (r *Resealed) count(purpose string) {
	r.Resealed++
	switch purpose {
	case grantPurpose:
		r.Grants++
	case ticketPurpose:
		r.Tickets++
	case statePurpose:
		r.States++
	case changePurpose:
		r.Changes++
	}
}
