package bridge

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Strangers hold no more connections of a listener than it allows, and none has more of a header
// kept than it may send; who comes next is heard when one of them goes.
func TestConnectionsAreBounded(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	_ = listener.Close()
	b := &Bridge{log: slog.New(slog.DiscardHandler), failed: make(chan error, 3)}
	if err := b.listen("HTTP_ADDR", addr, http.NotFoundHandler()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
	}()
	open := func() net.Conn {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	ask := func(conn net.Conn, header string, wait time.Duration) (string, error) {
		_ = conn.SetDeadline(time.Now().Add(wait))
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n"+header+"\r\n"); err != nil {
			return "", err
		}
		return bufio.NewReader(conn).ReadString('\n')
	}
	held := make([]net.Conn, mostConnections)
	for i := range held {
		held[i] = open()
		defer held[i].Close()
		if status, err := ask(held[i], "", time.Minute); err != nil || !strings.Contains(status, " 404 ") {
			t.Fatalf("connection %d: %q, %v", i, status, err)
		}
	}
	late := open()
	defer late.Close()
	if status, err := ask(late, "", 100*time.Millisecond); err == nil {
		t.Fatalf("one more than %d was heard: %q", mostConnections, status)
	}
	_ = held[0].Close() // else none is heard before the idle ones are closed
	_ = late.SetDeadline(time.Now().Add(time.Minute))
	if status, err := bufio.NewReader(late).ReadString('\n'); err != nil || !strings.Contains(status, " 404 ") {
		t.Errorf("after one has gone: %q, %v", status, err)
	}
	long := "X: " + strings.Repeat("x", 2*mostHeader) + "\r\n"
	if status, err := ask(held[1], long, time.Minute); err != nil || !strings.Contains(status, " 431 ") {
		t.Errorf("a header of %d bytes: %q, %v", len(long), status, err)
	}
	if status, err := ask(held[2], "X: "+strings.Repeat("x", mostHeader/2)+"\r\n", time.Minute); err != nil ||
		!strings.Contains(status, " 404 ") {
		t.Errorf("a header of %d bytes: %q, %v", mostHeader/2, status, err)
	}
}
