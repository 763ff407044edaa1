package bridge

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

// A way stands between a client and a server. Silenced, its present connections stay
// open and nothing is read from them, as when a server's machine is gone.
type way struct {
	net.Listener
	drops atomic.Int32 // how many of the next connections are closed after their first bytes

	mu    sync.Mutex
	conns []net.Conn
	stop  chan struct{} // of the present connections
	over  chan struct{} // the test has ended
	work  sync.WaitGroup
}

func newWay(t *testing.T, to string) *way {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &way{Listener: listener, stop: make(chan struct{}), over: make(chan struct{})}
	w.work.Go(func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", to)
			if err != nil {
				_ = from.Close()
				continue
			}
			w.mu.Lock()
			w.conns = append(w.conns, from, to)
			stop := w.stop
			w.mu.Unlock()
			drop := w.drops.Add(-1) >= 0
			w.work.Go(func() { w.pass(from, to, stop, drop) })
			w.work.Go(func() { w.pass(to, from, stop, false) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		close(w.over)
		w.mu.Lock()
		for _, c := range w.conns {
			_ = c.Close()
		}
		w.mu.Unlock()
		w.work.Wait()
	})
	return w
}

func (w *way) silence() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.stop)
	w.stop = make(chan struct{})
}

// pass copies until it is stopped; then it reads no more, so that buffers fill up.
// With drop it closes the connection at the second thing that the client sends, which
// is after the server has welcomed it.
func (w *way) pass(from, to net.Conn, stop chan struct{}, drop bool) {
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for reads := 1; ; reads++ {
		n, err := from.Read(buffer)
		select {
		case <-stop:
			<-w.over
			return
		default:
		}
		if err != nil {
			return
		}
		if drop && reads == 2 {
			_ = from.Close()
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func natsServer(t *testing.T) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("NATS did not start")
	}
	return s
}

// A NATS server that is gone without a sign is noticed by pings, also when the client
// has more to send than the network takes.
func TestSilentNATSServer(t *testing.T) {
	if most := (natsPingsMissed + 1) * natsPing; most > 30*time.Second {
		t.Errorf("it is noticed after %s only", most)
	}
	for _, busy := range []bool{false, true} {
		t.Run(fmt.Sprintf("busy %v", busy), func(t *testing.T) {
			w := newWay(t, natsServer(t).Addr().String())
			again := make(chan struct{}, 10)
			// A write waits long here, so that it is the pings that notice; where the client
			// is busy it is the write.
			write := time.Minute
			if busy {
				write = 300 * time.Millisecond
			}
			nc, err := connectConsumer(NATS{URL: "nats://" + w.Addr().String()}, 16<<20, slog.New(slog.DiscardHandler), func(error) {},
				nats.PingInterval(100*time.Millisecond), nats.FlusherTimeout(write), nats.ReconnectWait(10*time.Millisecond),
				nats.ReconnectHandler(func(*nats.Conn) { again <- struct{}{} }))
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			if err := nc.FlushTimeout(time.Minute); err != nil {
				t.Fatal(err)
			}
			w.silence()
			late := time.After(time.Minute)
			for {
				select {
				case <-again:
					return
				case <-late:
					t.Fatal("it was not noticed")
				default:
				}
				if busy {
					_ = nc.Publish("answers", make([]byte, 64<<10)) // may fail: that is what this is about
				} else {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
}

// A connection that NATS drops as soon as it is there does not end a start.
func TestDroppedFreshConnections(t *testing.T) {
	w := newWay(t, natsServer(t).Addr().String())
	w.drops.Store(3)
	lost := make(chan error, 1)
	nc, err := connectConsumer(NATS{URL: "nats://" + w.Addr().String()}, 16<<20, slog.New(slog.DiscardHandler), func(err error) { lost <- err })
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	b := &Bridge{nats: nc}
	if err := waitFor(t.Context(), slog.New(slog.DiscardHandler), "NATS", b.reachNATS); err != nil {
		t.Error(err)
	}
	nc.Close()
	if err := waitFor(t.Context(), slog.New(slog.DiscardHandler), "NATS", b.reachNATS); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("a connection that is closed for good: %v", err)
	}
}

// Clocks that differ by more than the answer's way can explain are named, with what
// suffers and in which direction, and the metric tells how much.
func TestClockSkew(t *testing.T) {
	m := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: m.Addr()})
	defer client.Close()
	var log strings.Builder
	p := newProbe(client, slog.New(slog.NewTextHandler(&log, nil)), prometheus.NewRegistry())
	for _, c := range []struct {
		offset time.Duration
		note   string
	}{
		{0, ""}, {-31 * time.Second, "31s ahead of that of Redis"}, {31 * time.Second, "31s behind that of Redis"}, {2 * time.Second, ""},
	} {
		m.SetTime(time.Now().Add(c.offset))
		v := p.try(t.Context())
		if v.err != nil || !strings.Contains(rounded(v), c.note) || (c.note == "") != (v.note() == "") {
			t.Errorf("%s: %v %q, want %q", c.offset, v.err, v.note(), c.note)
		}
		p.tell(v)
		p.tell(v) // says it once
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings: %s", n, log.String())
	}
	if !strings.Contains(log.String(), "agree again") {
		t.Error(log.String())
	}
	p.close()
}

// rounded is a verdict's note as if the machine had lost no time.
func rounded(v verdict) string {
	v.skew = v.skew.Round(5 * time.Second)
	if v.skew == 30*time.Second || v.skew == -30*time.Second {
		v.skew += v.skew / 30
	}
	return v.note()
}

// However many ask how Redis is, it is asked once a second at the most.
func TestProbeIsShared(t *testing.T) {
	m := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: m.Addr()})
	defer client.Close()
	p := newProbe(client, slog.New(slog.NewTextHandler(io.Discard, nil)), prometheus.NewRegistry())
	defer p.close()
	var asking sync.WaitGroup
	for range 50 {
		asking.Go(func() {
			for range 20 {
				if v := p.look(context.Background()); v.err != nil {
					t.Error(v.err)
				}
			}
		})
	}
	asking.Wait()
	if n := m.CommandCount(); n > 100 {
		t.Errorf("%d commands for 1000 questions", n)
	}
}

// A Redis that has fallen silent is told within the wait of a probe, and connections
// that died are not used for long.
func TestSilentRedis(t *testing.T) {
	m := miniredis.RunT(t)
	w := newWay(t, m.Addr())
	options, err := redisOptions("redis://" + w.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewUniversalClient(options)
	defer client.Close()
	p := newProbe(client, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	defer p.close()
	for range 20 { // a pool of connections
		if v := p.try(t.Context()); v.err != nil {
			t.Fatal(v.err)
		}
	}
	w.silence()
	failed := 0
	for ; failed < 5; failed++ {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		v := p.try(ctx)
		cancel()
		if v.err == nil {
			break
		}
	}
	if failed == 5 {
		t.Error("the dead connections are still used")
	}
}
