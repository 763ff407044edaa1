package tokens_test

import (
	"context"
	"fmt"
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

// looks reports whether a command is a look at a grant: a plain one, or one that proves
// that Redis takes writes.
func looks(cmd redis.Cmder) bool {
	if strings.HasPrefix(cmd.Name(), "eval") && len(cmd.Args()) > 4 {
		second, _ := cmd.Args()[4].(string)
		return strings.HasPrefix(second, "crmbridge:{") && strings.HasSuffix(second, "}:alive")
	}
	return strings.EqualFold(cmd.Name(), "hmget")
}

// reads counts the looks at grants that go to Redis.
type reads struct{ n atomic.Int64 }

func (h *reads) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *reads) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h *reads) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if looks(cmd) {
			h.n.Add(1)
		}
		return next(ctx, cmd)
	}
}

// servedFromMemory waits until requests for a connection ask Redis nothing, and
// returns when the first of those was made. s must be a source on rdb.
func servedFromMemory(t *testing.T, rdb redis.UniversalClient, s *tokens.Source, id string) (since time.Time) {
	t.Helper()
	h := &reads{}
	rdb.AddHook(h)
	await(t, "being served from memory", func() bool {
		since = time.Now()
		before := h.n.Load()
		for range 20 {
			if _, err := s.Access(t.Context(), id); err != nil {
				return false
			}
		}
		return h.n.Load() == before
	})
	return since
}

// deletedElsewhere deletes a connection by way of another process, and s must
// refuse it within a second, while it reaches Redis: where the machine keeps a look
// at Redis from ending, the process counts as cut off for so long.
func deletedElsewhere(t *testing.T, other *tokens.Store, s *tokens.Source, id string) {
	t.Helper()
	if err := other.Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	deleted := time.Now()
	looks := newPulse(t, func() { _, _ = other.Get(context.Background(), id) })
	defer looks.stop()
	for {
		asked := time.Now()
		_, err := s.Access(t.Context(), id)
		if tokens.CodeOf(err) == tokens.CodeConnectionNotFound {
			t.Logf("refused %v after the deletion", time.Since(deleted).Round(time.Millisecond))
			return
		}
		// A source takes Redis for away when it does not answer within a second, and
		// looks again 2 s later.
		if late := asked.Sub(deleted); late > 30*time.Second || late > time.Second && looks.worst() < 300*time.Millisecond {
			t.Fatalf("%v after the deletion the connection is still used (%v); a look at Redis took %v at most", late, err,
				looks.worst())
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
		mine := redis.NewClient(&redis.Options{Addr: rdb.(*redis.Client).Options().Addr, ContextTimeoutEnabled: true,
			Dialer: d.dial})
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

// stall is a Redis that does not answer one look at a grant before its time is over
// and release is closed.
type stall struct {
	armed            atomic.Bool
	arrived, release chan struct{}
}

func (h *stall) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *stall) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h *stall) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if looks(cmd) && h.armed.CompareAndSwap(true, false) {
			close(h.arrived)
			<-ctx.Done()
			<-h.release
			cmd.SetErr(ctx.Err())
			return ctx.Err()
		}
		return next(ctx, cmd)
	}
}

// A request whose copy goes away while Redis lets it wait for a moment has its own
// time to find out what is there now.
func TestACopyThatGoesAwayWhileRedisStalls(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, rdb redis.UniversalClient) {
		b := newBench(t, rdb)
		b.connect("acme", 3600)
		d := &deaf{}
		d.set(true) // so that every request looks at Redis, though it has a copy
		mine := redis.NewClient(&redis.Options{Addr: rdb.(*redis.Client).Options().Addr, ContextTimeoutEnabled: true,
			Dialer: d.dial})
		defer mine.Close()
		h := &stall{arrived: make(chan struct{}), release: make(chan struct{})}
		mine.AddHook(h)
		store := tokens.NewStore(mine, b.keys)
		s := tokens.NewSource(tokens.SourceConfig{Store: store, Entra: b.app(), Renewal: tokens.Renewal{Off: true}})
		defer s.Close(t.Context())
		if _, err := s.Access(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
		h.armed.Store(true)
		result := make(chan error, 1)
		go func() { _, err := s.Access(t.Context(), "acme"); result <- err }()
		soon(t, h.arrived, "a look at Redis")
		if err := store.Delete(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
		close(h.release)
		wantCode(t, soon(t, result, "an answer"), tokens.CodeConnectionNotFound)
	})
}

// Cut off from Redis, a process goes on with what it has, and not for ever.
func TestCutOff(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it kills Redis servers")
	}
	t.Parallel()
	for name, how := range map[string]func(*server){
		"killed": (*server).kill,
		"paused": func(r *server) { r.signal(syscall.SIGSTOP) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// A request with a good token is answered within 2 s, of which the source
			// waits one for Redis.
			patiently(t, 200*time.Millisecond, nil, func(scale int) error {
				return cutOffFrom(t, how, 3*time.Second*time.Duration(scale))
			})
		})
	}
}

// cutOffFrom says whether a source goes on for cutOff, and not longer, once how was
// done to its Redis.
func cutOffFrom(t *testing.T, how func(*server), cutOff time.Duration) error {
	t.Helper()
	r := newServer(t, "--appendonly", "yes", "--appendfsync", "always")
	defer r.kill()
	b := newBench(t, universal(t, redis.UniversalOptions{Addrs: []string{r.addr}}))
	b.connect("acme", 3600)
	s := tokens.NewSource(tokens.SourceConfig{Store: b.store, Entra: b.app(), Log: b.log(), CutOff: cutOff})
	defer s.Close(t.Context())
	known := servedFromMemory(t, b.rdb, s, "acme") // the copy was the newest less than a second before
	how(r)
	gone := time.Now()
	for ; ; time.Sleep(5 * time.Millisecond) {
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_, err := s.Access(ctx, "acme")
		cancel()
		took, code := time.Since(begun), tokens.CodeOf(err)
		switch {
		case err == nil && took > 2*time.Second:
			return fmt.Errorf("a request with a good token waited %v", took)
		case err == nil && begun.Sub(gone) > cutOff:
			return fmt.Errorf("still used %v after Redis went away", begun.Sub(gone))
		case err == nil:
			continue
		case code != tokens.CodeUnavailable && code != tokens.CodeDeadlineExceeded:
			return fmt.Errorf("%v after Redis went away: %w", begun.Sub(gone), err)
		case begun.Sub(known) < cutOff-time.Second:
			return fmt.Errorf("refused already %v after the copy was known to be good: %w", begun.Sub(known), err)
		}
		return nil
	}
}
