package tokens

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	metadataLife    = 15 * time.Minute
	metadataLease   = 5 * time.Second // of one who reads, while it lives
	maxMetadata     = 16 << 20        // before compression
	maxKeptMetadata = 1 << 20         // as it is kept
	maxMetadataKind = 128
	metadataPurpose = "metadata/v1"
)

func metadataKey(id string) string { return keyPrefix + "{" + id + "}:metadata" }
func readingKey(id, table string) string {
	return keyPrefix + "{" + id + "}:reading:" + table
}

// putMetadataScript keeps ARGV[3] as kind ARGV[2] of incarnation ARGV[1] in
// KEYS[1], if the grant KEYS[2] is of that incarnation: whoever was paused while
// the connection was deleted leaves nothing behind. Everything in KEYS[1] ends
// ARGV[4] ms after its first part was put there.
var putMetadataScript = redis.NewScript(`
if redis.call('HGET', KEYS[2], 'inc') ~= ARGV[1] then return 0 end
local inc = redis.call('HGET', KEYS[1], 'inc')
if inc and inc ~= ARGV[1] then redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], 'inc', ARGV[1], ARGV[2], ARGV[3])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[4]) end
return 1`)

// A MetadataCache keeps for the fleet what an environment says about its columns,
// per incarnation of a connection and in kinds that the caller names. It is gone
// with its connection, and 15 minutes after its first kind was put. Nothing in it
// is worth an error of the request: whatever it fails with, ask Dataverse.
//
// Labels are no secrets, and are sealed like the rest all the same, so that nobody
// with access to Redis alone can change what a filter means. What does not open,
// for example after a change of keys, is not there; [Store.Reseal] leaves it to end.
type MetadataCache struct {
	store *Store
	locks locks
}

// NewMetadataCache returns a cache in the same Redis as the connections of a store.
func NewMetadataCache(store *Store) *MetadataCache {
	return &MetadataCache{store: store, locks: newLocks(store.rdb, metadataLease)}
}

// Get returns what was put as a kind for this incarnation, nil where there is
// nothing. Errors: unavailable.
func (m *MetadataCache) Get(ctx context.Context, connection, incarnation, kind string) ([]byte, error) {
	if !ValidID(connection) {
		return nil, badID()
	}
	key := metadataKey(connection)
	found, err := m.store.rdb.HMGet(ctx, key, "inc", kind).Result()
	if err != nil {
		return nil, redisError(err)
	}
	sealed, there := found[1].(string)
	if !there || found[0] != incarnation {
		return nil, nil
	}
	small, err := m.store.keys.Open([]byte(sealed), associated(metadataPurpose, key, incarnation, kind))
	if err != nil {
		return nil, nil // as if it were not there: it is only a copy
	}
	plain, err := unsqueeze(small)
	if err != nil || len(plain) > maxMetadata {
		return nil, nil
	}
	return plain, nil
}

// Put keeps value as a kind, in the place of what was there, unless the connection
// is gone or of another incarnation by now. What is too large is not kept. Errors:
// unavailable; invalid_request for a kind that is too long or no kind.
func (m *MetadataCache) Put(ctx context.Context, connection, incarnation, kind string, value []byte) error {
	switch {
	case !ValidID(connection):
		return badID()
	case kind == "" || kind == "inc" || len(kind) > maxMetadataKind:
		return invalid("kind", "is not a kind of metadata")
	case len(value) > maxMetadata:
		return nil
	}
	small, err := squeeze(value)
	if err != nil {
		return newError(CodeInternal, "metadata could not be compressed", err)
	}
	if len(small) > maxKeptMetadata {
		return nil
	}
	key := metadataKey(connection)
	sealed, err := m.store.keys.Seal(small, associated(metadataPurpose, key, incarnation, kind))
	if err != nil {
		return newError(CodeInternal, "metadata could not be sealed", err)
	}
	err = putMetadataScript.Run(ctx, m.store.rdb, []string{key, grantKey(connection)},
		incarnation, kind, sealed, metadataLife.Milliseconds()).Err()
	if err != nil {
		return redisError(err)
	}
	return nil
}

// Claim makes the caller the one in the fleet who reads the metadata of a connection's
// table, until it calls done, or dies. done is nil while another one reads. Errors:
// unavailable.
func (m *MetadataCache) Claim(ctx context.Context, connection, table string) (done func(), err error) {
	if !ValidID(connection) {
		return nil, badID()
	}
	done, err = m.locks.hold(ctx, readingKey(connection, table))
	if errors.Is(err, errTaken) {
		return nil, nil
	}
	return done, err
}

// squeezers and unsqueezers keep what compresses and its opposite: new ones take 1.2 MB and
// 44 KB. Reset makes them like new: they look back at nothing of what was there before.
var (
	squeezers = sync.Pool{New: func() any {
		w, err := flate.NewWriter(io.Discard, flate.BestSpeed)
		if err != nil { // of a level that does not exist
			panic(err)
		}
		return w
	}}
	unsqueezers = sync.Pool{New: func() any { return flate.NewReader(bytes.NewReader(nil)) }}
)

func squeeze(plain []byte) ([]byte, error) {
	var small bytes.Buffer
	w := squeezers.Get().(*flate.Writer)
	defer squeezers.Put(w)
	w.Reset(&small)
	defer w.Reset(io.Discard)
	if _, err := w.Write(plain); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	return small.Bytes(), nil
}

// unsqueeze reads what squeeze made, up to one byte more than may be kept.
func unsqueeze(small []byte) ([]byte, error) {
	r := unsqueezers.Get().(io.ReadCloser)
	defer unsqueezers.Put(r)
	reset := r.(flate.Resetter)
	if err := reset.Reset(bytes.NewReader(small), nil); err != nil {
		return nil, err
	}
	defer func() { _ = reset.Reset(bytes.NewReader(nil), nil) }()
	return io.ReadAll(io.LimitReader(r, maxMetadata+1))
}
