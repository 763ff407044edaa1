package throttle

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/dynamics"
)

const (
	keyPrefix = "crmbridge:throttle:"
	// channel is where every process hears of blocks and of their ends.
	channel = keyPrefix + "blocked"
	// fleetKey is where every process leaves its heartbeat.
	fleetKey = keyPrefix + "fleet"
)

// Times of the ramp, shared by the script and by a process without Redis: slots
// double every rampStep after a block from rampFirst on.
const (
	rampFirst = 2
	rampStep  = 250 * time.Millisecond
	// A reduced number of slots grows by one each regrow.
	regrow = 5 * time.Second
	// turn is how long a process keeps slots that others have none of.
	turn = 250 * time.Millisecond
	// attentive is how long ago a process that waits asked at most; they do each starveEvery.
	attentive = 500 * time.Millisecond
)

// redisWait bounds one exchange with Redis: requests wait for it.
const redisWait = 500 * time.Millisecond

// keyOf is where a user's limits are; the braces keep it in one slot of a cluster. No
// two principals have the same: ids hold no slash there, and the origin comes last.
func keyOf(p dynamics.Principal) string {
	origin := braces.Replace(p.Environment)
	return keyPrefix + "{" + url.PathEscape(p.Organization) + "/" + url.PathEscape(p.User) + "/" + origin + "}"
}

// braces escapes what a key's part in braces must not hold.
var braces = strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D", " ", "%20")

// A lease is what Redis answered.
type lease struct {
	slots    int            // that this process may use
	jobs     int            // of them for calls of jobs, at most
	blocked  time.Duration  // that no call may begin for
	limit    dynamics.Limit // that this is or was for
	probe    bool           // one call must be answered before others begin
	mayProbe bool           // this process may make it
	fleet    int            // processes that use or want slots
	all      int            // slots that there are for all of them now
	calls    int            // of the day, by all processes
	dayLeft  time.Duration  // how long the day lasts
}

// ask is what a process says of itself with a request for slots.
type ask struct {
	wanted    int // for calls that are no job's
	demand    int // of these calls, in flight or waiting
	inUse     int // by all calls
	jobsInUse int // by calls of jobs
	jobs      int // calls of jobs, in flight or waiting
	need      int // see leaseScript
	calls     int // made that Redis does not know of
}

const (
	needNothing = iota
	needProbe
	needProbing
)

// jobsKey is where the part of a user's slots is that jobs use, in the same slot of a cluster.
func jobsKey(key string) string { return keyPrefix + "jobs:" + strings.TrimPrefix(key, keyPrefix) }

func (t *Throttle) run(ctx context.Context, script *redis.Script, key, name string, more ...any) *redis.Cmd {
	return script.Run(ctx, t.config.Redis, keysOf(key), t.args(name, more...)...)
}

// keysOf are the keys of every script about a user.
func keysOf(key string) []string { return []string{key, jobsKey(key), callsKey(key)} }

// args are a script's: those that all have, and its own.
func (t *Throttle) args(name string, more ...any) []any {
	return append([]any{name, t.slots(), regrow.Milliseconds(), rampStep.Milliseconds(), rampFirst,
		t.config.LongestBlock.Milliseconds(), leaseLife.Milliseconds()}, more...)
}

func (t *Throttle) leaseArgs(name string, a ask) []any {
	return t.args(name, a.wanted, a.demand, a.inUse, a.jobsInUse, a.jobs, reserved, a.need,
		turn.Milliseconds(), attentive.Milliseconds(), a.calls)
}

func (t *Throttle) lease(ctx context.Context, key, name string, a ask) (lease, error) {
	ctx, cancel := context.WithTimeout(ctx, redisWait)
	defer cancel()
	return t.leaseOf(leaseScript.Run(ctx, t.config.Redis, keysOf(key), t.leaseArgs(name, a)...))
}

// leaseOf reads the answer to a question.
func (t *Throttle) leaseOf(answer *redis.Cmd) (lease, error) {
	out, err := answer.Int64Slice()
	if err != nil {
		return lease{}, err
	}
	if len(out) != 10 {
		return lease{}, errors.New("the lease script returned something else")
	}
	blocked := min(time.Duration(out[2])*time.Millisecond, t.config.LongestBlock)
	return lease{slots: int(out[0]), jobs: int(out[1]), blocked: blocked, mayProbe: out[3] == 1, probe: out[4] == 1,
		limit: dynamics.Limit(out[5]), fleet: int(out[6]), all: int(out[7]),
		calls: int(out[8]), dayLeft: time.Duration(out[9]) * time.Millisecond}, nil
}

// publish writes a block and has Redis publish it to every process.
func (t *Throttle) publish(ctx context.Context, key, name string, wait time.Duration, r report) error {
	ctx, cancel := context.WithTimeout(ctx, redisWait)
	defer cancel()
	return t.run(ctx, blockScript, key, name, max(wait.Milliseconds(), 1), flag(r.reduce), channel,
		int(r.limit), flag(r.probe)).Err()
}

// flag is a boolean as the scripts take it.
func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// passed writes that a probe went well.
func (t *Throttle) passed(ctx context.Context, key, name string) error {
	ctx, cancel := context.WithTimeout(ctx, redisWait)
	defer cancel()
	return t.run(ctx, passedScript, key, name, channel).Err()
}

// soon brings the probe of a block forward.
func (t *Throttle) soon(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, redisWait)
	defer cancel()
	return t.run(ctx, soonScript, key, "-", channel).Err()
}

// news is a message of the channel: for how long no call of a user may begin from now
// on, 0 for the end of a block.
type news struct {
	key   string
	wait  time.Duration
	limit dynamics.Limit
	probe bool
}

// told reads a message of the channel: "<ms> <key> <limit> <1 where a probe is due>",
// of which the last two may be missing. No block is longer than longest.
func told(message string, longest time.Duration) (news, bool) {
	words := strings.Split(message, " ")
	if len(words) < 2 || !strings.HasPrefix(words[1], keyPrefix) {
		return news{}, false
	}
	ms, err := strconv.ParseUint(words[0], 10, 63)
	if err != nil {
		return news{}, false
	}
	n := news{key: words[1], wait: longest, limit: dynamics.LimitUnknown}
	if ms < uint64(longest.Milliseconds()) {
		n.wait = time.Duration(ms) * time.Millisecond
	}
	n.probe = n.wait == longest
	if len(words) == 4 {
		if limit, err := strconv.Atoi(words[2]); err == nil {
			n.limit = dynamics.Limit(limit)
		}
		n.probe = n.probe || words[3] == "1"
	}
	return n, true
}
