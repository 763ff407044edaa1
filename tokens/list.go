package tokens

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// List returns up to limit connections (1 to 1000) in the order of their ids,
// beginning after the id after; next is "" at the end, otherwise what to give as
// after. A connection that stays is listed exactly once whatever comes and goes
// meanwhile. A record that cannot be read is listed with its id, [StatusUnreadable]
// and the reason, and holds up no other.
func (s *Store) List(ctx context.Context, after string, limit int) (list []Connection, next string, err error) {
	limit = min(max(limit, 1), maxList)
	low := "-"
	if after != "" {
		low = "(" + after
	}
	for len(list) < limit {
		want := limit - len(list)
		ids, err := s.rdb.ZRangeByLex(ctx, indexKey,
			&redis.ZRangeBy{Min: low, Max: "+", Count: int64(want) + 1}).Result()
		if err != nil {
			return nil, "", redisError(err)
		}
		more := len(ids) > want
		ids = ids[:min(len(ids), want)]
		found, err := s.loadAll(ctx, ids)
		if err != nil {
			return nil, "", err
		}
		list = append(list, found...)
		if !more {
			return list, "", nil
		}
		next = justAfter(ids[len(ids)-1])
		low = "(" + next
	}
	return list, next, nil
}

// MaxAfter bounds the next of [Store.List] in bytes.
const MaxAfter = 256

// justAfter sorts after this member of the index and before the next one. Ids are short;
// what something else put there need not be.
func justAfter(member string) string {
	if len(member) <= MaxAfter {
		return member
	}
	return member[:MaxAfter-1] + "\xff"
}

func (s *Store) loadAll(ctx context.Context, ids []string) ([]Connection, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	replies := s.readGrants(ctx, ids)
	read := time.Now()
	var list []Connection
	for i, id := range ids {
		r, err := s.loaded(id, read, replies[i])
		switch {
		case errors.Is(err, errMissing):
			s.forget(ctx, id)
		case err == nil:
			list = append(list, r.public())
		case CodeOf(err) == CodeUnavailable:
			return nil, err
		default:
			list = append(list, unreadable(id, err))
		}
	}
	return list, nil
}

// readGrants asks for the grants of some connections at once.
func (s *Store) readGrants(ctx context.Context, ids []string) []*redis.SliceCmd {
	replies := make([]*redis.SliceCmd, len(ids))
	// Each reply has its own error: one that is no record must not hide the others.
	_, _ = s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, id := range ids {
			replies[i] = p.HMGet(ctx, grantKey(id), fencedFields[:]...)
		}
		return nil
	})
	return replies
}

// loaded is a grant as Redis answered with it, one of several; errMissing where there
// is none.
func (s *Store) loaded(id string, read time.Time, reply *redis.SliceCmd) (record, error) {
	at := grantFence(id)
	at.at = read
	v, err := reply.Result()
	plain, err := s.found(&at, v, err)
	if err != nil {
		return record{}, err
	}
	if !ValidID(id) {
		return record{}, damaged(errForeign)
	}
	return decodeRecord(plain, at, id)
}

// Unreadable is how [Store.List] shows a connection for which [Store.Get] gave err; ok
// is false where err says nothing about the record itself.
func Unreadable(id string, err error) (c Connection, ok bool) {
	switch CodeOf(err) {
	case CodeConfigurationError, CodeInternal:
		return unreadable(id, err), true
	}
	return Connection{}, false
}

func unreadable(id string, err error) Connection {
	why := "the stored record cannot be read"
	if e, ok := errors.AsType[*Error](err); ok {
		why = e.Message
	}
	if !ValidID(id) {
		const most = 64
		if len(id) > most {
			id = id[:most]
		}
		return Connection{ID: strings.ToValidUTF8(id, "?"), Status: StatusUnreadable,
			LastError: "this is not the id of a connection: something else put it into the sorted set " + indexKey +
				" in Redis; remove it there"}
	}
	return Connection{ID: id, Status: StatusUnreadable, LastError: why +
		"; delete the connection and make it again if that cannot be mended"}
}
