package tokens_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/tokens"
)

const purges = "crmbridge:purges"

// due makes everything on the list of deletions due now.
func due(t *testing.T, rdb redis.UniversalClient) {
	t.Helper()
	for _, id := range rdb.ZRange(t.Context(), purges, 0, -1).Val() {
		rdb.ZAdd(t.Context(), purges, redis.Z{Member: id,
			Score: float64(rdb.Time(t.Context()).Val().Add(-time.Second).UnixMilli())})
	}
}

// purged has everything that is due purged, and says of whom.
func purged(t *testing.T, s *tokens.Store) (ids []string) {
	t.Helper()
	n, err := s.PurgeDeleted(t.Context(),
		func(_ context.Context, id string) error { ids = append(ids, id); return nil })
	if err != nil || n != len(ids) {
		t.Fatal(n, err)
	}
	slices.Sort(ids)
	return ids
}

// What a deleted connection left elsewhere is removed 30 s later, once, by any process,
// whether or not there was a record.
func TestDeletedConnectionsArePurged(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		b.connect("acme", 3600)
		b.connect("other", 3600)
		for _, id := range []string{"acme", "never"} {
			if err := b.store.Delete(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			at := time.UnixMilli(int64(rdb.ZScore(t.Context(), purges, id).Val()))
			if wait := at.Sub(rdb.Time(t.Context()).Val()); wait < 20*time.Second || wait > 30*time.Second {
				t.Errorf("%s is purged again in %s", id, wait)
			}
			if left := rdb.PTTL(t.Context(), "crmbridge:{"+id+"}:purge").Val(); left < 6*24*time.Hour {
				t.Errorf("the deletion of %s is forgotten in %s", id, left)
			}
		}
		if ids := purged(t, b.store); len(ids) > 0 {
			t.Errorf("%v are purged before it is time", ids)
		}
		due(t, rdb)
		// Another process, and one that knows no key.
		if ids := purged(t, tokens.NewStore(rdb, nil)); !slices.Equal(ids, []string{"acme", "never"}) {
			t.Errorf("%v are purged", ids)
		}
		due(t, rdb)
		if ids := purged(t, b.store); len(ids) > 0 {
			t.Errorf("%v are purged again", ids)
		}
		if n := rdb.Exists(t.Context(), purges, "crmbridge:{acme}:purge", "crmbridge:{never}:purge").Val(); n != 0 {
			t.Errorf("%d keys are left", n)
		}
	})
}

// What cannot be purged stays, is left alone for a minute, and holds up no other; where
// nothing works a round ends soon.
func TestPurgesThatFail(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		for i := range 60 {
			if err := b.store.Delete(t.Context(), fmt.Sprintf("c%d", i)); err != nil {
				t.Fatal(err)
			}
		}
		due(t, rdb)
		calls, away := 0, errors.New("JetStream is away")
		n, err := b.store.PurgeDeleted(t.Context(), func(context.Context, string) error { calls++; return away })
		if n != 0 || calls != 3 || !errors.Is(err, away) {
			t.Errorf("%d of %d calls, %v", n, calls, err)
		}
		// Those of that round are somebody's for a minute.
		if ids := purged(t, b.store); len(ids) != 10 {
			t.Errorf("%d are purged", len(ids))
		}
		due(t, rdb)
		n, err = b.store.PurgeDeleted(t.Context(), func(_ context.Context, id string) error {
			if id == "c7" {
				return away
			}
			return nil
		})
		if n < 49-1 || n > 50 || (err != nil && !strings.Contains(err.Error(), "c7")) {
			t.Errorf("%d are purged, %v", n, err)
		}
		// Deleted again while it is purged: it is purged once more.
		if err := b.store.Delete(t.Context(), "c0"); err != nil {
			t.Fatal(err)
		}
		due(t, rdb)
		if _, err := b.store.PurgeDeleted(t.Context(), func(ctx context.Context, id string) error {
			if id == "c0" {
				return b.store.Delete(ctx, "c0")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		due(t, rdb)
		if ids := purged(t, b.store); !slices.Contains(ids, "c0") {
			t.Errorf("%v are purged, and c0 was deleted meanwhile", ids)
		}
		// What is not of ours, or leads nowhere, is forgotten; one of a wrong clock comes too.
		rdb.ZAdd(t.Context(), purges, redis.Z{Member: "no id"}, redis.Z{Member: "nothing"}, redis.Z{Member: "list"})
		rdb.LPush(t.Context(), "crmbridge:{list}:purge", "x")
		if err := b.store.Delete(t.Context(), "ahead"); err != nil {
			t.Fatal(err)
		}
		rdb.ZAdd(t.Context(), purges, redis.Z{Member: "ahead",
			Score: float64(time.Now().Add(365 * 24 * time.Hour).UnixMilli())})
		if ids := purged(t, b.store); len(ids) > 0 {
			t.Errorf("%v are purged", ids)
		}
		if left := rdb.ZRangeWithScores(t.Context(), purges, 0, -1).Val(); len(left) != 1 ||
			left[0].Member != "ahead" ||
			time.UnixMilli(int64(left[0].Score)).After(time.Now().Add(2*time.Minute)) {
			t.Errorf("%v are left", left)
		}
	})
}

// What a deleted connection left is removed before a connection can be used again, and not
// when one that is there is connected again. Where it cannot be removed the connection is
// made, and somebody removes it later.
func TestLeftoversGoBeforeAConnectionIsMade(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		var calls []string
		var fails error
		b.leftovers = func(ctx context.Context, id string) error {
			c, err := b.store.Get(ctx, id)
			calls = append(calls, id+" "+c.Status)
			if _, bounded := ctx.Deadline(); !bounded || err != nil {
				t.Errorf("%v, a bound %v", err, bounded)
			}
			return fails
		}
		b.auth = b.authorizer()
		first := b.connect("acme", 3600)
		if again := b.connect("acme", 3600); again.Incarnation != first.Incarnation {
			t.Error("connecting again made another incarnation")
		}
		if _, err := b.auth.App(t.Context(), app()); err != nil {
			t.Fatal(err)
		}
		if _, err := b.auth.App(t.Context(), app()); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(calls, []string{"acme pending", "app pending"}) {
			t.Errorf("%q", calls)
		}
		if n := rdb.ZCard(t.Context(), purges).Val(); n != 0 {
			t.Errorf("%d are to be purged", n)
		}
		if err := b.store.Delete(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
		due(t, rdb)
		purged(t, b.store)
		fails = errors.New("JetStream is away")
		if second := b.connect("acme", 3600); second.Incarnation == first.Incarnation ||
			second.Status != tokens.StatusActive {
			t.Errorf("%+v", second)
		}
		due(t, rdb)
		if ids := purged(t, b.store); !slices.Equal(ids, []string{"acme"}) {
			t.Errorf("%v are purged later", ids)
		}
	})
}

// The incarnation is that of what is there now, connected or not.
func TestIncarnation(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		s := b.source()
		if inc, err := b.store.Incarnation(t.Context(), "acme"); inc != "" || err != nil {
			t.Errorf("%q %v", inc, err)
		}
		_, err := s.Incarnation(t.Context(), "acme")
		wantCode(t, err, tokens.CodeConnectionNotFound)
		back := b.signIn(tokens.Request{Connection: "acme"})
		pending, err := b.store.Incarnation(t.Context(), "acme")
		if inc, sourceErr := s.Incarnation(t.Context(), "acme"); pending == "" || err != nil || sourceErr != nil ||
			inc != pending {
			t.Errorf("%q %v, %q %v", pending, err, inc, sourceErr)
		}
		made, err := b.auth.Complete(t.Context(), back)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // from Redis, and from memory
			if inc, err := s.Incarnation(t.Context(), "acme"); inc != made.Incarnation || err != nil {
				t.Errorf("%q %v", inc, err)
			}
		}
		if err := b.store.Delete(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
		_, err = s.Incarnation(t.Context(), "acme")
		wantCode(t, err, tokens.CodeConnectionNotFound)
		rdb.Set(t.Context(), "crmbridge:{acme}:grant", "x", 0)
		if inc, err := b.store.Incarnation(t.Context(), "acme"); inc != "" || err != nil {
			t.Errorf("%q %v", inc, err)
		}
	})
}
