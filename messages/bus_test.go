package messages_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/messages/messagestest"
)

// A bus is a NATS server in this process, with a responder's and a requester's
// connection to it.
type bus struct {
	t         *testing.T
	server    *server.Server
	responder *nats.Conn
	requester *nats.Conn
	client    *messages.Client
}

func newBus(t *testing.T) *bus {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, MaxPayload: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the NATS server does not start")
	}
	b := &bus{t: t, server: s, responder: connect(t, s), requester: connect(t, s)}
	b.client = messages.NewClient(b.requester)
	return b
}

func connect(t *testing.T, s *server.Server) *nats.Conn {
	t.Helper()
	return messagestest.Connect(t, s.ClientURL())
}

// answer makes the responder answer requests on subject.
func (b *bus) answer(subject string, with func(*nats.Msg)) {
	b.t.Helper()
	if _, err := b.responder.QueueSubscribe(subject, messages.QueueGroup, with); err != nil {
		b.t.Fatal(err)
	}
	if err := b.responder.Flush(); err != nil {
		b.t.Fatal(err)
	}
}

// reply publishes one message of an answer; headers are names and values.
func (b *bus) reply(to *nats.Msg, body string, headers ...string) {
	msg := nats.NewMsg(to.Reply)
	msg.Data = []byte(body)
	for i := 0; i < len(headers); i += 2 {
		msg.Header.Set(headers[i], headers[i+1])
	}
	if err := b.responder.PublishMsg(msg); err != nil {
		b.t.Error(err)
	}
}

// settled waits until the requester has as many subscriptions as wanted.
func (b *bus) settled(want int) {
	b.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for b.requester.NumSubscriptions() != want {
		if time.Now().After(deadline) {
			b.t.Fatalf("%d subscriptions, want %d", b.requester.NumSubscriptions(), want)
		}
		time.Sleep(time.Millisecond)
	}
}
