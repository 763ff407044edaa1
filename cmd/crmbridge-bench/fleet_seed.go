package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// The forms in which package tokens stores connections; its package comment says which keys
// there are, fence.go and seal.go how they are written. They do not change: what a released
// version stored must go on working. [fleetRun.connectUpTo] has the product read what was written.
const (
	renewalsIndex    = "crmbridge:renewals"
	connectionsIndex = "crmbridge:connections"
	changesIndex     = "crmbridge:changes"
)

func grantKey(connection string) string    { return "crmbridge:{" + connection + "}:grant" }
func metadataKey(connection string) string { return "crmbridge:{" + connection + "}:metadata" }
func usedKey(connection string) string     { return "crmbridge:{" + connection + "}:used" }

// grantData binds a sealed grant to its place.
func grantData(connection, incarnation string) []byte {
	return []byte("crmbridge/grant/v1\x00" + grantKey(connection) + "\x00" + incarnation)
}

// A fleetModel is what a sign-in left: the record of a connection, opened.
type fleetModel struct {
	record     map[string]any // everything but the connection
	connection map[string]any
}

// fleetName is the i-th connection.
func fleetName(i int) string { return "fleet" + strconv.Itoa(i+1) }

// modelName is the i-th of the models.
func modelName(i int) string { return "model" + strconv.Itoa(i+1) }

// warmName is the i-th of the warmers.
func warmName(i int) string { return "warm" + strconv.Itoa(i+1) }

// signIn makes the models, each by a person's sign-in.
func (f *fleetRun) signIn() error {
	defer f.endFleet()
	if _, err := f.addCrmbridge([]string{"LOG_LEVEL=error"}); err != nil {
		return err
	}
	if err := f.awaitFleet(); err != nil {
		return err
	}
	names := make([]string, fleetModels)
	for i := range names {
		names[i] = modelName(i)
	}
	if err := f.connectAll(names); err != nil {
		return err
	}
	f.say("%d connections by sign-ins", len(names))
	var err error
	if f.sealer, err = tokens.ReadKeyset([]byte(f.keyset)); err != nil {
		return err
	}
	for _, name := range names {
		stored, err := f.rdb.HGetAll(f.ctx, grantKey(name)).Result()
		if err != nil {
			return err
		}
		plain, err := f.sealer.Open([]byte(stored["sealed"]), grantData(name, stored["inc"]))
		if err != nil {
			return fmt.Errorf("open the grant of %s: %w", name, err)
		}
		var m fleetModel
		from := json.NewDecoder(bytes.NewReader(plain))
		from.UseNumber()
		if err := from.Decode(&m.record); err != nil {
			return errors.New("the record of a grant has another form")
		}
		var ok bool
		if m.connection, ok = m.record["connection"].(map[string]any); !ok {
			return errors.New("the record of a grant has another form")
		}
		f.models = append(f.models, m)
	}
	if err := f.write(warmName, 0, warmers, time.Now(), 24*time.Hour); err != nil {
		return err
	}
	f.client = messages.NewClient(f.nc)
	// Events of the sign-ins were published; whoever runs looks for more of them for five
	// minutes, which is no part of what an idle fleet costs.
	return f.rdb.Del(f.ctx, changesIndex).Err()
}

// connectUpTo makes connections until there are so many.
func (f *fleetRun) connectUpTo(n int) error {
	if n <= f.made {
		return nil
	}
	before, err := f.info()
	if err != nil {
		return err
	}
	begun, from := time.Now(), f.made
	const batch = 500
	for ; f.made < n; f.made = min(f.made+batch, n) {
		if err := f.write(fleetName, f.made, min(f.made+batch, n), time.Now(), 24*time.Hour); err != nil {
			return err
		}
		if f.made%100_000 == 0 && f.made > from {
			f.say("%d connections", f.made)
		}
	}
	after, err := f.info()
	if err != nil {
		return err
	}
	f.grant = int64(after["used_memory"]-before["used_memory"]) / int64(n-from)
	f.say("%d connections, as copies (%.1f s); Redis takes %d bytes for each", n, time.Since(begun).Seconds(), f.grant)
	// The product reads what was written.
	store := tokens.NewStore(f.rdb, f.sealer)
	for _, i := range []int{from, n - 1} {
		c, err := store.Get(f.ctx, fleetName(i))
		if err != nil {
			return fmt.Errorf("read a copy: %w", err)
		}
		if c.Status != tokens.StatusActive {
			return fmt.Errorf("a copy is %s", c.Status)
		}
	}
	return nil
}

// write stores the connections name(i) to before name(end), with tokens that end some time after
// they were made.
func (f *fleetRun) write(name func(int) string, i, end int, made time.Time, life time.Duration) error {
	_, err := f.rdb.Pipelined(f.ctx, func(p redis.Pipeliner) error {
		for ; i < end; i++ {
			if err := f.writeOne(p, name(i), f.models[i%len(f.models)], made, life); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

func (f *fleetRun) writeOne(p redis.Pipeliner, name string, m fleetModel, made time.Time, life time.Duration) error {
	incarnation := uuid.NewString()
	for field, value := range map[string]any{
		"ID": name, "Incarnation": incarnation, "Version": 1,
		// Limits are kept by user: each connection has one of its own, as in real life.
		"UserID":      uuid.NewSHA1(uuid.NameSpaceURL, []byte(name)).String(),
		"RefreshedAt": made, "AccessTokenExpiresAt": made.Add(life),
	} {
		if _, ok := m.connection[field]; !ok {
			return fmt.Errorf("the record of a grant has no %s", field)
		}
		m.connection[field] = value
	}
	plain, err := json.Marshal(m.record)
	if err != nil {
		return err
	}
	sealed, err := f.sealer.Seal(plain, grantData(name, incarnation))
	if err != nil {
		return err
	}
	p.HSet(f.ctx, grantKey(name), "inc", incarnation, "ver", 1, "wid", uuid.NewString()[:12], "sealed", sealed)
	p.ZAdd(f.ctx, connectionsIndex, redis.Z{Member: name})
	return nil
}
