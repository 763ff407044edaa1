package tokens

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	aliveKey = keyPrefix + "alive:"
	// aliveLife is how long what a heartbeat wrote stays.
	aliveLife = 10 * time.Second
	// topologyLife is how long a process goes by what a cluster said of its primaries.
	topologyLife = 10 * time.Second
)

// heartbeatScript writes KEYS[1], to live for ARGV[1] ms, and then publishes ARGV[3] on
// channel ARGV[2].
var heartbeatScript = redis.NewScript(`
redis.call('SET', KEYS[1], '', 'PX', ARGV[1])
return redis.call('PUBLISH', ARGV[2], ARGV[3])`)

func (s *Store) heartbeat(ctx context.Context, key, channel, message string) error {
	return heartbeatScript.Run(ctx, s.rdb, []string{key}, aliveLife.Milliseconds(), channel, message).Err()
}

// provenScript writes KEYS[2], to live for ARGV[1] ms, and returns the fields ARGV[2]
// and on of the hash KEYS[1].
var provenScript = redis.NewScript(`
redis.call('SET', KEYS[2], '', 'PX', ARGV[1])
local is = redis.call('TYPE', KEYS[1]).ok
if is ~= 'hash' and is ~= 'none' then return redis.error_reply('WRONGTYPE no hash') end
return redis.call('HMGET', KEYS[1], unpack(ARGV, 2))`)

// loadProven is load from a server that takes writes. One that does not may have been
// cut off by a fail-over, and know nothing of a deletion for as long as it is; its answer is
// "unavailable".
func (s *Store) loadProven(ctx context.Context, id string) (record, error) {
	return s.loadBy(id, func(at fence) ([]any, error) {
		args := []any{aliveLife.Milliseconds()}
		for _, field := range fencedFields {
			args = append(args, field)
		}
		return provenScript.Run(ctx, s.rdb, []string{at.key, keyPrefix + "{" + id + "}:alive"}, args...).Slice()
	})
}

// topology is one key for each primary, each in a slot of its own primary.
type topology struct {
	mu   sync.Mutex
	keys []string
	read time.Time
	tags map[int]string // of slots
}

// heartbeatKeys returns the keys to write in a heartbeat: one, or in a cluster one at each
// primary that has slots.
func (s *Source) heartbeatKeys(ctx context.Context) ([]string, error) {
	cluster, ok := s.store.rdb.(*redis.ClusterClient)
	if !ok {
		return []string{aliveKey + s.name}, nil
	}
	t := &s.topology
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.keys) > 0 && time.Since(t.read) < topologyLife {
		return t.keys, nil
	}
	//lint:ignore SA1019 the client itself asks by CLUSTER SLOTS, so that this needs no right that it has not
	ranges, err := cluster.ClusterSlots(ctx).Result()
	if err != nil {
		return nil, err
	}
	seen, keys := map[string]bool{}, []string(nil)
	for _, r := range ranges {
		if len(r.Nodes) == 0 {
			return nil, errors.New("the cluster knows no primary for some slots")
		}
		// Nodes of the same address are one, also where the server gives no ids.
		if primary := r.Nodes[0].ID + " " + r.Nodes[0].Addr; !seen[primary] {
			seen[primary] = true
			keys = append(keys, aliveKey+"{"+t.tag(r.Start)+"}:"+s.name)
		}
	}
	t.keys, t.read = keys, time.Now()
	return keys, nil
}

// tag is the shortest number that is in a slot; about one in 16384 is.
func (t *topology) tag(slot int) string {
	if tag, ok := t.tags[slot]; ok {
		return tag
	}
	if t.tags == nil {
		t.tags = map[int]string{}
	}
	for n := 0; ; n++ {
		tag := strconv.Itoa(n)
		if slotOf(tag) == slot {
			t.tags[slot] = tag
			return tag
		}
	}
}

// slotOf is the slot of a hash tag: CRC16 (XMODEM) modulo 16384. Source:
// https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
func slotOf(tag string) int {
	var crc uint16
	for _, c := range []byte(tag) {
		crc ^= uint16(c) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return int(crc % 16384)
}
