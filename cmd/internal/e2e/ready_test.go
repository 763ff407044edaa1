package e2e

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// awaitGauge waits for what crmbridge_ready says of a check.
func awaitGauge(t testing.TB, settings bridge.Settings, check string, value int) {
	t.Helper()
	sample := fmt.Sprintf("\ncrmbridge_ready{check=%q} %d\n", check, value)
	bridgetest.Await(t, "the gauge of a check", func() error {
		if page := metricsOf(t, settings); !strings.Contains(page, sample) {
			return fmt.Errorf("there is no %s in %s", strings.TrimSpace(sample), page)
		}
		return nil
	})
}

// While work in hand is finished, /readyz says so, and /healthz that the process runs.
func TestReadyzWhileDraining(t *testing.T) {
	bridgetest.Long(t, "it waits for a grace to end")
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	settings := w.Settings(true)
	stop := bridgetest.Serving(t, settings)
	w.Connect("acme")
	client, _ := w.Client()
	w.Emulator.Control().Fail(emulator.Fault{Delay: 2 * time.Second})
	asked := make(chan error, 1)
	go func() { _, err := client.WhoAmI(context.Background(), "acme"); asked <- err }()
	bridgetest.Await(t, "a request in flight", func() error {
		if _, text, err := bridgetest.AdminPage(settings.AdminAddr, "/metrics"); err != nil || !strings.Contains(text, "crmbridge_requests_in_flight 1") {
			return fmt.Errorf("%w: none", err)
		}
		return nil
	})
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	bridgetest.AwaitReadyz(t, settings, 503, "[-]draining failed: shutting down")
	awaitGauge(t, settings, "draining", 0)
	if status, text, err := bridgetest.AdminPage(settings.AdminAddr, "/readyz"); err != nil || status != 503 || text != "shutting down\n" {
		t.Errorf("%v %d %s", err, status, text)
	}
	if status, _, err := bridgetest.AdminPage(settings.AdminAddr, "/healthz"); err != nil || status != 200 {
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
	bridgetest.Long(t, "it waits until JetStream is given up")
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	settings := w.Settings(true)
	if err := w.NATS.DisableJetStream(); err != nil {
		t.Fatal(err)
	}
	w.Bridge(settings, nil)
	bridgetest.AwaitReadyz(t, settings, 200, "[+]jetstream ok: events are not published until JetStream is there")
	bridgetest.AwaitReadyz(t, settings, 200, "[+]jobs ok: JetStream does not answer")
	bridgetest.AwaitReadyz(t, settings, 200, "[+]streams ok: JetStream does not answer: nats account info")
	awaitGauge(t, settings, "jobs", 0)
	awaitGauge(t, settings, "streams", 0)
	awaitGauge(t, settings, "jetstream", 1)
	w.Connect("acme") // there is nothing to be cleared before
	_, nc := w.Client()
	for _, op := range []string{"get", "cancel", "delete", "retry"} {
		reply, err := nc.Request("crm.jobs."+op+".request.acme", []byte(`{"job_id":"j"}`), 10*time.Second)
		if err != nil || reply.Header.Get(messages.HeaderErrorCode) != "not_supported" ||
			!strings.Contains(string(reply.Data), "this crmbridge runs no jobs: JetStream does not answer") {
			t.Errorf("jobs.%s: %v, %s", op, err, reply.Data)
		}
	}
}

// What somebody does to the streams of jobs while a process runs is on /readyz, with what mends
// it, and in the gauge. Requests are answered, and so is /readyz.
func TestReadyzNamesTheStreams(t *testing.T) {
	bridgetest.Long(t, "the streams are looked at once a second at the most")
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	settings := w.Settings(true)
	w.Bridge(settings, nil)
	_, nc := w.Client()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	bridgetest.AwaitReadyz(t, settings, 200, "[+]streams ok\n")
	awaitGauge(t, settings, "streams", 1)
	stream, err := js.Stream(t.Context(), messages.ResultsStream)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.Discard = jetstream.DiscardOld
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	bridgetest.AwaitReadyz(t, settings, 200, "[+]streams ok: stream CRM_RESULTS has discard DiscardOld and needs DiscardNew: nats stream edit STREAM")
	awaitGauge(t, settings, "streams", 0)
	awaitGauge(t, settings, "jobs", 1)
	if status, text, err := bridgetest.AdminPage(settings.AdminAddr, "/readyz?verbose&exclude=streams"); err != nil || status != 200 ||
		!strings.Contains(text, "[+]streams excluded: ok\n") {
		t.Errorf("%v %d %s", err, status, text)
	}
	if err := js.DeleteStream(t.Context(), messages.ResultsStream); err != nil {
		t.Fatal(err)
	}
	bridgetest.AwaitReadyz(t, settings, 200, "[+]streams ok: stream CRM_RESULTS was deleted and made anew before ")
	awaitGauge(t, settings, "streams", 1)
	w.Connect("acme")
	client, _ := w.Client()
	if _, err := client.WhoAmI(t.Context(), "acme"); err != nil {
		t.Error(err)
	}
}

// A JOB_LIFETIME for which the streams do not keep results is refused, and the setting named.
func TestServeRefusesALifetimeThatTheStreamsDoNotKeep(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	settings := w.Settings(true)
	settings.JobLifetime = "25h"
	config, err := settings.Config()
	if err != nil {
		t.Fatal(err)
	}
	b, err := bridge.Start(t.Context(), config, slog.New(slog.DiscardHandler))
	if !errors.Is(err, bridge.ErrConfiguration) || !strings.Contains(err.Error(), "JOB_LIFETIME is too long") ||
		!strings.Contains(err.Error(), "CRM_RESULTS") {
		t.Errorf("%v, %v", b, err)
	}
}

// With the shipped nats.conf a process that stands still gets no more requests after
// seconds, and none that it got before ends in more than its own deadline.
func TestFrozenProcessLosesItsShare(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "NATS takes seconds to give a frozen process up")
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	port := bridgetest.Port(t)
	bridgetest.DeployedNATS(t, port)
	as := func(user string) string { return fmt.Sprintf("nats://%s:secret-%s@127.0.0.1:%d", user, user, port) }
	settings, second := w.Settings(true), w.Settings(false)
	settings.URL, second.URL = as("crmbridge"), as("crmbridge")
	bridgetest.Serve(t, settings)
	frozen := bridgetest.Serve(t, second)
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
	bridgetest.Await(t, "the process to be ready again", frozen.Ready)
}
