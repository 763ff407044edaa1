package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// served is a crmbridge that runs until it is stopped.
func served(t *testing.T, settings bridge.Settings) (stop func() error) {
	t.Helper()
	config, err := settings.Config()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- bridge.Serve(ctx, config, slog.New(slog.DiscardHandler)) }()
	stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { _ = stop() }) // the test has looked at it, or failed
	saysReady(t, settings, 200, "[+]draining ok")
	return stop
}

// /readyz answers as Kubernetes' own does, and healthcheck asks it.
func TestReadyzAndHealthcheck(t *testing.T) {
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	settings := w.Settings(true)
	stop := served(t, settings)
	const all = "[+]nats ok\n[+]subscriptions ok\n[+]jetstream ok\n[+]redis ok\n[+]draining ok\n"
	bridgetest.Await(t, "JetStream", func() error {
		if _, text, err := page(settings.AdminAddr, "/readyz?verbose"); err != nil || text != all+"readyz check passed\n" {
			return fmt.Errorf("%w: %s", err, text)
		}
		return nil
	})
	port := settings.AdminAddr[strings.LastIndexByte(settings.AdminAddr, ':'):]
	health := func(args ...string) (status int, said string) {
		var stdout, stderr strings.Builder
		status = run(append([]string{"healthcheck", "--admin-addr=" + port}, args...), &stdout, &stderr)
		return status, stdout.String() + stderr.String()
	}
	for _, c := range []struct{ query, want string }{
		{"", "ok\n"},
		{"?exclude=redis", "ok\n"},
		{"?exclude=nothing", "ok\n"},
		{"?verbose&exclude=redis&exclude=nats", strings.NewReplacer("nats ok", "nats excluded: ok", "redis ok", "redis excluded: ok").Replace(all) + "readyz check passed\n"},
		{"?verbose&exclude=x%0Ay", all + "warn: some health checks cannot be excluded: no matches for \"x\\ny\"\nreadyz check passed\n"},
	} {
		if status, text, err := page(settings.AdminAddr, "/readyz"+c.query); err != nil || status != 200 || text != c.want {
			t.Errorf("%s: %d %v %q, want %q", c.query, status, err, text, c.want)
		}
	}
	if status, said := health(); status != 0 || said != all+"readyz check passed\n" {
		t.Errorf("healthcheck: %d %s", status, said)
	}
	if status, said := health("--live"); status != 0 || said != "ok\n" {
		t.Errorf("healthcheck --live: %d %s", status, said)
	}
	for _, args := range [][]string{{"healthcheck", "--admin-addr=nowhere"}, {"healthcheck", "--timeout=0s"}} {
		var stdout, stderr strings.Builder
		if status := run(args, &stdout, &stderr); status != 2 {
			t.Errorf("%v: %d %s", args, status, stderr.String())
		}
	}
	w.NATS.Shutdown()
	w.NATS.WaitForShutdown()
	saysReady(t, settings, 503, "[-]nats failed: not connected to NATS at nats://127.0.0.1:")
	if status, said := health(); status != 1 || !strings.Contains(said, "[-]nats failed: ") || !strings.Contains(said, "readyz check failed") {
		t.Errorf("healthcheck without NATS: %d %s", status, said)
	}
	if status, said := health("--exclude=nats", "--exclude=subscriptions"); status != 0 {
		t.Errorf("healthcheck --exclude: %d %s", status, said)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if status, said := health("--live"); status != 1 || !strings.Contains(said, "no crmbridge answers") {
		t.Errorf("healthcheck of nobody: %d %s", status, said)
	}
}

// While work in hand is finished, /readyz says so, and /healthz that the process runs.
func TestReadyzWhileDraining(t *testing.T) {
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	settings := w.Settings(true)
	stop := served(t, settings)
	w.Connect("acme")
	client, _ := w.Client()
	w.Emulator.Control().Fail(emulator.Fault{Delay: 2 * time.Second})
	asked := make(chan error, 1)
	go func() { _, err := client.WhoAmI(context.Background(), "acme"); asked <- err }()
	bridgetest.Await(t, "a request in flight", func() error {
		if _, text, err := page(settings.AdminAddr, "/metrics"); err != nil || !strings.Contains(text, "crmbridge_requests_in_flight 1") {
			return fmt.Errorf("%w: none", err)
		}
		return nil
	})
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	saysReady(t, settings, 503, "[-]draining failed: shutting down")
	if status, text, err := page(settings.AdminAddr, "/readyz"); err != nil || status != 503 || text != "shutting down\n" {
		t.Errorf("%v %d %s", err, status, text)
	}
	if status, _, err := page(settings.AdminAddr, "/healthz"); err != nil || status != 200 {
		t.Errorf("healthz: %v %d", err, status)
	}
	if err := <-asked; err != nil {
		t.Error(err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// Without JetStream requests work, and /readyz?verbose says what does not.
func TestReadyzWithoutJetStream(t *testing.T) {
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	settings := w.Settings(true)
	if err := w.NATS.DisableJetStream(); err != nil {
		t.Fatal(err)
	}
	w.Bridge(settings, nil)
	saysReady(t, settings, 200, "[+]jetstream ok: events are not published until JetStream is there")
}

// With the shipped nats.conf a process that stands still gets no more requests after
// seconds, and none that it got before ends in more than its own deadline.
func TestFrozenProcessLosesItsShare(t *testing.T) {
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	port := bridgetest.Port(t)
	deployed(t, port)
	as := func(user string) string { return fmt.Sprintf("nats://%s:secret-%s@127.0.0.1:%d", user, user, port) }
	settings, second := w.Settings(true), w.Settings(false)
	settings.URL, second.URL = as("crmbridge"), as("crmbridge")
	serve(t, settings)
	frozen := serve(t, second)
	nc, err := nats.Connect(as("administrator"), nats.CustomInboxPrefix("_INBOX.administrators"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	// An answer of any kind shows who got the request.
	ask := func() error {
		_, err := nc.Request(messages.ConnectionsList.Subject(), nil, 500*time.Millisecond)
		return err
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	if err := frozen.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	lost, inRow := 0, 0
	for inRow < 40 { // by chance alone once in 10¹² times
		if err := ask(); err == nil {
			inRow++
			continue
		}
		lost, inRow = lost+1, 0
		if time.Since(begun) > time.Minute {
			t.Fatalf("after a minute requests still get lost: %d did", lost)
		}
	}
	t.Logf("%d requests were lost in %s", lost, time.Since(begun).Round(time.Millisecond))
	if lost == 0 {
		t.Error("none was lost: the process did not stand still, and the test shows nothing")
	}
	if err := frozen.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	bridgetest.Await(t, "the process to be ready again", frozen.ready)
}
