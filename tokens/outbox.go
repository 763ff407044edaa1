package tokens

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	json "github.com/go-json-experiment/json"
	"github.com/redis/go-redis/v9"
)

// Kinds of [Change].
const (
	ChangeConnected               = "connected"                // there is a new grant, the first or another one
	ChangeReauthorizationRequired = "reauthorization_required" // the grant is gone
	ChangeDeleted                 = "deleted"
)

// A Change is a change of a connection's state that is published as an event. A token
// refresh is none.
type Change struct {
	Kind           string
	Connection     string
	Incarnation    string
	Version        int64 // that the change made; the last one there was for ChangeDeleted
	EnvironmentURL string
	Status         string // after the change; "" for ChangeDeleted
	LastError      string // why a person must connect again
	At             time.Time
}

// ID is the same for one change wherever and however often it is read:
// "<connection>.<incarnation>.<version>.<kind>".
func (c Change) ID() string {
	return c.Connection + "." + c.Incarnation + "." + strconv.FormatInt(c.Version, 10) + "." + c.Kind
}

// Changes wait in Redis until they have been published, one list per connection.
// The script that changes a record appends to its list, so that neither is ever
// without the other. An entry is "<incarnation> <version> <JSON>"; the script
// fills in the first two.
//
// changesKey is a sorted set of the connections whose lists may hold something,
// by the time of the last change in ms, Redis's. It is in another slot, so it is
// written first: a process that dies in between leaves an entry that leads nowhere.
// What it has lost all the same comes back (relist.go).
const changesKey = keyPrefix + "changes"

func outboxKey(id string) string { return keyPrefix + "{" + id + "}:changes" }

const (
	maxOutbox  = 100                // changes of one connection that wait; the oldest go first
	outboxKept = 7 * 24 * time.Hour // as long as events are kept where there is JetStream
	// indexKept is how long an empty list is looked at again and again: longer than
	// any write that has announced itself may take.
	indexKept   = 5 * time.Minute
	outboxBatch = 200

	changePurpose = "change/v1"
)

// outboxLua is the part of a script that keeps a change for publication. keep
// returns how many of the oldest it dropped for that. What is no list there is not
// ours, and must not make every sign-in and deletion of the connection fail.
var outboxLua = fmt.Sprintf(`
local most = %d
local function keep(list, inc, ver, change)
  local is = redis.call('TYPE', list).ok
  if is ~= 'list' and is ~= 'none' then redis.call('DEL', list) end
  local waiting = redis.call('RPUSH', list, inc .. ' ' .. ver .. ' ' .. change)
  redis.call('LTRIM', list, -most, -1)
  redis.call('PEXPIRE', list, %d)
  return math.max(0, waiting - most)
end
`, maxOutbox, outboxKept.Milliseconds())

// popScript takes the head of the list KEYS[1] away if it still is ARGV[1].
var popScript = redis.NewScript(`
if redis.call('LINDEX', KEYS[1], 0) ~= ARGV[1] then return 0 end
redis.call('LPOP', KEYS[1])
return 1`)

// announceScript puts the connection ARGV[1] into the index KEYS[1].
var announceScript = redis.NewScript(timeLua + `return redis.call('ZADD', KEYS[1], string.format('%d', now), ARGV[1])`)

// forgetScript takes the connection ARGV[1] out of the index KEYS[1] if it was
// announced ARGV[2] ms ago or longer. A time that is further ahead than that is of a
// machine whose clock was wrong, which older versions went by.
var forgetScript = redis.NewScript(timeLua + `
local at = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or now)
local kept = tonumber(ARGV[2])
if at > now + kept or at ~= at then redis.call('ZADD', KEYS[1], string.format('%d', now), ARGV[1]) end
if now - at < kept then return 0 end
return redis.call('ZREM', KEYS[1], ARGV[1])`)

func changeAD(list string) []byte { return associated(changePurpose, list) }

// keptChange is a Change in its list.
type keptChange struct {
	Kind        string    `json:"kind"`
	Environment string    `json:"environment,omitzero"`
	Status      string    `json:"status,omitzero"`
	LastError   string    `json:"last_error,omitzero"`
	At          time.Time `json:"at"`
}

// announce says that a change of the connection is about to be written, and
// returns it as the script keeps it.
func (s *Store) announce(ctx context.Context, kind string, c Connection) ([]byte, error) {
	now := time.Now().UTC()
	plain, err := json.Marshal(keptChange{kind, c.EnvironmentURL, c.Status, c.LastError, now})
	if err != nil {
		return nil, newError(CodeInternal, "a change could not be encoded", nil)
	}
	change, err := s.keys.Seal(plain, changeAD(outboxKey(c.ID)))
	if err != nil {
		return nil, newError(CodeInternal, "a change could not be sealed", err)
	}
	if err := announceScript.Run(ctx, s.rdb, []string{changesKey}, c.ID).Err(); err != nil {
		return nil, redisError(err)
	}
	return change, nil
}

// announceDeletion is announce for what is about to be deleted. A record that does
// not open is deleted like any other; then nobody knows its environment.
func (s *Store) announceDeletion(ctx context.Context, id string) ([]byte, error) {
	at := grantFence(id)
	gone := Connection{ID: id}
	plain, err := s.read(ctx, &at)
	switch {
	case err == nil:
		if r, err := decodeRecord(plain, at, id); err == nil {
			gone.EnvironmentURL = r.EnvironmentURL
		}
	case CodeOf(err) == CodeUnavailable:
		return nil, err
	}
	return s.announce(ctx, ChangeDeleted, gone)
}

// OnDropped registers what is called after a write of this store for which Redis
// dropped the oldest change of a connection, one that was never published: more
// than 100 wait. It must not block.
func (s *Store) OnDropped(call func(connection string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropped = call
}

func (s *Store) notifyDropped(connection string) {
	s.mu.Lock()
	call := s.dropped
	s.mu.Unlock()
	if call != nil {
		call(connection)
	}
}

// wake signals whoever publishes in this process.
func (s *Store) wake() {
	select {
	case s.changed <- struct{}{}:
	default: // signalled already
	}
}

// Changed yields something after this store has written a change that waits to
// be published. Others' changes are found by looking now and then.
func (s *Store) Changed() <-chan struct{} { return s.changed }

// outboxFailures is how many connections in a row may fail to be published before
// a round ends: then the cause is not one of them.
const outboxFailures = 3

// PublishChanges gives every change that waits to publish, those of one
// connection in their order, and forgets it when publish returns nil; it ends at
// the first error of publish or Redis. Several processes may publish the same
// change at once, or one again: tell by [Change.ID]. It returns how many were
// published. A change that does not open with the key set is left where it is, and
// is the error in the end.
func (s *Store) PublishChanges(ctx context.Context, publish func(context.Context, Change) error) (
	published int, err error,
) {
	round := publishing{store: s, publish: publish}
	// By rank: where one is forgotten or changes again the ranks move, and who is
	// missed by that comes in the next round.
	for from := int64(0); ; from += outboxBatch {
		batch, err := s.rdb.ZRangeWithScores(ctx, changesKey, from, from+outboxBatch-1).Result()
		if err != nil {
			return round.published, redisError(err)
		}
		if len(batch) == 0 {
			return round.published, round.closed
		}
		heads, read := s.outboxHeads(ctx, batch), time.Now()
		now, err := s.clock(ctx, changesKey)
		if err != nil {
			return round.published, err
		}
		if err := round.batch(ctx, batch, heads, now, read); err != nil {
			return round.published, err
		}
		if len(batch) < outboxBatch {
			return round.published, round.closed
		}
	}
}

// publishing is one round of publishing changes.
type publishing struct {
	store     *Store
	publish   func(context.Context, Change) error
	published int
	failures  int   // in a row
	closed    error // of what is left where it is
}

// batch publishes the changes of some connections, whose heads were read at a moment; now is
// Redis's time. An error ends the round.
func (p *publishing) batch(ctx context.Context, batch []redis.Z, heads []*redis.StringCmd, now, read time.Time) error {
	for i, z := range batch {
		n, err := p.store.publishList(ctx, z, now, read, heads[i], p.publish)
		p.published += n
		switch {
		case err == nil:
			p.failures = 0
			continue
		case errors.Is(err, ErrUnsealable):
			p.closed = err
			continue
		}
		// One that cannot be published must not hold up the others.
		p.closed = err
		if p.failures++; p.failures == outboxFailures || ctx.Err() != nil {
			return err
		}
	}
	return nil
}

// outboxHeads returns the first entry of each list. Each reply has its own error:
// one that is no list must not hold up the others.
func (s *Store) outboxHeads(ctx context.Context, batch []redis.Z) []*redis.StringCmd {
	heads := make([]*redis.StringCmd, len(batch))
	_, _ = s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, z := range batch {
			heads[i] = p.LIndex(ctx, outboxKey(z.Member.(string)), 0)
		}
		return nil
	})
	return heads
}

// publishList publishes one connection's changes, from the head on, which was read at
// a moment of this process's clock; now is Redis's time.
func (s *Store) publishList(ctx context.Context, of redis.Z, now, read time.Time, head *redis.StringCmd,
	publish func(context.Context, Change) error) (published int, err error) {
	id := of.Member.(string)
	list := outboxKey(id)
	for {
		entry, err := head.Result()
		if errors.Is(err, redis.Nil) {
			break
		}
		if wrongType(err) {
			return published, damaged(errForeign)
		}
		if err != nil {
			return published, redisError(err)
		}
		c, err := s.readChange(id, entry, read)
		if err != nil {
			return published, err
		}
		if err := publish(ctx, c); err != nil {
			return published, err
		}
		published++
		if err := popScript.Run(ctx, s.rdb, []string{list}, entry).Err(); err != nil {
			return published, redisError(err)
		}
		head, read = s.rdb.LIndex(ctx, list, 0), time.Now()
	}
	if announced := now.Sub(time.UnixMilli(int64(of.Score))); announced < indexKept && announced > -indexKept {
		return published, nil
	}
	if err := forgetScript.Run(ctx, s.rdb, []string{changesKey}, id, indexKept.Milliseconds()).Err(); err != nil {
		return published, redisError(err)
	}
	return published, nil
}

func (s *Store) readChange(id, entry string, read time.Time) (Change, error) {
	incarnation, rest, _ := strings.Cut(entry, " ")
	version, sealed, _ := strings.Cut(rest, " ")
	n, bad := strconv.ParseInt(version, 10, 64)
	plain, err := s.keys.openOf(read, []byte(sealed), changeAD(outboxKey(id)))
	var kept keptChange
	if err != nil || bad != nil || json.Unmarshal(plain, &kept) != nil {
		return Change{}, damaged(firstError(err, ErrUnsealable))
	}
	return Change{Kind: kept.Kind, Connection: id, Incarnation: incarnation, Version: n,
		EnvironmentURL: kept.Environment,
		Status:         kept.Status, LastError: kept.LastError, At: kept.At}, nil
}
