package tokens

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	json "github.com/go-json-experiment/json"
	"github.com/redis/go-redis/v9"
)

const (
	keyPrefix  = "crmbridge:"
	indexKey   = keyPrefix + "connections" // sorted set of ids, all with score 0
	maxList    = 1000
	pendingTTL = 11 * time.Minute // a minute longer than a ticket

	grantPurpose = "grant/v1"
)

// Store keeps connections and their grants in Redis, sealed. It is safe for
// concurrent use; any number of processes share one Redis.
type Store struct {
	rdb  redis.UniversalClient
	keys *Keyset
	// changed is told after a change that waits to be published; see outbox.go.
	changed chan struct{}

	mu        sync.Mutex // guards the rest
	listeners map[*byte]func(id string)
	dropped   func(connection string) // see OnDropped
}

// NewStore returns a store on a single Redis, a sentinel set-up or a cluster.
// The client must have ContextTimeoutEnabled, or deadlines do not end its calls;
// the caller closes it.
func NewStore(rdb redis.UniversalClient, keys *Keyset) *Store {
	return &Store{rdb: rdb, keys: keys, changed: make(chan struct{}, 1)}
}

// Format keeps fmt away from what is inside.
func (s *Store) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "connection store") }

// The id is a hash tag, so that everything about one connection is in one slot.
func grantKey(id string) string   { return keyPrefix + "{" + id + "}:grant" }
func refreshKey(id string) string { return keyPrefix + "{" + id + "}:refresh" }

// Get returns one connection. Errors: connection_not_found, unavailable,
// configuration_error (the record does not open).
func (s *Store) Get(ctx context.Context, id string) (Connection, error) {
	r, err := s.load(ctx, id)
	return r.public(), err
}

// List returns up to limit connections (1 to 1000) in the order of their ids,
// beginning behind the id after; next is "" at the end, otherwise the id to give
// as after. A connection that stays is listed exactly once whatever comes and
// goes meanwhile.
func (s *Store) List(ctx context.Context, after string, limit int) (list []Connection, next string, err error) {
	limit = min(max(limit, 1), maxList)
	low := "-"
	if after != "" {
		low = "(" + after
	}
	for len(list) < limit {
		want := limit - len(list)
		ids, err := s.rdb.ZRangeByLex(ctx, indexKey, &redis.ZRangeBy{Min: low, Max: "+", Count: int64(want) + 1}).Result()
		if err != nil {
			return nil, "", redisFault(err)
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
		next = ids[len(ids)-1]
		low = "(" + next
	}
	return list, next, nil
}

func (s *Store) loadAll(ctx context.Context, ids []string) ([]Connection, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	replies := make([]*redis.SliceCmd, len(ids))
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, id := range ids {
			replies[i] = p.HMGet(ctx, grantKey(id), slotFields[:]...)
		}
		return nil
	})
	if err != nil {
		return nil, redisFault(err)
	}
	var list []Connection
	for i, id := range ids {
		at := grantSlot(id)
		plain, err := s.opened(&at, replies[i].Val())
		if errors.Is(err, errMissing) {
			s.forget(ctx, id)
			continue
		}
		if err != nil {
			return nil, err
		}
		r, err := decodeRecord(plain, at, id)
		if err != nil {
			return nil, err
		}
		list = append(list, r.public())
	}
	return list, nil
}

// forget takes an id without a record (an authorization that nobody finished)
// out of the index. A record that was made meanwhile is looked for afterwards,
// and save adds to the index after it wrote, so that one of the two sees the
// other. Failing to tidy up harms nobody.
func (s *Store) forget(ctx context.Context, id string) {
	if s.rdb.ZRem(ctx, indexKey, id).Err() != nil {
		return
	}
	if n, err := s.rdb.Exists(ctx, grantKey(id)).Result(); err != nil || n > 0 {
		s.rdb.ZAdd(ctx, indexKey, redis.Z{Member: id})
	}
}

// Delete forgets a connection and its tokens. Deleting what is not there is no
// error. A refresh or an authorization that is under way cannot bring it back.
func (s *Store) Delete(ctx context.Context, id string) error {
	_, err := s.DeleteIfThere(ctx, id)
	return err
}

// DeleteIfThere is [Store.Delete], and says whether there was a connection.
func (s *Store) DeleteIfThere(ctx context.Context, id string) (there bool, err error) {
	if !ValidID(id) {
		return false, badID()
	}
	there, err = s.remove(ctx, id)
	if err != nil {
		return false, err
	}
	_, err = s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.ZRem(ctx, indexKey, id)
		p.ZRem(ctx, renewalsKey, id)
		p.Del(ctx, usedKey(id), metadataKey(id)) // one slot
		return nil
	})
	if err != nil {
		return there, redisFault(err)
	}
	return there, nil
}

// remove deletes the record and says whether there was one. This process knows of it before remove returns, whatever Redis
// answered.
func (s *Store) remove(ctx context.Context, id string) (there bool, err error) {
	defer s.tell(id)
	change, err := s.announceDeletion(ctx, id)
	if err != nil {
		return false, err
	}
	was, err := deleteScript.Run(ctx, s.rdb, []string{grantSlot(id).key, outboxKey(id)}, id, changedChannel, change).StringSlice()
	if err != nil {
		return false, redisFault(err)
	}
	if len(was) < 3 {
		return false, nil
	}
	s.wake()
	if was[2] != "0" {
		s.tellDropped(id)
	}
	return true, nil // a damaged record is deleted like any other
}

// onChange registers what is called with the id of every connection that this
// store wrote or deleted, before the write returns; it must not block. The
// returned function ends it.
func (s *Store) onChange(call func(id string)) (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := new(byte)
	if s.listeners == nil {
		s.listeners = map[*byte]func(string){}
	}
	s.listeners[key] = call
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.listeners, key)
	}
}

func (s *Store) tell(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, call := range s.listeners {
		call(id)
	}
}

func grantSlot(id string) slot { return slot{key: grantKey(id), purpose: grantPurpose, id: id} }

func badID() *Error {
	return invalid("connection", "connection must be 1 to 64 of the characters A-Z a-z 0-9 _ -")
}

func (s *Store) load(ctx context.Context, id string) (record, error) {
	if !ValidID(id) {
		return record{}, badID()
	}
	at := grantSlot(id)
	plain, err := s.read(ctx, &at)
	if errors.Is(err, errMissing) {
		return record{}, fault(CodeConnectionNotFound, "there is no connection "+id+"; make it with connections.authorize", nil)
	}
	if err != nil {
		return record{}, err
	}
	return decodeRecord(plain, at, id)
}

func decodeRecord(plain []byte, at slot, id string) (record, error) {
	var w sealedRecord
	// What json says about a text it could not read may quote it.
	if json.Unmarshal(plain, &w) != nil {
		return record{}, fault(CodeInternal, "a stored record is not one that this version knows", nil)
	}
	// The seal binds key and incarnation; this binds the version too.
	if w.Connection.ID != id || w.Connection.Incarnation != at.inc || w.Connection.Version != at.ver {
		return record{}, damaged(ErrUnsealable)
	}
	r := w.record()
	r.wid = at.was
	return r, nil
}

// slot is where the record is, as it was read.
func (r record) slot() slot {
	at := grantSlot(r.ID)
	at.inc, at.ver, at.was = r.Incarnation, r.Version, r.wid
	return at
}

// create makes the pending record of a first authorization, or replaces the
// pending record old. errConflict: another record is there now.
func (s *Store) create(ctx context.Context, old record, c Connection) (record, error) {
	from := old.slot()
	from.key, from.id = grantKey(c.ID), c.ID // there may be no old one
	return s.put(ctx, from, record{Connection: c}, pendingTTL)
}

// save puts r in the place of the write that it was read as (r.Incarnation,
// r.Version, r.wid) and returns it as stored. errConflict: a newer version, another
// incarnation, or nothing is there now.
func (s *Store) save(ctx context.Context, r record) (record, error) {
	return s.put(ctx, r.slot(), r, 0)
}

// saveChange is save of a change that others hear of: exactly the saves that
// return nil are published, once each.
func (s *Store) saveChange(ctx context.Context, r record, kind string) (record, error) {
	from := r.slot()
	var err error
	if from.change, err = s.announce(ctx, kind, r.Connection); err != nil {
		return r, err
	}
	if r, err = s.put(ctx, from, r, 0); err == nil {
		s.wake()
	}
	return r, err
}

// put writes r as the version after from and returns it as stored.
func (s *Store) put(ctx context.Context, from slot, r record, ttl time.Duration) (record, error) {
	r.Version = from.ver + 1
	plain, err := json.Marshal(r.wire())
	if err != nil {
		return r, fault(CodeInternal, "a record could not be encoded", nil)
	}
	// A write that failed tells nobody: while Redis is away the copies in memory
	// are what requests go on with, and if it was done after all, Redis tells.
	r.wid, err = s.write(ctx, from, r.Incarnation, plain, ttl)
	if err == nil || errors.Is(err, errConflict) {
		s.tell(r.ID)
	}
	if err != nil {
		return r, err
	}
	// After the write, see forget. A saved record is listed already, unless a
	// process died between the two lines: so every save repeats it, and only a
	// creation fails with it.
	if err := s.rdb.ZAdd(ctx, indexKey, redis.Z{Member: r.ID}).Err(); err != nil && ttl > 0 {
		return r, redisFault(err)
	}
	return r, nil
}

// awaitPerson keeps a pending record as long as a sign-in that just began.
func (s *Store) awaitPerson(ctx context.Context, id, incarnation string) error {
	n, err := touchScript.Run(ctx, s.rdb, []string{grantKey(id)}, incarnation, pendingTTL.Milliseconds()).Int()
	if err != nil {
		return redisFault(err)
	}
	if n != 1 {
		return fault(CodeInvalidState, "the connection was deleted or replaced; ask for a new connect link", nil)
	}
	return nil
}

// same compares ids that Microsoft writes in either case.
func same(a, b string) bool { return strings.EqualFold(a, b) }
