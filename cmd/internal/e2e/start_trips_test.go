package e2e

import (
	"bytes"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

// mostStartTrips is how often a process may wait for NATS or Redis before it takes requests: eight
// times, and as often again where the machine is busy and what belongs together is counted apart.
const mostStartTrips = 16

// stillFor is how long nobody has to say anything until those who wait are answered.
const stillFor = 100 * time.Millisecond

// A turnstile lets what servers say through to their clients all at once, when everybody waits: so
// it counts how often a client waits before it goes on, however many questions it asks meanwhile.
type turnstile struct {
	until []byte // is looked for in what clients say

	mu    sync.Mutex
	spoke time.Time
	held  []func()
	turns int
	found chan int // the turns before until was said
	done  bool
}

// proxy listens for connections to a server that go through the turnstile.
func (s *turnstile) proxy(t *testing.T, to string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	work.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				_ = client.Close()
				continue
			}
			mu.Lock()
			open = append(open, client, server)
			mu.Unlock()
			work.Go(func() { copyBy(client, server, func(b []byte) { s.asked(b); _, _ = server.Write(b) }) })
			work.Go(func() { copyBy(server, client, func(b []byte) { s.hold(func() { _, _ = client.Write(b) }) }) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for _, c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		work.Wait()
	})
	return listener.Addr().String()
}

// copyBy hands on what one side says until one of them is gone.
func copyBy(from, to net.Conn, hand func([]byte)) {
	defer to.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			hand(bytes.Clone(buffer[:n]))
		}
		if err != nil {
			return
		}
	}
}

func (s *turnstile) asked(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spoke = time.Now()
	if !s.done && bytes.Contains(b, s.until) {
		s.done = true
		s.found <- s.turns
	}
}

// hold keeps an answer until the next turn; once the turns are counted it lets it through.
func (s *turnstile) hold(pass func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spoke = time.Now()
	s.held = append(s.held, pass)
	if s.done {
		s.release()
	}
}

func (s *turnstile) release() {
	for _, pass := range s.held {
		pass()
	}
	s.held, s.spoke = nil, time.Now()
}

// turn lets go what is held when nobody has said anything for a while.
func (s *turnstile) turn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.held) == 0 || !s.done && time.Since(s.spoke) < stillFor {
		return
	}
	s.turns++
	s.release()
}

// A process waits for NATS and Redis a few times only before it takes requests, however many
// connections, streams and subjects there are. What is counted is how often, not how long.
func TestAStartWaitsSeldom(t *testing.T) {
	bridgetest.Long(t, "each answer of NATS and Redis is held until nobody has anything to say")
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	w.Bridge(w.Settings(true), nil)
	const connections = 12
	for i := range connections {
		w.Connect(fmt.Sprint("start", i))
	}
	s := &turnstile{until: []byte("SUB crm.accounts.search.request"), found: make(chan int, 1), spoke: time.Now()}
	settings := w.Settings(false)
	through := func(text string) string {
		at, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Replace(text, at.Host, s.proxy(t, at.Host), 1)
	}
	settings.URL, settings.RedisURL = through(settings.URL), through(settings.RedisURL)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for tick := time.NewTicker(stillFor / 10); ; {
			select {
			case <-stop:
				tick.Stop()
				return
			case <-tick.C:
				s.turn()
			}
		}
	}()
	w.Bridge(settings, nil)
	close(stop)
	<-stopped
	select {
	case turns := <-s.found:
		t.Logf("waited %d times", turns)
		if turns > mostStartTrips {
			t.Errorf("the process waited %d times before it took requests, at most %d are right", turns, mostStartTrips)
		}
	default:
		t.Error("the process never subscribed")
	}
}
