package throttle

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/dynamics"
)

const (
	keyPrefix = "crmbridge:throttle:"
	// channel is where every process hears of blocks: "<milliseconds> <key>".
	channel = keyPrefix + "blocked"
)

// Times of the ramp, shared by the script and by a process without Redis: slots
// double every rampStep after a block from rampFirst on.
const (
	rampFirst = 2
	rampStep  = 250 * time.Millisecond
	// A reduced number of slots grows by one each regrow.
	regrow = 5 * time.Second
)

// The hash of a user has the fields u (time in ms until which no call may begin),
// c and ct (slots after a refusal for concurrency, and when), and p:<process> with
// "slots wanted expiry" for each process. The time is Redis's own, so that the
// processes' clocks need not agree.
const scriptLua = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local h = redis.call('HGETALL', KEYS[1])
local u, c, ct = 0, 0, 0
local others, unmet, procs = 0, 0, 1
local me = 'p:' .. ARGV[1]
for i = 1, #h, 2 do
  local k, v = h[i], h[i + 1]
  if k == 'u' then u = tonumber(v)
  elseif k == 'c' then c = tonumber(v)
  elseif k == 'ct' then ct = tonumber(v)
  elseif k ~= me then
    local n, w, e = string.match(v, '^(%d+) (%d+) (%d+)$')
    if not n or tonumber(e) <= now then
      redis.call('HDEL', KEYS[1], k)
    else
      n, w = tonumber(n), tonumber(w)
      others = others + n
      if n > 0 or w > 0 then procs = procs + 1 end
      if w > n then unmet = unmet + w - n end
    end
  end
end
local cap = tonumber(ARGV[2])
local function slots()
  local s = cap
  if c > 0 then s = math.min(s, c + math.floor((now - ct) / tonumber(ARGV[3]))) end
  if now < u then return 0 end
  if u > 0 then
    local steps = math.floor((now - u) / tonumber(ARGV[4]))
    if steps < 16 then s = math.min(s, tonumber(ARGV[5]) * 2 ^ steps) end
  end
  return s
end
`

// leaseScript asks for slots. ARGV: process, cap, regrow ms, ramp step ms, ramp
// first, wanted, in use, lease ms. It returns the slots granted, the ms until the
// block ends (0: none), the processes that use or want slots, and the slots of
// all.
var leaseScript = redis.NewScript(scriptLua + `
local wanted, inuse, life = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local s = slots()
local grant = math.min(wanted, math.max(s - others, 0))
local fair = math.max(1, math.floor(s / procs))
if s > 0 and unmet > 0 and grant > fair then grant = fair end
if s == 0 then grant = 0 end
if wanted == 0 and inuse == 0 then
  redis.call('HDEL', KEYS[1], me)
else
  redis.call('HSET', KEYS[1], me, string.format('%d %d %d', math.max(grant, inuse), wanted, now + life))
end
redis.call('PEXPIRE', KEYS[1], math.max(life, u - now) + 60000)
return {math.floor(grant), math.max(u - now, 0), procs, math.floor(s)}`)

// blockScript keeps the others out until ARGV[6] ms from now, and where ARGV[7] is 1
// takes a quarter of the slots away. ARGV[8] is the channel on which it tells. It
// returns the ms until the block ends.
var blockScript = redis.NewScript(scriptLua + `
local before = cap
if c > 0 then before = math.min(cap, c + math.floor((now - ct) / tonumber(ARGV[3]))) end
u = math.max(u, now + tonumber(ARGV[6]))
redis.call('HSET', KEYS[1], 'u', string.format('%d', u))
if ARGV[7] == '1' and now - ct > 1000 then
  redis.call('HSET', KEYS[1], 'c', string.format('%d', math.max(2, math.floor(before * 3 / 4))), 'ct', string.format('%d', now))
end
redis.call('PEXPIRE', KEYS[1], u - now + 600000)
redis.call('PUBLISH', ARGV[8], string.format('%d', u - now) .. ' ' .. KEYS[1])
return u - now`)

// redisWait bounds one exchange with Redis: requests wait for it.
const redisWait = 500 * time.Millisecond

// keyOf is where a user's limits are; the braces keep it in one slot of a cluster.
func keyOf(p dynamics.Principal) string {
	clean := func(s string) string { return strings.NewReplacer("{", "", "}", "", " ", "").Replace(s) }
	return keyPrefix + "{" + clean(p.Organization) + "/" + clean(p.User) + "}"
}

// A lease is what Redis answered.
type lease struct {
	slots     int           // that this process may use
	blocked   time.Duration // that no call may begin for
	processes int           // that use or want slots
}

func (t *Throttle) common(name string) []any {
	return []any{name, t.config.Concurrency, regrow.Milliseconds(), rampStep.Milliseconds(), rampFirst}
}

func (t *Throttle) lease(ctx context.Context, key, name string, wanted, inUse int) (lease, error) {
	ctx, cancel := context.WithTimeout(ctx, redisWait)
	defer cancel()
	out, err := leaseScript.Run(ctx, t.config.Redis, []string{key},
		append(t.common(name), wanted, inUse, leaseLife.Milliseconds())...).Int64Slice()
	if err != nil {
		return lease{}, err
	}
	if len(out) != 4 {
		return lease{}, errors.New("the lease script returned something else")
	}
	return lease{slots: int(out[0]), blocked: time.Duration(out[1]) * time.Millisecond, processes: int(out[2])}, nil
}

// tell writes a block and has Redis tell every process.
func (t *Throttle) tell(ctx context.Context, key string, wait time.Duration, concurrency bool) error {
	ctx, cancel := context.WithTimeout(ctx, redisWait)
	defer cancel()
	reduce := 0
	if concurrency {
		reduce = 1
	}
	return blockScript.Run(ctx, t.config.Redis, []string{key},
		append(t.common(""), max(wait.Milliseconds(), 1), reduce, channel)...).Err()
}

// told reads a message of the channel.
func told(message string) (key string, wait time.Duration, ok bool) {
	ms, key, found := strings.Cut(message, " ")
	n, err := strconv.ParseInt(ms, 10, 64)
	return key, time.Duration(n) * time.Millisecond, found && err == nil && n >= 0 && n < (24*time.Hour).Milliseconds()*2
}
