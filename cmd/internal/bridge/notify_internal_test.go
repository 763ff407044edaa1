package bridge

import (
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// The service manager hears when the process is ready, that it is alive for as long as it
// runs, and that it ends.
func TestTheServiceManagerIsTold(t *testing.T) {
	socket := listenAsManager(t)
	t.Setenv("WATCHDOG_USEC", strconv.Itoa(20_000))
	m := newManager(slog.New(slog.DiscardHandler))
	m.ready()
	heard := []string{hear(t, socket), hear(t, socket)}
	m.stopping()
	for heard[len(heard)-1] != "STOPPING=1" {
		heard = append(heard, hear(t, socket))
	}
	m.close()
	if heard[0] != "READY=1" {
		t.Errorf("first %s", heard[0])
	}
	for _, said := range heard[1 : len(heard)-1] {
		if said != "WATCHDOG=1" {
			t.Errorf("meanwhile %s", said)
		}
	}
}

// Without WatchdogSec there is no watchdog, and without a manager nothing is said.
func TestTheServiceManagerIsToldNoMoreThanItAsksFor(t *testing.T) {
	socket := listenAsManager(t)
	m := newManager(slog.New(slog.DiscardHandler))
	m.ready()
	if m.done != nil {
		t.Error("a watchdog runs that nobody asked for")
	}
	m.stopping()
	m.close()
	if first, second := hear(t, socket), hear(t, socket); first != "READY=1" || second != "STOPPING=1" {
		t.Errorf("%s, %s", first, second)
	}
	t.Setenv("NOTIFY_SOCKET", "")
	alone := newManager(slog.New(slog.DiscardHandler))
	alone.ready()
	alone.stopping()
	alone.close()
}

func listenAsManager(t *testing.T) *net.UnixConn {
	t.Helper()
	name := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	t.Setenv("WATCHDOG_USEC", "")
	t.Setenv("WATCHDOG_PID", "")
	return socket
}

func hear(t *testing.T, socket *net.UnixConn) string {
	t.Helper()
	if err := socket.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 100)
	n, err := socket.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(text[:n])
}
