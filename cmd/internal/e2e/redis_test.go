package e2e

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

// A Redis that answers and refuses makes a process not ready, at the start and later,
// and the words are true. It starts, or goes on, when Redis does what it is asked.
func TestRedisThatRefuses(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "each of five troubles is noticed by a probe that runs every two seconds")
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	admin := bridgetest.RedisAdministrator(t, w)
	change := func(commands string) {
		for command := range strings.SplitSeq(commands, "|") {
			bridgetest.RedisDo(t, admin, command)
		}
	}
	change("ACL SETUSER bridge on >right ~crmbridge:* &crmbridge:* +@all|REPLICAOF 127.0.0.1 1")
	settings := w.Settings(true)
	settings.RedisURL = strings.Replace(w.RedisURL, "redis://", "redis://bridge:right@", 1)
	config, err := settings.Config()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	log := &bridgetest.Buffer{}
	go func() { ended <- bridge.Serve(ctx, config, slog.New(slog.NewTextHandler(log, nil))) }()
	const replica = "Redis refuses writes: it is a replica"
	bridgetest.AwaitReadyz(t, settings, 503, "[-]redis failed: "+replica)
	for _, check := range []string{"subscriptions", "jetstream", "jobs", "redis"} { // before there is anything to look at
		awaitGauge(t, settings, check, 0)
	}
	if _, text, err := bridgetest.AdminPage(settings.AdminAddr, "/readyz"); err != nil || !strings.HasPrefix(text, "starting: "+replica) {
		t.Errorf("%v %s", err, text)
	}
	change("REPLICAOF NO ONE")
	bridgetest.AwaitReadyz(t, settings, 200, "[+]redis ok")
	for _, c := range []struct{ spoil, mend, says string }{
		{"REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", replica},
		{"CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", "its memory is full; raise maxmemory"},
		{"ACL SETUSER bridge -eval -evalsha", "ACL SETUSER bridge +@all", "refuses the command evalsha to this user; deploy/README.md lists"},
		{"ACL SETUSER bridge resetpass >other|CLIENT KILL USER bridge", "ACL SETUSER bridge resetpass >right", "refuses the user or password in REDIS_URL"},
	} {
		change(c.spoil)
		bridgetest.AwaitReadyz(t, settings, 503, "[-]redis failed: ")
		bridgetest.AwaitReadyz(t, settings, 503, c.says)
		awaitGauge(t, settings, "redis", 0)
		if status, text, err := bridgetest.AdminPage(settings.AdminAddr, "/readyz?exclude=redis&exclude=radis"); err != nil || status != 200 || text != "ok\n" {
			t.Errorf("%v %d %s", err, status, text)
		}
		change(c.mend)
		bridgetest.AwaitReadyz(t, settings, 200, "[+]redis ok")
		awaitGauge(t, settings, "redis", 1)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if strings.Contains(log.String(), "right@") {
		t.Error("the log holds the password")
	}
}
