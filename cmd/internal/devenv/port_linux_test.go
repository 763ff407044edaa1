package devenv_test

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/devenv"
)

// A reserved port is left to those who name it: they may listen on it, again and
// again, and nobody who leaves the choice to the kernel is given it.
func TestAReservedPortIsGivenToNobodyElse(t *testing.T) {
	port := 0
	release, err := devenv.Reserve(&port)
	if err != nil || port == 0 {
		t.Fatal(port, err)
	}
	switch err := chosen(port); {
	case errors.Is(err, syscall.ENOPROTOOPT):
		t.Log("not asked what the kernel chooses: it is older than Linux 6.3")
	case !errors.Is(err, syscall.EADDRINUSE):
		t.Errorf("the kernel gave a reserved port to somebody else: %v", err)
	}
	for range 2 {
		listener, err := net.Listen("tcp", devenv.Address(port))
		if err != nil {
			t.Fatalf("who named the port: %v", err)
		}
		if _, err := net.Listen("tcp", devenv.Address(port)); err == nil {
			t.Error("two listen on one port")
		}
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := release(); err != nil {
		t.Error(err)
	}
}

// chosen listens on a port that the kernel chooses where it can only choose this one;
// nil where it does.
func chosen(port int) error {
	const ipLocalPortRange = 51 // IP_LOCAL_PORT_RANGE of ip(7), since Linux 6.3: lowest, and highest << 16
	only := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var set error
		err := c.Control(func(fd uintptr) {
			set = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, ipLocalPortRange, port|port<<16)
		})
		return errors.Join(err, set)
	}}
	listener, err := only.Listen(context.Background(), "tcp", devenv.Address(0))
	if err != nil {
		return err
	}
	return listener.Close()
}

// A port that the caller chose is his.
func TestReserveLeavesAChosenPort(t *testing.T) {
	port := 4222
	release, err := devenv.Reserve(&port)
	if err != nil || port != 4222 {
		t.Fatal(port, err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
}
