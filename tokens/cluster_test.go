package tokens_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/tokens"
	"github.com/redis/go-redis/v9"
)

// Everything that needs Redis to do more than one thing works on a cluster.
func TestRedisCluster(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("skipped by -short: it starts a Redis Cluster")
	}
	options := redis.UniversalOptions{Addrs: startCluster(t), IsClusterMode: true}
	connect := func() redis.UniversalClient { return universal(t, options) }
	b := newBench(t, connect())
	b.expired("acme")
	oneRefresh(t, b, func() redis.UniversalClient { return universal(t, ofMany(options)) }, "-access-2")
	if n := b.entra.count("refresh_token"); n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
	// Connections of all three primaries are served from memory and deleted at once.
	s := b.source()
	for _, id := range []string{"a", "b", "c", "d", "e", "f"} {
		b.connect(id, 3600)
		servedFromMemory(t, b.rdb, s, id)
		deletedElsewhere(t, tokens.NewStore(connect(), b.keys), s, id)
	}
	if list, _, err := b.store.List(t.Context(), "", 10); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
}

// The primary dies, its replica takes over, and crmbridge goes on.
func TestSentinelFailOver(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("skipped by -short: it starts Redis servers and kills one")
	}
	primary, replica, sentinel := startSentinel(t)
	options := redis.UniversalOptions{Addrs: []string{sentinel.addr}, MasterName: masterName}
	connect := func() redis.UniversalClient { return universal(t, options) }
	many := func() redis.UniversalClient { return universal(t, ofMany(options)) }
	b := newBench(t, connect())
	b.expired("acme")
	s := b.source()
	oneRefresh(t, b, many, "-access-2")
	servedFromMemory(t, b.rdb, s, "acme")
	if n, err := b.rdb.(*redis.Client).Wait(t.Context(), 1, 5*time.Second).Result(); n != 1 || err != nil {
		t.Fatalf("the replica is behind: %d, %v", n, err)
	}
	primary.kill()
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if a, err := s.Access(t.Context(), "acme"); err != nil || a.Token.Reveal() != canary+"-access-2" {
			t.Fatalf("during the fail-over: %v", err)
		}
	}
	after := redis.NewSentinelClient(&redis.Options{Addr: sentinel.addr})
	defer after.Close()
	await(t, "the fail-over", func() bool {
		found, err := after.GetMasterAddrByName(t.Context(), masterName).Result()
		return err == nil && net.JoinHostPort(found[0], found[1]) == replica.addr
	})
	await(t, "writes on the new primary", func() bool {
		return b.store.Delete(context.Background(), "nobody") == nil
	})
	servedFromMemory(t, b.rdb, s, "acme")
	b.expired("acme")
	oneRefresh(t, b, many, "-access-4")
	if n := b.entra.count("refresh_token"); n != 2 {
		t.Errorf("%d token requests, want 2", n)
	}
	deletedElsewhere(t, tokens.NewStore(connect(), b.keys), s, "acme")
}
