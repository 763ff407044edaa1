package tokens_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/tokens"
	"github.com/redis/go-redis/v9"
)

// unreadables put something into the place of a connection's record or of its changes
// that this version cannot read.
var unreadables = map[string]func(ctx context.Context, b *bench, grant string) string{
	"string": func(ctx context.Context, b *bench, grant string) string {
		b.rdb.Del(ctx, grant)
		b.rdb.Set(ctx, grant, "something else", 0)
		return "not of the form"
	},
	"list": func(ctx context.Context, b *bench, grant string) string {
		b.rdb.Del(ctx, grant)
		b.rdb.RPush(ctx, grant, "something else")
		return "not of the form"
	},
	"fields": func(ctx context.Context, b *bench, grant string) string {
		b.rdb.Del(ctx, grant)
		b.rdb.HSet(ctx, grant, "inc", "a b c", "ver", "x y", "form", "later")
		return "not of the form"
	},
	"garbage": func(ctx context.Context, b *bench, grant string) string {
		b.rdb.HSet(ctx, grant, "sealed", strings.Repeat("\x00", 99))
		return "does not open"
	},
	"foreign": func(ctx context.Context, b *bench, grant string) string {
		raw, _ := tokens.GenerateKeyset()
		keys, _ := tokens.ReadKeyset(raw)
		sealed, err := keys.Seal([]byte("{}"), nil)
		if err != nil {
			b.t.Fatal(err)
		}
		b.rdb.HSet(ctx, grant, "sealed", sealed)
		return "does not hold the key"
	},
	"newer": func(ctx context.Context, b *bench, grant string) string {
		inc := b.rdb.HGet(ctx, grant, "inc").Val()
		sealed, err := b.keys.Seal([]byte(`{"connection":["of","another","form"]}`),
			[]byte("crmbridge/grant/v1\x00"+grant+"\x00"+inc))
		if err != nil {
			b.t.Fatal(err)
		}
		b.rdb.HSet(ctx, grant, "sealed", sealed)
		return "a newer one wrote it"
	},
}

// One record that cannot be read is listed as that, with its id, and can be deleted;
// the list, the events and the renewals of others go on.
func TestUnreadableRecordsHoldUpNobody(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		ctx := t.Context()
		b := newBench(t, rdb)
		b.connect("a", 3600)
		b.connect("z", 3600)
		published(t, b.store)
		want := map[string]string{"a": "", "z": ""}
		for name, spoil := range unreadables {
			b.connect(name, 3600)
			published(t, b.store)
			want[name] = spoil(ctx, b, "crmbridge:{"+name+"}:grant")
		}
		// Things in the lists that are no connections, and one that is no list.
		long := strings.Repeat("x", 5000)
		rdb.ZAdd(ctx, "crmbridge:connections", redis.Z{Member: "no id"}, redis.Z{Member: long})
		rdb.ZAdd(ctx, "crmbridge:changes", redis.Z{Member: "no id"}, redis.Z{Member: "garbage"}, redis.Z{Member: "string"})
		rdb.ZAdd(ctx, "crmbridge:renewals", redis.Z{Member: "no id"}, redis.Z{Member: "list"})
		rdb.Set(ctx, "crmbridge:{string}:changes", "something else", 0)
		rdb.RPush(ctx, "crmbridge:{garbage}:changes", "something else")
		for _, id := range []string{"no id", long} {
			rdb.Set(ctx, "crmbridge:{"+id+"}:grant", "something else", 0)
		}
		want["no id"], want[long[:64]] = "not the id", "not the id"

		for _, limit := range []int{1, 3, 100} {
			seen := map[string]bool{}
			for after := ""; ; {
				list, next, err := b.store.List(ctx, after, limit)
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range list {
					why, known := want[c.ID]
					if !known || seen[c.ID] || (why == "") != (c.Status == tokens.StatusActive) ||
						why != "" && (c.Status != tokens.StatusUnreadable || !strings.Contains(c.LastError, why)) {
						t.Errorf("limit %d: %s, %s, %q; want %q", limit, c.ID, c.Status, c.LastError, why)
					}
					seen[c.ID] = true
				}
				if len(next) > tokens.MaxAfter {
					t.Fatalf("the list goes on behind %d bytes", len(next))
				}
				if after = next; next == "" {
					break
				}
			}
			if len(seen) != len(want) {
				t.Errorf("limit %d: %d listed, want %d", limit, len(seen), len(want))
			}
		}

		// Others' events: also behind the unreadable ones, and with nothing lost.
		b.connect("z", 3600)
		var told []tokens.Change
		_, err := b.store.PublishChanges(ctx, func(_ context.Context,
			c tokens.Change) error {
			told = append(told, c)
			return nil
		})
		if kinds(told) != "z connected" {
			t.Errorf("published %s", kinds(told))
		}
		wantCode(t, err, tokens.CodeConfigurationError)

		// Others' renewals.
		before := b.entra.count("refresh_token")
		r := brisk
		r.KeepAlive = 200 * time.Millisecond
		source := b.renewing(r, nil)
		await(t, "renewals of both", func() bool { return b.entra.count("refresh_token") >= before+4 })
		source.Close(context.Background())

		// Resealing counts them and goes on; a start does not fail for them.
		if sum, err := b.store.Reseal(ctx, nil); tokens.CodeOf(err) != tokens.CodeConfigurationError ||
			sum.Unopened < len(unreadables)-2 || sum.Current < 2 {
			t.Errorf("%+v, %v", sum, err)
		}
		if _, _, err := b.store.CheckKeys(ctx); err != nil {
			t.Error(err)
		}

		// Each says what is wrong, and is deleted like any other, which is told.
		for name := range unreadables {
			_, err := b.store.Get(ctx, name)
			wantCode(t, err, tokens.CodeConfigurationError)
			if !strings.Contains(err.Error(), want[name]) {
				t.Errorf("%s: %v, want %q", name, err, want[name])
			}
			if err := b.store.Delete(ctx, name); err != nil {
				t.Errorf("%s is not deleted: %v", name, err)
			}
			_, err = b.store.Get(ctx, name)
			wantCode(t, err, tokens.CodeConnectionNotFound)
		}
		rdb.LPop(ctx, "crmbridge:{garbage}:changes")
		deleted := map[string]bool{}
		for _, c := range published(t, b.store) {
			if c.Kind != tokens.ChangeDeleted || c.Incarnation == "" || strings.Contains(c.Incarnation, " ") ||
				deleted[c.Connection] {
				t.Errorf("%+v", c)
			}
			deleted[c.Connection] = true
		}
		if len(deleted) != len(unreadables) {
			t.Errorf("%v were told of", deleted)
		}
	})
}

// A connection whose changes are not a list can be connected again.
func TestForeignChangesDoNotKeepAConnectionOut(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		rdb.Set(t.Context(), "crmbridge:{acme}:changes", "something else", 0)
		b.connect("acme", 3600)
		if all := published(t, b.store); kinds(all) != "acme connected" {
			t.Errorf("%s", kinds(all))
		}
	})
}
