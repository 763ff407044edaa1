package e2e

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
	"github.com/crmbridge/crmbridge/messages"
)

// Redis is killed and comes back: meanwhile a connection in use is answered and
// others are unavailable; afterwards everything is as before, and no connection
// counts as broken.
func TestRedisGoesAwayAndComesBack(t *testing.T) {
	bridgetest.Long(t, "it waits for connections to be made again")
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 20})
	if w.Redis == nil {
		t.Skip("needs a redis-server that can be killed")
	}
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	if _, err := client.WhoAmI(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	w.Redis.Kill()
	// The token is in memory: nobody notices.
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
		// Redis stays away until this loop has ended, so that no answer waits for it.
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		if _, err := client.WhoAmI(ctx, "acme"); err != nil {
			t.Errorf("while Redis is away: %v", err)
		}
		cancel()
		// Another connection, which nobody used yet, must wait for Redis.
		ctx, cancel = context.WithTimeout(t.Context(), 3*time.Second)
		if _, err := client.WhoAmI(ctx, "other"); err == nil {
			t.Error("an unknown connection is answered")
		} else if fault, ok := errors.AsType[*messages.Error](err); !ok || fault.Code != messages.Unavailable &&
			fault.Code != messages.DeadlineExceeded || !fault.Retryable {
			t.Errorf("while Redis is away: %v", err)
		}
		cancel()
	}
	w.Redis.Start()
	bridgetest.Await(t, "answers from Redis after it came back", func() error {
		connection, err := client.Connection(t.Context(), "acme")
		if err == nil && connection.Status != messages.StatusActive {
			t.Fatalf("the connection: %+v", connection)
		}
		return err
	})
	if _, err := client.WhoAmI(t.Context(), "acme"); err != nil {
		t.Error(err)
	}
}

// NATS goes away and comes back: crmbridge takes requests again by itself.
func TestNATSGoesAwayAndComesBack(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 20})
	port := bridgetest.Port(t)
	start := func() *server.Server {
		return streamstest.Run(t, &server.Options{Host: "127.0.0.1", Port: port, NoLog: true, NoSigs: true})
	}
	first := start()
	w.NATSURL = w.Overheard(first.ClientURL())
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	first.Shutdown()
	first.WaitForShutdown()
	start()
	client, _ := w.Client()
	bridgetest.Await(t, "answers after NATS came back", func() error {
		_, err := client.WhoAmI(t.Context(), "acme")
		return err
	})
}

// serve waits for NATS and Redis that are not there yet, says so on /readyz, and
// still ends at once on SIGTERM.
func TestServeWaitsForItsServers(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 20})
	settings := w.Settings(true)
	settings.URL = "nats://127.0.0.1:1"
	p := bridgetest.NewProcess(t, settings)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	bridgetest.Await(t, "not being ready", func() error {
		err := p.Ready()
		if err == nil || err.Error() != "not ready: 503 Service Unavailable" {
			return fmt.Errorf("readyz: %w", err)
		}
		return nil
	})
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("%v; log: %s", err, p.Log)
		}
	case <-time.After(time.Minute):
		_ = p.Process.Kill() // the test has failed already
		t.Fatal("it does not end")
	}
}

// A process that is killed in the middle of its work loses nothing that another
// one would need: its queue group goes on, and its locks run out.
func TestKilledProcess(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "it kills a process in its work")
	w := bridgetest.New(t, emulator.Options{Accounts: 20, Latency: 50 * time.Millisecond})
	victim := bridgetest.Serve(t, w.Settings(true))
	w.Connect("acme")
	bridgetest.Serve(t, w.Settings(false))
	_, nc := w.Client()
	inbox, err := nc.SubscribeSync(nc.NewInbox())
	if err != nil {
		t.Fatal(err)
	}
	w.Emulator.Control().ExpireAccessTokens()
	for range 20 {
		msg := nats.NewMsg(messages.UsersWhoAmI.ScopedSubject("acme"))
		msg.Reply = inbox.Subject
		if err := nc.PublishMsg(msg); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// A request that was on its way to the victim is lost with it, so each try is
	// short; a lock that the victim held runs out after 10 s, and a try that waited
	// for it leaves the work behind for the next.
	client, _ := w.Client()
	bridgetest.Await(t, "the other process's answer", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := client.WhoAmI(ctx, "acme")
		return err
	})
}
