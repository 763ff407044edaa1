package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

// /readyz answers as Kubernetes' own does, and healthcheck asks it.
func TestReadyzAndHealthcheck(t *testing.T) {
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	settings := w.Settings(true)
	stop := bridgetest.Serving(t, settings)
	const all = "[+]nats ok\n[+]subscriptions ok\n[+]jetstream ok\n[+]streams ok\n[+]jobs ok\n[+]redis ok\n[+]draining ok\n"
	bridgetest.Await(t, "JetStream", func() error {
		if _, text, err := bridgetest.AdminPage(settings.AdminAddr, "/readyz?verbose"); err != nil || text != all+"readyz check passed\n" {
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
		if status, text, err := bridgetest.AdminPage(settings.AdminAddr, "/readyz"+c.query); err != nil || status != 200 || text != c.want {
			t.Errorf("%s: %d %v %q, want %q", c.query, status, err, text, c.want)
		}
	}
	if status, said := health(); status != 0 || said != all+"readyz check passed\n" {
		t.Errorf("healthcheck: %d %s", status, said)
	}
	if status, said := health("--json"); status != 0 || !strings.HasPrefix(said, "{\n  \"ok\": true,\n  \"lines\": [\n    \"[+]nats ok\",") {
		t.Errorf("healthcheck --json: %d %s", status, said)
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
	bridgetest.AwaitReadyz(t, settings, 503, "[-]nats failed: not connected to NATS at nats://127.0.0.1:")
	if status, said := health(); status != 1 || !strings.Contains(said, "[-]nats failed: ") || !strings.Contains(said, "readyz check failed") {
		t.Errorf("healthcheck without NATS: %d %s", status, said)
	}
	if status, said := health("--json"); status != 1 || !strings.HasPrefix(said, "{\n  \"ok\": false,") {
		t.Errorf("healthcheck --json without NATS: %d %s", status, said)
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
