package tokens

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// A Census is what there is of connections in the whole fleet, at one moment.
type Census struct {
	// Statuses counts the connections by their status; each status is there.
	Statuses map[string]int `json:"statuses"`
	// Overdue is how long ago the token of an active connection should have been renewed that
	// has waited longest, in seconds; 0 where none is late.
	Overdue float64 `json:"overdue"`
	// Outbox is how many changes wait to be published as events.
	Outbox int `json:"outbox"`
	// Blocked is how many users Dataverse's limits keep out, as Counted.Blocked counted them.
	Blocked int `json:"blocked"`
}

// Statuses lists the states of a connection.
func Statuses() []string {
	return []string{StatusPending, StatusActive, StatusReauthorizationRequired, StatusUnreadable}
}

// A Principal is whom a connection acts as in Dataverse.
type Principal struct{ EnvironmentURL, OrganizationID, UserID string }

const (
	censusPage = 250 // connections that are read at once
	// censusPause lies between two pages: Redis has other work.
	censusPause = 5 * time.Millisecond
)

// Census reads every connection, a page at a time. Memory is bounded by a page. each gets the
// principals of a page's active connections, one of them perhaps more than once.
func (s *Source) Census(ctx context.Context, each func(context.Context, []Principal) error) (Census, error) {
	c := Census{Statuses: map[string]int{}}
	for _, status := range Statuses() {
		c.Statuses[status] = 0
	}
	for after := ""; ; {
		list, next, err := s.store.List(ctx, after, censusPage)
		if err != nil {
			return c, err
		}
		if err := s.countPage(ctx, &c, list, each); err != nil {
			return c, err
		}
		if after = next; after == "" {
			break
		}
		if !pause(ctx, censusPause) {
			return c, ctx.Err()
		}
	}
	var err error
	c.Outbox, err = s.store.waitingChanges(ctx)
	return c, err
}

func (s *Source) countPage(ctx context.Context, c *Census, list []Connection,
	each func(context.Context, []Principal) error) error {
	var active []Connection
	for _, one := range list {
		if _, known := c.Statuses[one.Status]; known {
			c.Statuses[one.Status]++
		}
		if one.Status == StatusActive {
			active = append(active, one)
		}
	}
	if len(active) == 0 {
		return nil
	}
	used := make([]*redis.IntCmd, len(active))
	if _, err := s.store.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, one := range active {
			used[i] = p.Exists(ctx, usedKey(one.ID))
		}
		return nil
	}); err != nil {
		return redisError(err)
	}
	now := time.Now()
	principals := make([]Principal, len(active))
	for i, one := range active {
		c.Overdue = max(c.Overdue, now.Sub(s.latest(&record{Connection: one}, used[i].Val() > 0)).Seconds())
		principals[i] = Principal{one.EnvironmentURL, one.OrganizationID, one.UserID}
	}
	return each(ctx, principals)
}

// latest is when a connection's token is renewed at the latest where all is well.
func (s *Source) latest(r *record, used bool) time.Time {
	atRest := r.RefreshedAt.Add(s.renewal.KeepAlive)
	if !used {
		return atRest
	}
	if inUse := r.AccessTokenExpiresAt.Add(-renewBefore(r)); inUse.Before(atRest) {
		return inUse
	}
	return atRest
}

// lengthScript counts a list. A user of Redis who may do what crmbridge does may LRANGE.
var lengthScript = redis.NewScript(`
if redis.call('TYPE', KEYS[1]).ok ~= 'list' then return 0 end
return #redis.call('LRANGE', KEYS[1], 0, -1)`)

// waitingChanges counts the changes that wait to be published.
func (s *Store) waitingChanges(ctx context.Context) (n int, err error) {
	for from := int64(0); ; from += outboxBatch {
		ids, err := s.rdb.ZRange(ctx, changesKey, from, from+outboxBatch-1).Result()
		if err != nil {
			return n, redisError(err)
		}
		for _, id := range ids {
			if !ValidID(id) {
				continue
			}
			waiting, err := lengthScript.Run(ctx, s.rdb, []string{outboxKey(id)}).Int()
			if err != nil {
				return n, redisError(err)
			}
			n += waiting
		}
		if len(ids) < outboxBatch {
			return n, nil
		}
	}
}

// firstSeenKey is when the fleet first sealed with a key, in ms since 1970 by Redis's clock.
// The id of a key says nothing of it.
func firstSeenKey(id uint32) string {
	return keyPrefix + "key:" + strconv.FormatUint(uint64(id), 10)
}

// seenScript notes that a key is used now, and returns for how many ms it has been.
var seenScript = redis.NewScript(timeLua + `
redis.call('SET', KEYS[1], string.format('%d', now), 'NX')
return now - (tonumber(redis.call('GET', KEYS[1])) or now)`)

// PrimaryAge is how long the key that seals now has been in use, as far as Redis knows: since
// a process first asked this.
func (s *Store) PrimaryAge(ctx context.Context) (time.Duration, error) {
	if s.keys == nil {
		return 0, errors.New("there is no key set")
	}
	ms, err := seenScript.Run(ctx, s.rdb, []string{firstSeenKey(s.keys.now.Load().primary)}).Int64()
	if err != nil {
		return 0, redisError(err)
	}
	return max(time.Duration(ms)*time.Millisecond, 0), nil
}
