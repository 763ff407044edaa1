package tokens_test

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/tokens"
	"github.com/redis/go-redis/v9"
)

// afterScript runs do once, after the first script that has key as its first one.
type afterScript struct {
	key  string
	once sync.Once
	do   func()
}

func (h *afterScript) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (h *afterScript) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h *afterScript) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if strings.HasPrefix(cmd.Name(), "eval") && len(cmd.Args()) > 3 && cmd.Args()[3] == h.key && err == nil {
			h.once.Do(h.do)
		}
		return err
	}
}

func (b *bench) listed() (ids []string) {
	b.t.Helper()
	list, _, err := b.store.List(b.t.Context(), "", 100)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range list {
		ids = append(ids, c.ID)
	}
	return ids
}

// A connection that is made again while its predecessor's deletion is under way
// stays on the list, of connections and of renewals.
func TestDeletionLeavesTheNextIncarnationListed(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		b.connect("acme", 3600)
		slow := client(t, rdb.(*redis.Client).Options().Addr)
		// The record is gone, and the one who deleted it has not gone on yet.
		slow.AddHook(&afterScript{key: "crmbridge:{acme}:grant", do: func() { b.connect("acme", 3600) }})
		if err := tokens.NewStore(slow, b.keys).Delete(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
		if _, err := b.store.Get(t.Context(), "acme"); err != nil {
			t.Fatal("the new connection:", err)
		}
		if got := b.listed(); !slices.Equal(got, []string{"acme"}) {
			t.Errorf("%v are listed, want acme", got)
		}
		if err := b.store.Delete(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
		if n := rdb.ZCard(t.Context(), "crmbridge:connections").Val(); n != 0 {
			t.Errorf("%d in the index after the deletion", n)
		}
	})
}

// A list that has lost a connection, in a fail-over for example, gets it back, and
// so does the index of changes.
func TestLostEntriesComeBack(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		b.connect("acme", 3600)
		b.connect("other", 3600)
		if err := b.store.Delete(t.Context(), "gone"); err != nil {
			t.Fatal(err)
		}
		rdb.Del(t.Context(), "crmbridge:connections", "crmbridge:changes", "crmbridge:renewals", "crmbridge:purges")
		rdb.Set(t.Context(), "crmbridge:{not an id}:grant", "x", 0)
		b.renewing(brisk, nil)
		await(t, "the lists", func() bool {
			return rdb.ZCard(t.Context(), "crmbridge:renewals").Val() == 2 &&
				rdb.ZCard(t.Context(), "crmbridge:changes").Val() == 2 &&
				rdb.ZCard(t.Context(), "crmbridge:purges").Val() == 1
		})
		if got := b.listed(); !slices.Equal(got, []string{"acme", "other"}) {
			t.Errorf("%v are listed", got)
		}
		if all := published(t, b.store); kinds(all) != "acme connected, other connected" &&
			kinds(all) != "other connected, acme connected" {
			t.Errorf("%s", kinds(all))
		}
	})
}

// What one machine announces another does not forget for its clock: Redis's counts.
func TestIndexOfChangesKeepsRedisTime(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		b.connect("acme", 3600)
		published(t, b.store)
		now := rdb.Time(t.Context()).Val()
		score := rdb.ZScore(t.Context(), "crmbridge:changes", "acme").Val()
		if d := now.Sub(time.UnixMilli(int64(score))); d < 0 || d > time.Minute {
			t.Fatalf("announced %s ago", d)
		}
		set := func(at time.Time) {
			rdb.ZAdd(t.Context(), "crmbridge:changes", redis.Z{Member: "acme", Score: float64(at.UnixMilli()) + 0.25})
			published(t, b.store)
		}
		set(now.Add(-4 * time.Minute))
		if rdb.ZCard(t.Context(), "crmbridge:changes").Val() != 1 {
			t.Error("forgotten within 5 min of the announcement")
		}
		// An older version wrote the time of a machine whose clock was years ahead.
		set(now.Add(10 * 365 * 24 * time.Hour))
		s := rdb.ZScore(t.Context(), "crmbridge:changes", "acme").Val()
		if time.UnixMilli(int64(s)).After(now.Add(time.Hour)) {
			t.Error("an entry of the far future stays for ever")
		}
		set(now.Add(-6 * time.Minute))
		if rdb.ZCard(t.Context(), "crmbridge:changes").Val() != 0 {
			t.Error("not forgotten after 5 min")
		}
	})
}
