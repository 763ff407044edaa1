package tokens_test

import (
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/crmbridge/crmbridge/tokens"
	"github.com/redis/go-redis/v9"
)

// What a request pays for its token. Microsoft's own client, which keeps its
// tokens in the memory of one process, stands beside it:
//
//	go test -run - -bench 'Access|MSALSilent' ./tokens ./dynamics/emulator

// benchAccess measures Access with a good token on a real Redis.
func benchAccess(b *testing.B, fromMemory bool) {
	addr := startRedis(b)
	x := newBench(b, client(b, addr))
	x.connect("acme", 3600)
	// A subscription that hears nothing leaves every request to Redis.
	d := &deaf{}
	d.set(!fromMemory)
	mine := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true, Dialer: d.dial})
	defer mine.Close()
	s := tokens.NewSource(tokens.SourceConfig{Store: tokens.NewStore(mine, x.keys), Entra: x.app()})
	defer s.Close(b.Context())
	h := &reads{}
	mine.AddHook(h)
	access := func() {
		if _, err := s.Access(b.Context(), "acme"); err != nil {
			b.Fatal(err)
		}
	}
	if fromMemory {
		await(b, "being served from memory", func() bool {
			n := h.n.Load()
			access()
			return h.n.Load() == n
		})
	}
	time.Sleep(10 * time.Millisecond) // what the first request set off
	before, n := h.n.Load(), int64(0)
	b.ReportAllocs()
	for b.Loop() {
		access()
		n++
	}
	b.StopTimer()
	if asked := h.n.Load() - before; fromMemory && asked > n/100+1 || !fromMemory && asked < n {
		b.Fatalf("%d of %d requests asked Redis", asked, n)
	}
}

// A token that is in this process's memory costs a request no allocation.
func TestATokenFromMemoryAllocatesNothing(t *testing.T) {
	x := newBench(t, client(t, miniredis.RunT(t).Addr()))
	x.connect("acme", 3600)
	s := x.source()
	servedFromMemory(t, x.rdb, s, "acme")
	ctx := t.Context()
	// What runs beside it may allocate now and then: the average is cut to a whole number.
	var given *tokens.Secret
	if n := testing.AllocsPerRun(10_000, func() {
		a, err := s.Access(ctx, "acme")
		if err != nil {
			t.Error(err)
		}
		given = a.Held()
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
	if a, err := s.Access(ctx, "acme"); err != nil || *given != a.Token || a.Held() != given {
		t.Errorf("the token is not given out from one place (%v)", err)
	}
}

func BenchmarkAccessMemory(b *testing.B) { benchAccess(b, true) }

func BenchmarkAccessRedis(b *testing.B) { benchAccess(b, false) }

func BenchmarkAccessMemoryParallel(b *testing.B) {
	addr := startRedis(b)
	x := newBench(b, client(b, addr))
	x.connect("acme", 3600)
	s := tokens.NewSource(tokens.SourceConfig{Store: x.store, Entra: x.app()})
	defer s.Close(b.Context())
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := s.Access(b.Context(), "acme"); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
