// Package streamstest gives tests a NATS server of their own.
package streamstest

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Server starts a NATS server with JetStream that ends with the test; change, where it is not
// nil, changes its options before.
func Server(t testing.TB, change func(*server.Options)) *server.Server {
	t.Helper()
	options := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true,
		JetStreamMaxStore: 16 << 30, StoreDir: t.TempDir(), NoLog: true, NoSigs: true}
	if change != nil {
		change(options)
	}
	return Run(t, options)
}

// Run starts a NATS server with these options that ends with the test.
func Run(t testing.TB, options *server.Options) *server.Server {
	t.Helper()
	s, err := server.NewServer(options)
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

// Connect connects to a server until the test ends.
func Connect(t testing.TB, s *server.Server, options ...nats.Option) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute)) // tests beside it may take the machine
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}
