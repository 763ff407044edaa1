package tokens_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/tokens"
	"github.com/redis/go-redis/v9"
)

const shortCutOff = 3 * time.Second

func (b *bench) cutOffSource(rdb redis.UniversalClient) *tokens.Source {
	s := tokens.NewSource(tokens.SourceConfig{Store: tokens.NewStore(rdb, b.keys), Entra: b.app(), Log: b.log(),
		CutOff: shortCutOff})
	b.t.Cleanup(func() { s.Close(context.Background()) })
	return s
}

// endsWithin waits until s gives no token any more, and says how long it did.
func endsWithin(t *testing.T, s *tokens.Source, id string, most time.Duration) error {
	t.Helper()
	begun := time.Now()
	for {
		asked := time.Since(begun)
		_, err := s.Access(t.Context(), id)
		if err != nil {
			wantCode(t, err, tokens.CodeUnavailable)
			t.Logf("no token after %v: %v", time.Since(begun).Round(time.Millisecond), err)
			return nil
		}
		if asked > most {
			return fmt.Errorf("a token is still given %v after the primary took its last write", asked.Round(time.Millisecond))
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// A primary that its replicas have left refuses writes and answers everything else:
// deletions happen at another one then. It counts as away, from the first beat on
// that it refuses, and as there again when it takes writes.
func TestPrimaryThatRefusesWritesIsAway(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("skipped by -short: it starts Redis servers")
	}
	b := newBench(t, client(t, newServer(t).addr))
	b.connect("acme", 3600)
	s := b.cutOffSource(b.rdb)
	config := func(n string) {
		t.Helper()
		if err := b.rdb.ConfigSet(t.Context(), "min-replicas-to-write", n).Err(); err != nil {
			t.Fatal(err)
		}
	}
	patiently(t, shortCutOff/4, nil, func(scale int) error {
		config("0")
		servedFromMemory(t, b.rdb, s, "acme")
		config("1")
		if err := b.rdb.Publish(t.Context(), "x", "y").Err(); err != nil {
			t.Fatal("messages do not pass:", err)
		}
		return endsWithin(t, s, "acme", shortCutOff+time.Duration(scale)*2*time.Second)
	})
	// A process that has no copy gets nothing from it either.
	_, err := b.cutOffSource(b.rdb).Access(t.Context(), "acme")
	wantCode(t, err, tokens.CodeUnavailable)
	config("0")
	await(t, "tokens again", func() bool { _, err := s.Access(t.Context(), "acme"); return err == nil })
	servedFromMemory(t, b.rdb, s, "acme")
	deletedElsewhere(t, b.store, s, "acme")
	if !strings.Contains(b.logs.String(), "NOREPLICAS") {
		t.Errorf("the log does not say why: %s", b.logs.String())
	}
}

// The replica takes over and the connection is deleted there; the process that is
// left with the old primary stops when the contract says.
func TestDeletedBehindACutOffPrimary(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("skipped by -short: it starts Redis servers")
	}
	primary := newServer(t, "--repl-diskless-sync-delay", "0", "--min-replicas-max-lag", "1",
		"--repl-ping-replica-period", "1")
	host, port, _ := net.SplitHostPort(primary.addr)
	replica := newServer(t, "--replicaof", host+" "+port)
	b := newBench(t, client(t, primary.addr))
	other := client(t, replica.addr)
	await(t, "the replica", func() bool {
		return strings.Contains(other.Info(t.Context(), "replication").Val(), "master_link_status:up")
	})
	b.connect("acme", 3600)
	await(t, "the copy", func() bool { return other.Exists(t.Context(), "crmbridge:{acme}:grant").Val() == 1 })
	if err := b.rdb.ConfigSet(t.Context(), "min-replicas-to-write", "1").Err(); err != nil {
		t.Fatal(err)
	}
	s := b.cutOffSource(b.rdb)
	servedFromMemory(t, b.rdb, s, "acme")
	if err := other.Do(t.Context(), "REPLICAOF", "NO", "ONE").Err(); err != nil {
		t.Fatal(err)
	}
	if err := tokens.NewStore(other, b.keys).Delete(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	// The primary takes writes for as long as the replica may be silent.
	if err := endsWithin(t, s, "acme", shortCutOff+30*time.Second); err != nil {
		t.Error(err)
	}
}

// In a cluster each primary must prove itself; the connections of the others go on.
func TestClusterPrimaryThatRefusesWritesIsAway(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("skipped by -short: it starts a Redis Cluster")
	}
	addrs := startCluster(t)
	rdb := universal(t, redis.UniversalOptions{Addrs: addrs, IsClusterMode: true})
	b := newBench(t, rdb)
	owner := map[string]string{} // address → connection there
	cluster := rdb.(*redis.ClusterClient)
	for _, id := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		node, err := cluster.MasterForKey(t.Context(), "crmbridge:{"+id+"}:grant")
		if err != nil {
			t.Fatal(err)
		}
		owner[node.Options().Addr] = id
	}
	if len(owner) != 3 {
		t.Fatalf("connections at %d primaries, want 3", len(owner))
	}
	for _, id := range owner {
		b.connect(id, 3600)
	}
	s := b.cutOffSource(rdb)
	for _, id := range owner {
		servedFromMemory(t, rdb, s, id)
	}
	// Each primary has got beats of its own.
	for _, addr := range addrs {
		c := redis.NewClient(&redis.Options{Addr: addr})
		defer c.Close()
		if n := len(c.Keys(t.Context(), "crmbridge:alive:*").Val()); n != 1 {
			t.Errorf("%d beats at %s, want 1", n, addr)
		}
	}
	refusing := redis.NewClient(&redis.Options{Addr: addrs[1]})
	defer refusing.Close()
	if err := refusing.ConfigSet(t.Context(), "min-replicas-to-write", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if err := endsWithin(t, s, owner[addrs[1]], shortCutOff+30*time.Second); err != nil {
		t.Error(err)
	}
	for _, addr := range []string{addrs[0], addrs[2]} {
		await(t, "the connections of the others", func() bool {
			_, err := s.Access(t.Context(),
				owner[addr])
			return err == nil
		})
	}
}
