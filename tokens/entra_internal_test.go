package tokens

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// A silencer stands between a client and a server. Connections that it has silenced
// stay open and carry nothing more, as when a firewall forgets them.
type silencer struct {
	net.Listener
	to string

	mu    sync.Mutex
	conns []net.Conn
	quiet []chan struct{}
	work  sync.WaitGroup
}

func newSilencer(t *testing.T, to string) *silencer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &silencer{Listener: listener, to: to}
	s.work.Go(func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", s.to)
			if err != nil {
				_ = from.Close()
				continue
			}
			quiet := make(chan struct{})
			s.mu.Lock()
			s.conns = append(s.conns, from, to)
			s.quiet = append(s.quiet, quiet)
			s.mu.Unlock()
			s.work.Go(func() { carry(to, from, quiet) })
			s.work.Go(func() { carry(from, to, quiet) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		s.mu.Lock()
		for _, c := range s.conns {
			_ = c.Close()
		}
		s.mu.Unlock()
		s.work.Wait()
	})
	return s
}

// silence mutes the connections that there are.
func (s *silencer) silence() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, quiet := range s.quiet {
		close(quiet)
	}
	s.quiet = nil
}

func carry(to io.Writer, from io.Reader, quiet chan struct{}) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		select {
		case <-quiet:
			if err != nil {
				return
			}
			continue
		default:
		}
		if err != nil {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// A connection to Entra that died without a sign is found out by pings, and the next
// request has a new one.
func TestSilentConnectionsToEntra(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_,
			_ = io.WriteString(w, "{}")
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	way := newSilencer(t, server.Listener.Addr().String())
	transport := newEntraTransport()
	defer transport.CloseIdleConnections()
	if most := transport.HTTP2.SendPingTimeout + transport.HTTP2.PingTimeout; most <= 0 || most >= 20*time.Second {
		t.Errorf("a dead connection is found after %s; a request waits for 20 s", most)
	}
	transport.HTTP2.SendPingTimeout, transport.HTTP2.PingTimeout = 50*time.Millisecond, 500*time.Millisecond
	transport.TLSClientConfig.RootCAs = x509.NewCertPool()
	transport.TLSClientConfig.RootCAs.AddCert(server.Certificate())
	transport.TLSClientConfig.ServerName = "example.com"
	client := &http.Client{Transport: transport}
	ask := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+way.Addr().String(), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		if response.ProtoMajor != 2 {
			t.Errorf("by %s", response.Proto)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		return response.Body.Close()
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	way.silence()
	if err := ask(); errors.Is(err, context.DeadlineExceeded) {
		t.Fatal("the dead connection was not found out")
	}
	if err := ask(); err != nil {
		t.Errorf("after the dead connection was found out: %v", err)
	}
}
