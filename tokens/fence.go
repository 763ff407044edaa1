package tokens

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// Everything that this package keeps in Redis is a hash with the same fields:
// inc (incarnation), ver (version), wid (id of the last write), sealed. Every
// write is a compare-and-set on (inc, ver, wid), so that a writer who was paused can
// neither put old data over new nor bring back what was deleted. A version number
// alone comes twice where a fail-over of Redis loses a write.

// A write or deletion of a grant is also published to every process, on changedChannel
// and by the same script, so that no change goes without its message. The message is
// "<id> <incarnation> <version>", version 0 for a deletion. PUBLISH needs no slot of a
// cluster. It comes before the write: a Redis user who may not publish there gets an
// error and no silent change.

// changedChannel is where every process hears of grants that changed.
const changedChannel = keyPrefix + "changed"

// casScript writes KEYS[1] if it still has incarnation ARGV[1], version ARGV[2]
// and the write ARGV[11]; version 0 means that the key must not exist. A write
// whose answer was lost and that is sent again is recognised by its id (ARGV[5]).
// ARGV[7] is the time to live in ms: 0 none, -1 as it is. ARGV[8] is the connection whose change is
// published on channel ARGV[9], "" for a ticket or state. Where there is a KEYS[2], the write is
// one that becomes an event, and ARGV[10] is kept there. It returns 0 where
// another writer was first, else 1 and how many older changes were dropped for this.
var casScript = redis.NewScript(outboxLua + `
local h = redis.call('HMGET', KEYS[1], 'inc', 'ver', 'wid')
if h[3] == ARGV[5] then return 1 end
if ARGV[2] == '0' then
  if h[2] then return 0 end
elseif h[1] ~= ARGV[1] or h[2] ~= ARGV[2] or h[3] ~= ARGV[11] then
  return 0
end
if ARGV[8] ~= '' then redis.call('PUBLISH', ARGV[9], ARGV[8] .. ' ' .. ARGV[3] .. ' ' .. ARGV[4]) end
local dropped = 0
if KEYS[2] then dropped = keep(KEYS[2], ARGV[3], ARGV[4], ARGV[10]) end
redis.call('HSET', KEYS[1], 'inc', ARGV[3], 'ver', ARGV[4], 'wid', ARGV[5], 'sealed', ARGV[6])
local ttl = tonumber(ARGV[7])
if ttl > 0 then redis.call('PEXPIRE', KEYS[1], ttl) elseif ttl == 0 then redis.call('PERSIST', KEYS[1]) end
return 1 + dropped`)

// deleteScript removes the grant KEYS[1] of connection ARGV[1] with what belongs to it
// (KEYS[4] and on), publishes that on channel ARGV[2], and returns the incarnation and
// version that were there and how many older changes were dropped, or nothing.
// It is published even if nothing was there: others may hold a copy of a record that
// Redis lost. The deletion of something is kept in KEYS[2] as ARGV[3]. What is not a
// record of ours goes too; ARGV[4] is used where it has no incarnation. What else is kept
// of the connection is to be removed, whether or not there was a record: KEYS[3] notes that
// as ARGV[5] for ARGV[6] ms.
var deleteScript = redis.NewScript(outboxLua + `
local h = {}
if redis.call('TYPE', KEYS[1]).ok == 'hash' then h = redis.call('HMGET', KEYS[1], 'inc', 'ver') end
local inc, ver = h[1], h[2]
if not inc or not string.match(inc, '^[%w_-]+$') then inc = ARGV[4] end
if not ver or not string.match(ver, '^%d+$') or #ver > 18 then ver = '0' end
redis.call('PUBLISH', ARGV[2], ARGV[1] .. ' ' .. (h[1] or '-') .. ' 0')
local gone = redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[3], ARGV[5], 'PX', ARGV[6])
for i = 4, #KEYS do redis.call('DEL', KEYS[i]) end
if gone == 0 then return {} end
local dropped = keep(KEYS[2], inc, ver, ARGV[3])
return {inc, ver, tostring(dropped)}`)

// touchScript lets a key that has a time to live and incarnation ARGV[1] live at
// least ARGV[2] ms more.
var touchScript = redis.NewScript(`
if redis.call('HGET', KEYS[1], 'inc') ~= ARGV[1] then return 0 end
local left = redis.call('PTTL', KEYS[1])
if left >= 0 and left < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1`)

// timeLua gives scripts Redis's time in ms. What is compared over processes is
// compared by it, since machines' clocks differ.
const timeLua = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
`

var clockScript = redis.NewScript(timeLua + `return string.format('%d', now)`)

// clock is the time of the Redis that has a key.
func (s *Store) clock(ctx context.Context, key string) (time.Time, error) {
	ms, err := clockScript.Run(ctx, s.rdb, []string{key}).Int64()
	if err != nil {
		return time.Time{}, redisError(err)
	}
	return time.UnixMilli(ms), nil
}

const keepTTL = -time.Millisecond

// errConflict says that a compare-and-set found something else.
var errConflict = errors.New("another writer was first")

// errMissing says that there is nothing under a key.
var errMissing = errors.New("not in Redis")

// slot is one such hash: where it is and what was last seen there.
type fence struct {
	key     string
	purpose string
	id      string // of the connection whose grant it is; "" otherwise
	inc     string
	ver     int64  // 0 = not there yet
	was     string // id of the write that made it
	// wid, where set, is the id of the next write, so that repeating a write whose
	// answer was lost is no conflict.
	wid string
	// at, where set, is when it was read together with others; see [Keyset.openOf].
	at time.Time
	// change, where set, is kept for publication by the next write; see outbox.go.
	change []byte
}

func (s fence) ad() []byte { return associated(s.purpose, s.key, s.inc) }

// fencedFields are those of a slot that [Store.opened] takes, in its order.
var fencedFields = [...]string{"inc", "ver", "wid", "sealed"}

// read returns the opened content of a slot and sets its inc, ver and was.
func (s *Store) read(ctx context.Context, at *fence) ([]byte, error) {
	v, err := s.rdb.HMGet(ctx, at.key, fencedFields[:]...).Result()
	return s.found(at, v, err)
}

// found is read where Redis has answered already.
func (s *Store) found(at *fence, v []any, err error) ([]byte, error) {
	if wrongType(err) {
		return nil, damaged(errForeign)
	}
	if err != nil {
		return nil, redisError(err)
	}
	return s.opened(at, v)
}

func (s *Store) opened(at *fence, v []any) ([]byte, error) {
	inc, okInc := v[0].(string)
	ver, okVer := v[1].(string)
	wid, okWid := v[2].(string)
	sealed, okSealed := v[3].(string)
	if !okInc && !okVer && !okWid && !okSealed {
		return nil, errMissing
	}
	n, err := strconv.ParseInt(ver, 10, 64)
	if err != nil || n < 1 || !okInc || !okWid || !okSealed {
		return nil, damaged(errForeign)
	}
	at.inc, at.ver, at.was = inc, n, wid
	if at.at.IsZero() {
		at.at = time.Now()
	}
	plain, err := s.keys.openOf(at.at, []byte(sealed), at.ad())
	if err != nil {
		return nil, damaged(err)
	}
	return plain, nil
}

// write puts plain into the slot as version ver+1 of incarnation inc, if the slot
// is still what from says, and returns the id of the write. errConflict otherwise.
func (s *Store) write(ctx context.Context, from fence, inc string, plain []byte, ttl time.Duration) (
	wid string, err error,
) {
	to := from
	to.inc = inc
	sealed, err := s.keys.Seal(plain, to.ad())
	if err != nil {
		return "", newError(CodeInternal, "a record could not be sealed", err)
	}
	if from.wid == "" {
		from.wid = random(9)
	}
	keys := []string{from.key}
	if from.change != nil {
		keys = append(keys, outboxKey(from.id))
	}
	done, err := casScript.Run(ctx, s.rdb, keys, from.inc, from.ver, inc, from.ver+1, from.wid, sealed,
		ttl.Milliseconds(), from.id, changedChannel, from.change, from.was).Int()
	switch {
	case err != nil:
		return "", redisError(err)
	case done == 0:
		return "", errConflict
	case done > 1:
		s.notifyDropped(from.id)
	}
	return from.wid, nil
}

// ErrRedis is found with errors.Is where Redis did not do what it was asked. Such an error
// has [CodeUnavailable], and says nothing of Entra or Dataverse.
var ErrRedis = errors.New("what Redis was asked for was not done")

// redisFault is a cause that is also ErrRedis; its text is its own.
type redisFault struct{ error }

func (redisFault) Is(target error) bool { return target == ErrRedis }

func (f redisFault) Unwrap() error { return f.error }

func redisError(err error) *Error {
	return &Error{Code: CodeUnavailable, Message: RedisTrouble(err) + "; try again", Retryable: true,
		Err: redisFault{err}}
}

// errForeign is an [ErrUnsealable] that is nothing that crmbridge wrote, so that no
// key can be missing for it.
var errForeign = fmt.Errorf("%w: it is not of the form that crmbridge writes", ErrUnsealable)

// wrongType reports whether Redis says that a key holds another type of value.
func wrongType(err error) bool { return redis.HasErrorPrefix(err, "WRONGTYPE") }

func damaged(err error) *Error {
	if errors.Is(err, errForeign) {
		return newError(CodeConfigurationError,
			"a stored record is not of the form that crmbridge writes: something else "+
				"was put in its place in Redis", err)
	}
	if errors.Is(err, ErrKeyMissing) {
		return newError(CodeConfigurationError,
			"TOKEN_KEYSET does not hold the key that a stored record was sealed with; "+
				"add the old key again", err)
	}
	return newError(CodeConfigurationError, "a stored record does not open with TOKEN_KEYSET: it was changed in Redis "+
		"or sealed by another installation", err)
}

// random returns n random bytes in base64url.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// digest is how a ticket, state, cookie or code is named in Redis.
func digest(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}
