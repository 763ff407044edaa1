package tokens_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/tokens"
	"github.com/redis/go-redis/v9"
)

// reads counts the looks at grants that go to Redis.
type reads struct{ n atomic.Int64 }

func (h *reads) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *reads) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h *reads) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if strings.EqualFold(cmd.Name(), "hmget") {
			h.n.Add(1)
		}
		return next(ctx, cmd)
	}
}

// servedFromMemory waits until requests for a connection ask Redis nothing. s
// must be a source on rdb.
func servedFromMemory(t *testing.T, rdb redis.UniversalClient, s *tokens.Source, id string) {
	t.Helper()
	h := &reads{}
	rdb.AddHook(h)
	await(t, "being served from memory", func() bool {
		before := h.n.Load()
		for range 20 {
			if _, err := s.Access(t.Context(), id); err != nil {
				return false
			}
		}
		return h.n.Load() == before
	})
}

// deletedElsewhere deletes a connection by way of another process, and s must
// refuse it within a second.
func deletedElsewhere(t *testing.T, other *tokens.Store, s *tokens.Source, id string) {
	t.Helper()
	if err := other.Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	deleted := time.Now()
	for {
		asked := time.Now()
		_, err := s.Access(t.Context(), id)
		if tokens.CodeOf(err) == tokens.CodeConnectionNotFound {
			t.Logf("refused %v after the deletion", time.Since(deleted).Round(time.Millisecond))
			return
		}
		if asked.Sub(deleted) > time.Second {
			t.Fatalf("%v after the deletion the connection is still used (%v)", time.Since(deleted), err)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestServedFromMemory(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		first := b.connect("acme", 3600)
		mine := client(t, rdb.(*redis.Client).Options().Addr)
		s := tokens.NewSource(tokens.SourceConfig{Store: tokens.NewStore(mine, b.keys), Entra: b.app(), Log: b.log()})
		defer s.Close(t.Context())
		servedFromMemory(t, mine, s, "acme")
		// Connecting again reaches every process too.
		b.connect("acme", 3600)
		await(t, "the new grant", func() bool {
			a, err := s.Access(t.Context(), "acme")
			return err == nil && a.Token.Reveal() == canary+"-access-2" && a.Incarnation == first.Incarnation
		})
		servedFromMemory(t, mine, s, "acme")
		deletedElsewhere(t, b.store, s, "acme")
	})
}

// In the process that deletes it is over at once.
func TestDeletedHereIsOverAtOnce(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		s := b.source()
		for range 5 {
			b.connect("acme", 3600)
			servedFromMemory(t, rdb, s, "acme")
			if err := b.store.Delete(t.Context(), "acme"); err != nil {
				t.Fatal(err)
			}
			_, err := s.Access(t.Context(), "acme")
			wantCode(t, err, tokens.CodeConnectionNotFound)
		}
	})
}

// deaf is a network whose subscriptions hear nothing any more when it is told so,
// and say nothing of it.
type deaf struct {
	mu     sync.Mutex
	closed chan struct{} // nil: they hear
}

func (d *deaf) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &deafConn{Conn: c, d: d, closed: make(chan struct{})}, nil
}

func (d *deaf) set(is bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if is {
		d.closed = make(chan struct{})
	} else if d.closed != nil {
		close(d.closed)
		d.closed = nil
	}
}

type deafConn struct {
	net.Conn
	d          *deaf
	subscribes atomic.Bool
	once       sync.Once
	closed     chan struct{}
}

func (c *deafConn) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "\r\nsubscribe\r\n") {
		c.subscribes.Store(true)
	}
	return c.Conn.Write(p)
}

func (c *deafConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.d.mu.Lock()
	wait := c.d.closed
	c.d.mu.Unlock()
	if c.subscribes.Load() && wait != nil {
		select {
		case <-wait:
		case <-c.closed:
			return 0, net.ErrClosed
		}
	}
	return n, err
}

func (c *deafConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// A subscription that silently hears nothing must not keep a deleted connection
// alive: what counts is what a process knows, not what it was told.
func TestDeletionIsNoticedWithoutBeingHeard(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		d := &deaf{}
		mine := redis.NewClient(&redis.Options{Addr: rdb.(*redis.Client).Options().Addr, ContextTimeoutEnabled: true, Dialer: d.dial})
		defer mine.Close()
		s := tokens.NewSource(tokens.SourceConfig{Store: tokens.NewStore(mine, b.keys), Entra: b.app()})
		defer s.Close(t.Context())
		for range 2 {
			b.connect("acme", 3600)
			servedFromMemory(t, mine, s, "acme")
			d.set(true)
			deletedElsewhere(t, b.store, s, "acme")
			d.set(false) // and it recovers
		}
	})
}

// Cut off from Redis, a process goes on with what it has, and not for ever.
func TestCutOff(t *testing.T) {
	t.Parallel()
	const cutOff = 3 * time.Second
	for name, how := range map[string]func(*server){
		"killed": (*server).kill,
		"paused": func(r *server) { r.signal(syscall.SIGSTOP) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newServer(t, "--appendonly", "yes", "--appendfsync", "always")
			b := newBench(t, universal(t, redis.UniversalOptions{Addrs: []string{r.addr}}))
			b.connect("acme", 3600)
			s := tokens.NewSource(tokens.SourceConfig{Store: b.store, Entra: b.app(), Log: b.log(), CutOff: cutOff})
			defer s.Close(t.Context())
			servedFromMemory(t, b.rdb, s, "acme")
			how(r)
			gone := time.Now()
			for {
				begun := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				_, err := s.Access(ctx, "acme")
				cancel()
				after := time.Since(gone)
				if err == nil {
					if took := time.Since(begun); took > 2*time.Second {
						t.Errorf("a request with a good token waited %v", took)
					}
					if begun.Sub(gone) > cutOff {
						t.Fatalf("still used after %v", after)
					}
					time.Sleep(5 * time.Millisecond)
					continue
				}
				if code := tokens.CodeOf(err); code != tokens.CodeUnavailable && code != tokens.CodeDeadlineExceeded {
					t.Fatalf("after %v: %v", after, err)
				}
				if begun.Sub(gone) < cutOff-time.Second {
					t.Fatalf("refused already %v after Redis went away: %v", begun.Sub(gone), err)
				}
				break
			}
		})
	}
}
