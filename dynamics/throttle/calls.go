package throttle

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/dynamics"
)

// What the fleet has done for a user since midnight UTC is counted where the calls are, and
// added up in Redis with the questions for slots that a process asks anyway: a call costs an
// addition under a lock that it holds, and no command. A process asks each quarter of a second
// while it makes calls, and once more half a second after the last one; so much may be missing
// of one that is killed. What Redis could not be told is kept, and told when it is back; an
// exchange whose answer was lost may count twice.
//
// A third hash of the user has it:
//
//	day        days since 1970 by Redis's clock
//	calls      of that day
//	f:PROCESS  "calls expiry": what the process has in flight
//
// The hash ends with its day. A process of an older version counts nothing.

// dayCalls are a user's calls of today. user.mu guards them.
type dayCalls struct {
	unsaid int // that Redis does not know of
	others int // and that it does, of all processes
	// ends is when the day does; zero where nothing is known of it.
	ends time.Time
	// bounded is set once somebody asks how many there are, to allow a call or not: then the
	// process asks for others' while it rests on slots, too.
	bounded bool
}

// today is how many there have been, as far as is known.
func (c *dayCalls) today(now time.Time) int {
	if !now.Before(c.ends) {
		return c.unsaid
	}
	return c.others + c.unsaid
}

// told takes what Redis answered to a question that named so many calls.
func (c *dayCalls) told(got lease, said int, now time.Time) {
	c.unsaid -= said
	c.others, c.ends = got.calls, now.Add(got.dayLeft)
}

// callsKey is where a user's calls of the day are, in the same slot of a cluster.
func callsKey(key string) string { return keyPrefix + "calls:" + strings.TrimPrefix(key, keyPrefix) }

// countLua adds calls of this process to the day's, and says what it has in flight. It
// returns the day's calls and how long the day lasts.
const countLua = `
local function made(calls, flying)
  local day = math.floor(now / 86400000)
  local left = (day + 1) * 86400000 - now
  local h = redis.call('HMGET', KEYS[3], 'day', 'calls', 'f:' .. me)
  local n, wrote = 0, false
  if tonumber(h[1] or '') == day then
    n = tonumber(h[2] or '') or 0
  elseif h[1] and (calls > 0 or flying > 0) then
    redis.call('DEL', KEYS[3])
  end
  if calls > 0 then
    n, wrote = n + calls, true
    redis.call('HSET', KEYS[3], 'day', int(day), 'calls', int(n))
  end
  if flying > 0 then
    wrote = true
    redis.call('HSET', KEYS[3], 'f:' .. me, int(flying) .. ' ' .. int(now + life))
  elseif h[3] then
    redis.call('HDEL', KEYS[3], 'f:' .. me)
  end
  if wrote then redis.call('PEXPIRE', KEYS[3], int(left + life)) end
  return n, left
end
`

// usageScript reads how much of the limits is used. It returns the calls that other
// processes have in flight, how many may be, the ms for which no call may begin, the limit
// that this is for, and the calls of the day.
var usageScript = redis.NewScript(scriptLua + `
local flying = 0
local f = redis.call('HGETALL', KEYS[3])
for i = 1, #f, 2 do
  if string.sub(f[i], 1, 2) == 'f:' and f[i] ~= 'f:' .. me then
    local n, e = string.match(f[i + 1], '^(%d+) (%d+)$')
    if n and tonumber(e) > now then flying = flying + tonumber(n) else redis.call('HDEL', KEYS[3], f[i]) end
  end
end
local day = math.floor(now / 86400000)
local h = redis.call('HMGET', KEYS[3], 'day', 'calls')
local n = 0
if tonumber(h[1] or '') == day then n = tonumber(h[2] or '') or 0 end
local may = slots()
if may == 0 then may = reduced() end
return {flying, math.floor(may), math.max(u - now, 0), limit, n}`)

// Usage says how much of a user's limits is used; see [dynamics.Meter].
func (t *Throttle) Usage(ctx context.Context, p dynamics.Principal) (dynamics.Usage, error) {
	key, name := keyOf(p), "-"
	mine, own := t.ofUser(p)
	if own {
		name = mine.name
	}
	ctx, cancel := context.WithTimeout(ctx, redisWait)
	defer cancel()
	out, err := t.run(ctx, usageScript, key, name).Int64Slice()
	if err == nil && len(out) != 5 {
		err = errors.New("the script for a user's usage returned something else")
	}
	if err != nil {
		return dynamics.Usage{}, &dynamics.Error{Kind: dynamics.Unavailable, Err: err,
			Message: "Redis does not say how much of the user's limits is used"}
	}
	used := dynamics.Usage{InFlight: int(out[0]), Limit: int(out[1]), BlockedBy: dynamics.Limit(out[3]),
		Blocked: min(time.Duration(out[2])*time.Millisecond, t.config.LongestBlock), CallsToday: int(out[4])}
	if own {
		used.InFlight += mine.inFlight
		used.Queued, used.CallsToday = mine.queued, used.CallsToday+mine.unsaid
		if mine.blocked > used.Blocked { // Redis may not know yet
			used.Blocked, used.BlockedBy = mine.blocked, mine.limit
		}
	}
	if used.Blocked == 0 {
		used.BlockedBy = dynamics.NoLimit
	}
	return used, nil
}

// ofProcess is what this process alone knows of a user.
type ofProcess struct {
	name                     string
	inFlight, queued, unsaid int
	blocked                  time.Duration
	limit                    dynamics.Limit
}

func (t *Throttle) ofUser(p dynamics.Principal) (ofProcess, bool) {
	t.mu.Lock()
	u := t.users[p]
	t.mu.Unlock()
	if u == nil {
		return ofProcess{unsaid: t.owed.of(keyOf(p))}, false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return ofProcess{name: u.name, inFlight: u.inUse, queued: u.waiting.Len() + u.jobs.waiting.Len(),
		unsaid: u.calls.unsaid, blocked: time.Until(u.blocked), limit: u.limit}, true
}

// Today is how many calls there have been since midnight UTC; see [dynamics.Meter].
func (t *Throttle) Today(p dynamics.Principal) (calls int, left time.Duration, ok bool) {
	t.mu.Lock()
	u := t.users[p]
	t.mu.Unlock()
	if u == nil {
		return 0, 0, false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.calls.bounded = true
	now := time.Now()
	left = u.calls.ends.Sub(now)
	if left <= 0 {
		left = now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour).Sub(now)
	}
	return u.calls.today(now) + u.inUse, left, true
}

// maxOwed bounds the users whose calls Redis could not be told.
const maxOwed = 4096

// paidAtOnce is of how many of them it is told with one heartbeat.
const paidAtOnce = 16

// owed are calls, by key, of users that this process has nothing more to do with and that
// Redis could not be told of.
type owed struct {
	mu    sync.Mutex
	calls map[string]int
}

func (o *owed) add(key string, calls int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if calls == 0 || o.calls[key] == 0 && len(o.calls) >= maxOwed {
		return
	}
	if o.calls == nil {
		o.calls = map[string]int{}
	}
	o.calls[key] += calls
}

func (o *owed) of(key string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.calls[key]
}

// take gives those of a key, which are not owed any more.
func (o *owed) take(key string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.calls[key]
	delete(o.calls, key)
	return n
}

// some are a few keys.
func (o *owed) some() (keys []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key := range o.calls {
		if keys = append(keys, key); len(keys) == paidAtOnce {
			break
		}
	}
	return keys
}

// payOwed tells Redis, which has just answered, what is owed.
func (t *Throttle) payOwed() {
	for _, key := range t.owed.some() {
		n := t.owed.take(key)
		if _, err := t.lease(t.ctx, key, t.name, ask{calls: n}); err != nil {
			t.owed.add(key, n)
			return
		}
	}
}
