package throttle

import (
	"github.com/redis/go-redis/v9"
)

// The hash of a user has these fields; times are in ms since 1970 by Redis's clock, so
// that the processes' clocks need not agree.
//
//	u          no call may begin before
//	limit      number of the limit that this is for (dynamics.Limit)
//	probe      there where one call must be answered after u before others may begin
//	prober     "process expiry": whose right it is to make that call
//	c, ct      slots after a refusal for concurrency, and when that was
//	p:PROCESS  "slots wanted expiry since": since is from when on the process has held
//	           slots without a break or, where it holds none, has wanted one
//
// A second hash is about the calls of jobs; it is one of its own since processes of older
// versions delete from the first what they cannot read:
//
//	p:PROCESS  what the process has and wants of the slots for jobs, in the same form
//	d:PROCESS  "calls expiry": its calls that are no job's, in flight or waiting
//
// scriptLua reads the first. ARGV: process, slots of all, regrow ms, ramp step ms, ramp first,
// longest block ms, lease ms.
const scriptLua = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local key, me, cap, regrow = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local step, first, most, life = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local u, c, ct, limit, probe, prober, held = 0, 0, 0, 0, false, '', 0
local mine, procs = {n = 0, w = 0, since = now}, {}
local function int(x) return string.format('%d', x) end
-- What a process has of a hash's slots; one whose lease has ended has nothing.
local function holder(hash, k, v)
  local n, w, e, s = string.match(v, '^(%d+) (%d+) (%d+) (%d+)$')
  if n and tonumber(e) > now then
    return {who = k, n = tonumber(n), w = tonumber(w), asked = tonumber(e) - life, since = tonumber(s)}
  end
  redis.call('HDEL', hash, k)
end
local h = redis.call('HGETALL', key)
for i = 1, #h, 2 do
  local k, v = h[i], h[i + 1]
  if k == 'u' then u = tonumber(v) or 0
  elseif k == 'c' then c = tonumber(v) or 0
  elseif k == 'ct' then ct = tonumber(v) or 0
  elseif k == 'limit' then limit = tonumber(v) or 0
  elseif k == 'probe' then probe = true
  elseif k == 'prober' then
    local who, ends = string.match(v, '^(%S+) (%d+)$')
    if who and tonumber(ends) > now then prober, held = who, tonumber(ends) end
  else
    local x = holder(key, k, v)
    if x and k == 'p:' .. me then mine = x elseif x then procs[#procs + 1] = x end
  end
end
-- A clock that was set back must not make a block longer.
if u > now + most then
  u, probe = now + most, true
  redis.call('HSET', key, 'u', int(u), 'probe', '1')
end
local function reduced()
  if c == 0 then return cap end
  return math.min(cap, c + math.floor(math.max(now - ct, 0) / regrow))
end
local function slots()
  if now < u or probe then return 0 end
  local s = reduced()
  if u > 0 then
    local steps = math.floor((now - u) / step)
    if steps < 16 then s = math.min(s, first * 2 ^ steps) end
  end
  return s
end
-- That a probe is due is remembered for a day, for whoever comes back then.
local function keep()
  local left = math.max(life, u - now) + 60000
  if probe then left = 86400000 end
  redis.call('PEXPIRE', key, left)
end
local function tell(channel)
  redis.call('PUBLISH', channel, int(math.max(u - now, 0)) .. ' ' .. key .. ' ' .. int(limit) .. ' ' .. (probe and 1 or 0))
end
`

// leaseScript asks for slots. More KEYS: the hash of slots for jobs. More ARGV: slots wanted
// for other calls than jobs', how many of these are in flight or wait, calls in flight, those
// of jobs among them, jobs' calls in flight or waiting, slots that jobs leave free, what there
// is to probe with (0 nothing, 1 a call that waits, 2 one in flight), turn ms, attentive ms, calls
// of today that are not counted yet (calls.go).
// It returns the slots granted, how many of them jobs may use, the ms for which no call may
// begin, 1 for the right to probe, 1 where a probe is due, the limit, how many processes use or
// want slots, how many slots there are for all of them now, the calls of the day, and the ms
// that the day lasts.
//
// Jobs get what the calls of all processes leave that are no jobs', except for a few that
// they never get; but where there are no such calls they get one, however few there are. What
// jobs get is divided among the processes, and what their calls in flight leave is, too.
//
// Where some want more than they have, each keeps to its share, and the rest of the
// division goes to as many as it is slots. With fewer slots than processes the share is
// nothing, and so they take turns: who held a slot for a turn gives it up, and who has
// waited longest gets it. A process that does not ask any more is not waited for.
var leaseScript = redis.NewScript(scriptLua + countLua + `
local wanted, demand, inuse, need = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10]), ARGV[14]
local jobsinuse, jobs, reserved = tonumber(ARGV[11]), tonumber(ARGV[12]), tonumber(ARGV[13])
local turn, attentive = tonumber(ARGV[15]), tonumber(ARGV[16])
local function divide(s, wanted, mine, procs)
  local others, unmet, count = 0, 0, 1
  for _, x in ipairs(procs) do
    others = others + x.n
    if x.n > 0 or x.w > 0 then count = count + 1 end
    unmet = unmet + math.max(x.w - x.n, 0)
  end
  local share, free = math.floor(s / count), math.max(s - others, 0)
  local grant = math.min(wanted, free)
  if unmet > 0 and grant > share then
    local more = 0
    for _, x in ipairs(procs) do if x.n > share then more = more + 1 end end
    grant = share
    if more < s - share * count then grant = share + 1 end
  end
  if share == 0 and grant > 0 then
    local waiting, ahead = 0, 0
    for _, x in ipairs(procs) do
      if x.n == 0 and x.w > 0 and now - x.asked < attentive then
        waiting = waiting + 1
        if x.since < mine.since then ahead = ahead + 1 end
      end
    end
    if mine.n > 0 then
      if waiting > 0 and now - mine.since >= turn then grant = 0 end
    elseif ahead >= free then
      grant = 0
    end
  end
  return math.floor(grant)
end
-- Writes what this process has and wants, unless it is nothing.
local function note(hash, mine, n, w, nothing)
  if nothing then return redis.call('HDEL', hash, 'p:' .. me) end
  local since = now
  if n > 0 and mine.n > 0 or n == 0 and mine.n == 0 and mine.w > 0 then since = mine.since end
  redis.call('HSET', hash, 'p:' .. me, int(n) .. ' ' .. int(w) .. ' ' .. int(now + life) .. ' ' .. int(since))
end
local s = slots()
local jmine, jobprocs, told = {n = 0, w = 0, since = now}, {}, {}
local jn, jw, has = 0, jobs, {}
local j = redis.call('HGETALL', KEYS[2])
for i = 1, #j, 2 do
  local k, v = j[i], j[i + 1]
  if k == 'p:' .. me then jmine = holder(KEYS[2], k, v) or jmine
  elseif string.sub(k, 1, 2) == 'p:' then
    local x = holder(KEYS[2], k, v)
    if x then jobprocs[#jobprocs + 1] = x; has[k] = x.n; jn = jn + x.n; jw = jw + x.w end
  elseif k ~= 'd:' .. me then
    local d, e = string.match(v, '^(%d+) (%d+)$')
    if d and tonumber(e) > now then told['p:' .. string.sub(k, 3)] = tonumber(d)
    else redis.call('HDEL', KEYS[2], k) end
  end
end
local asked, others, count = demand, 0, 1
for _, x in ipairs(procs) do
  if x.n > 0 or x.w > 0 then count = count + 1 end
  others = others + x.n
  asked = asked + (told[x.who] or x.w) -- a process of an older version does not say it, and has no jobs
  local of = has[x.who] or 0
  x.n, x.w = math.max(x.n - of, 0), math.max(x.w - of, 0)
end
local room = math.max(s - math.max(reserved, asked), 0)
if asked == 0 and s > 0 then room = math.max(room, 1) end
local forjobs = math.min(divide(room, jobs, jmine, jobprocs), math.max(s - others - inuse + jobsinuse, 0))
local jobsn = math.max(forjobs, jobsinuse)
jn = jn + jobsn
-- What is only kept for a next call is not kept from jobs.
if jn < math.min(room, jw) then wanted = demand end
local rest = {n = math.max(mine.n - jmine.n, 0), since = mine.since}
local grant = divide(math.max(s - jn, 0), wanted, rest, procs) + jobsn
note(KEYS[2], jmine, jobsn, jobs, jobs == 0 and jobsinuse == 0)
note(key, mine, math.max(grant, inuse), wanted + jobsn, wanted + jobsn == 0 and inuse == 0)
redis.call('HSET', KEYS[2], 'd:' .. me, int(demand) .. ' ' .. int(now + life))
local right = 0
if probe and now >= u then
  if need == '0' then
    if prober == me then redis.call('HDEL', key, 'prober'); prober = '' end
  elseif prober == me or prober == '' and need == '1' then
    prober, held, right = me, now + life, 1
    redis.call('HSET', key, 'prober', me .. ' ' .. int(held))
  end
end
local blocked = math.max(u - now, 0)
if blocked == 0 and probe and prober ~= '' and prober ~= me then blocked = held - now end
keep()
redis.call('PEXPIRE', KEYS[2], life)
local today, left = made(tonumber(ARGV[17]), inuse)
return {grant, forjobs, blocked, right, probe and 1 or 0, limit, count, s, today, left}`)

// blockScript keeps everybody out. More ARGV: for how many ms, 1 where a quarter of the
// slots is to be taken away, channel, limit, 1 where the block ends with a probe.
var blockScript = redis.NewScript(scriptLua + `
local wait = math.min(tonumber(ARGV[8]), most)
local before = reduced()
u, limit, probe = math.max(u, now + wait), tonumber(ARGV[11]), probe or ARGV[12] == '1'
redis.call('HSET', key, 'u', int(u), 'limit', int(limit))
if probe then redis.call('HSET', key, 'probe', '1') end
if prober == me then redis.call('HDEL', key, 'prober') end
if ARGV[9] == '1' and now - ct > 1000 then
  redis.call('HSET', key, 'c', int(math.max(2, math.floor(before * 3 / 4))), 'ct', int(now))
end
keep()
tell(ARGV[10])
return 1`)

// passedScript ends a block whose probe went well; the slots come back by the ramp.
// More ARGV: channel.
var passedScript = redis.NewScript(scriptLua + `
if prober ~= me then return 0 end
u, probe = now, false
redis.call('HDEL', key, 'probe', 'prober')
redis.call('HSET', key, 'u', int(u))
keep()
tell(ARGV[8])
return 1`)

// soonScript brings the probe of a block forward. More ARGV: channel.
var soonScript = redis.NewScript(scriptLua + `
if now >= u then return 0 end
u, probe = now, true
redis.call('HSET', key, 'u', int(u), 'probe', '1')
keep()
tell(ARGV[8])
return 1`)

// fleetScript is a heartbeat. KEYS: the hash of the processes, each with the time of
// its last one. ARGV: process, ms after which a process counts as silent, ms after
// which it is forgotten. It returns how many there are, and how many of them are silent.
var fleetScript = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local size, silent = 0, 0
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d', now))
local h = redis.call('HGETALL', KEYS[1])
for i = 1, #h, 2 do
  local age = math.abs(now - (tonumber(h[i + 1]) or 0))
  if age > tonumber(ARGV[3]) then
    redis.call('HDEL', KEYS[1], h[i])
  else
    size = size + 1
    if age > tonumber(ARGV[2]) then silent = silent + 1 end
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {size, silent}`)
