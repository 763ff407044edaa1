// Package natstap lets a test see every message that clients publish to a NATS server. It stands
// between clients and server as a relay of bytes, so that the server's subscriptions, its interest
// and its "no responders" are as without it; a subscriber that listens would alter them. What a
// server sends is relayed without a look: each message has been published by somebody.
package natstap

import (
	"errors"
	"io"
	"net"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// A Message is one that a client publishes.
type Message struct {
	Client         string // the name that the client gave itself
	Subject, Reply string
	Header         map[string][]string // nil without
	Body           []byte              // the receiver's own
}

// A Tap relays connections to a server, and tells of what is published before the server gets it.
type Tap struct {
	URL string // where clients connect to, with the user of the server's URL

	server   string
	hear     func(Message)
	listener net.Listener

	mu     sync.Mutex
	open   map[net.Conn]bool // nil when it has been closed
	relays sync.WaitGroup
}

// Listen begins to relay to a server's URL, from another port of 127.0.0.1. hear is called by
// several goroutines; what it takes, the client waits for.
func Listen(server string, hear func(Message)) (*Tap, error) {
	to, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	t := &Tap{server: to.Host, hear: hear, listener: listener, open: map[net.Conn]bool{}}
	to.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(listener.Addr().(*net.TCPAddr).Port))
	t.URL = to.String()
	t.relays.Go(t.accept)
	return t, nil
}

// Close ends every connection, and returns when nothing is heard any more.
func (t *Tap) Close() error {
	err := t.listener.Close()
	t.mu.Lock()
	for conn := range t.open {
		_ = conn.Close() // its other side may have done so
	}
	t.open = nil
	t.mu.Unlock()
	t.relays.Wait()
	return err
}

func (t *Tap) accept() {
	for {
		client, err := t.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		} else if err != nil {
			time.Sleep(10 * time.Millisecond) // the machine has no descriptors left
			continue
		}
		t.relays.Go(func() { t.relay(client) })
	}
}

// keep has the connection closed by Close; false says that there has been a Close.
func (t *Tap) keep(conn net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		return false
	}
	t.open[conn] = true
	return true
}

func (t *Tap) drop(conn net.Conn) {
	t.mu.Lock()
	delete(t.open, conn)
	t.mu.Unlock()
	_ = conn.Close() // it may have been the one that ended
}

// relay is one connection, until one of its sides ends it. A server that is not there refuses: the
// client is cut off without a farewell.
func (t *Tap) relay(client net.Conn) {
	defer t.drop(client)
	if !t.keep(client) {
		return
	}
	server, err := net.DialTimeout("tcp", t.server, 10*time.Second)
	if err != nil {
		_ = client.(*net.TCPConn).SetLinger(0) // a reset is as near to a refusal as there is
		return
	}
	defer t.drop(server)
	if !t.keep(server) {
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(client, server) // either side may end
		_ = client.Close()
	})
	defer back.Wait()
	defer server.Close()
	reader := reader{hear: t.hear}
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		reader.read(buffer[:n])
		if n > 0 {
			if _, err := server.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
