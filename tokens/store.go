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
	// changed is signalled after a change that waits to be published; see outbox.go.
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

func (s *Store) notify(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, call := range s.listeners {
		call(id)
	}
}

func grantFence(id string) fence { return fence{key: grantKey(id), purpose: grantPurpose, id: id} }

func badID() *Error {
	return invalid("connection", "connection must be 1 to 64 of the characters A-Z a-z 0-9 _ -")
}

func (s *Store) load(ctx context.Context, id string) (record, error) {
	return s.loadBy(id, func(at fence) ([]any, error) { return s.rdb.HMGet(ctx, at.key, fencedFields[:]...).Result() })
}

// loadBy is load with another way to read the fields of the hash.
func (s *Store) loadBy(id string, read func(fence) ([]any, error)) (record, error) {
	if !ValidID(id) {
		return record{}, badID()
	}
	at := grantFence(id)
	v, err := read(at)
	plain, err := s.found(&at, v, err)
	if errors.Is(err, errMissing) {
		return record{}, newError(CodeConnectionNotFound, "there is no connection "+id+"; make it with "+
			"connections.authorize", nil)
	}
	if err != nil {
		return record{}, err
	}
	return decodeRecord(plain, at, id)
}

func decodeRecord(plain []byte, at fence, id string) (record, error) {
	var w sealedRecord
	// What json says about a text it could not read may quote it.
	if json.Unmarshal(plain, &w) != nil {
		return record{}, newError(CodeConfigurationError, "a stored record is of a form that this "+
			"version of crmbridge "+
			"does not know: a newer one wrote it", nil)
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
func (r record) fence() fence {
	at := grantFence(r.ID)
	at.inc, at.ver, at.was = r.Incarnation, r.Version, r.wid
	return at
}

// create makes the pending record of a first authorization, or replaces the
// pending record old. errConflict: another record is there now.
func (s *Store) create(ctx context.Context, old record, c Connection) (record, error) {
	from := old.fence()
	from.key, from.id = grantKey(c.ID), c.ID // there may be no old one
	return s.put(ctx, from, record{Connection: c}, pendingTTL)
}

// save puts r in the place of the write that it was read as (r.Incarnation,
// r.Version, r.wid) and returns it as stored. errConflict: a newer version, another
// incarnation, or nothing is there now.
func (s *Store) save(ctx context.Context, r record) (record, error) {
	return s.put(ctx, r.fence(), r, 0)
}

// saveChange is save of a change that becomes an event: exactly the saves that
// return nil are published, once each.
func (s *Store) saveChange(ctx context.Context, r record, kind string) (record, error) {
	from := r.fence()
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
func (s *Store) put(ctx context.Context, from fence, r record, ttl time.Duration) (record, error) {
	r.Version = from.ver + 1
	plain, err := json.Marshal(r.wire())
	if err != nil {
		return r, newError(CodeInternal, "a record could not be encoded", nil)
	}
	// A write that failed tells nobody: while Redis is away the copies in memory
	// are what requests go on with, and if it was done after all, Redis tells.
	r.wid, err = s.write(ctx, from, r.Incarnation, plain, ttl)
	if err == nil || errors.Is(err, errConflict) {
		s.notify(r.ID)
	}
	if err != nil {
		return r, err
	}
	// After the write, see forget. A saved record is listed already, unless a
	// process died between the two lines: so every save repeats it, and only a
	// creation fails with it.
	if err := s.rdb.ZAdd(ctx, indexKey, redis.Z{Member: r.ID}).Err(); err != nil && ttl > 0 {
		return r, redisError(err)
	}
	return r, nil
}

// awaitPerson keeps a pending record as long as a sign-in that just began.
func (s *Store) awaitPerson(ctx context.Context, id, incarnation string) error {
	n, err := touchScript.Run(ctx, s.rdb, []string{grantKey(id)}, incarnation, pendingTTL.Milliseconds()).Int()
	if err != nil {
		return redisError(err)
	}
	if n != 1 {
		return newError(CodeInvalidState, "the connection was deleted or replaced; ask for a new connect link", nil)
	}
	return nil
}

// same compares ids that Microsoft writes in either case.
func same(a, b string) bool { return strings.EqualFold(a, b) }
