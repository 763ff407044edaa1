package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
	"github.com/crmbridge/crmbridge/messages"
)

// statusOf runs the command and reads what it prints.
func statusOf(t *testing.T, args ...string) (found state, status int, stderr string) {
	t.Helper()
	var out, errors strings.Builder
	status = run(append([]string{"status", "--json"}, args...), &out, &errors)
	if status == 0 {
		if err := json.Unmarshal([]byte(out.String()), &found); err != nil {
			t.Fatalf("%v in %s", err, out.String())
		}
	}
	return found, status, errors.String()
}

// Two processes, a connection that works, one that nobody has completed, a blocked user and
// a job that waits for it.
func TestStatus(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 3})
	w.Bridge(w.Settings(true), nil)
	w.Bridge(w.Settings(false), nil)
	w.Connect("acme")
	client, nc := w.Client()
	if _, err := client.Authorize(t.Context(), messages.AuthorizeRequest{Target: messages.Target{Connection: "globex"},
		EnvironmentURL: w.EmulatorURL}); err != nil {
		t.Fatal(err)
	}
	w.Emulator.Control().Fail(emulator.Fault{Kind: emulator.KindThrottle, RetryAfter: 300, Times: 1})
	if _, err := client.WhoAmI(t.Context(), "acme"); err == nil {
		t.Fatal("the user is not throttled")
	}
	if err := nc.Publish(messages.UsersWhoAmI.JobSubject("acme", "one"), []byte("{}")); err != nil {
		t.Fatal(err)
	}
	flag := "--nats-url=" + w.NATSURL
	bridgetest.Await(t, "the status of all", func() error {
		found, status, stderr := statusOf(t, flag)
		requests, errors := 0, 0
		for _, p := range found.Processes {
			requests, errors = requests+p.Requests, errors+p.Errors
			if p.Version == "" || p.Started.IsZero() || p.InFlight < 0 {
				return fmt.Errorf("%+v", p)
			}
		}
		if status != 0 || len(found.Processes) != 2 || requests < 4 || errors < 1 || len(found.Unknown) > 0 ||
			found.Connections["active"] != 1 || found.Connections["pending"] != 1 || found.Jobs.Queued != 1 || found.Jobs.Oldest == nil ||
			len(found.Blocked) != 1 || found.Blocked[0].By != messages.BlockedByRequests || found.Blocked[0].Connections[0] != "acme" {
			return fmt.Errorf("status %d: %+v %s", status, found, stderr)
		}
		return nil
	})
	if found, status, stderr := statusOf(t, "acme", flag); status != 0 || found.Limits == nil || found.Limits.BlockedUntil == nil ||
		len(found.Blocked) != 1 || found.Connections["active"] != 1 || found.Connections["pending"] != 0 {
		t.Errorf("status %d: %+v %s", status, found, stderr)
	}
	if _, status, stderr := statusOf(t, "nobody", flag); status != 1 || !strings.Contains(stderr, "connection_not_found") {
		t.Errorf("status %d: %s", status, stderr)
	}
	var stdout, stderr strings.Builder
	if status := run([]string{"status", "acme", flag}, &stdout, &stderr); status != 0 {
		t.Errorf("status %d: %s", status, stderr.String())
	}
	for _, want := range []string{"up for", "0.1.0", "1 active", "blocked users", "requests", "1 waiting", "acme calls today"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("%q is missing in\n%s", want, stdout.String())
		}
	}
}

// An operator who may ask for processes and limits alone is shown those, and told the rest.
func TestStatusOfWhoMayAskForAPart(t *testing.T) {
	t.Parallel()
	nats := streamstest.Server(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "crmbridge", Password: "secret"},
			{Username: "operator", Password: "secret", Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Allow: []string{"$SRV.>", "crm.connections.limits.request.*"}},
				Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.operator.>"}}}}}
	})
	as := func(user string) string {
		return strings.Replace(nats.ClientURL(), "://", "://"+user+":secret@", 1)
	}
	w := bridgetest.New(t, emulator.Options{Accounts: 3})
	w.NATSURL = as("crmbridge")
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	flags := []string{"--nats-url=" + as("operator"), "--nats-inbox-prefix=_INBOX.operator"}
	found, status, stderr := statusOf(t, append(flags, "acme")...)
	if status != 0 || len(found.Processes) != 1 || found.Limits == nil || found.Limits.Limit != 40 || len(found.Unknown) != 2 {
		t.Errorf("status %d: %+v %s", status, found, stderr)
	}
	if found, status, _ := statusOf(t, flags...); status != 0 || len(found.Processes) != 1 || len(found.Unknown) != 2 {
		t.Errorf("status %d: %+v", status, found)
	}
	// Where nobody answers that is said at once.
	w2 := streamstest.Server(t, nil)
	if _, status, stderr := statusOf(t, "--nats-url="+w2.ClientURL()); status != 1 || !strings.Contains(stderr, "unavailable") {
		t.Errorf("status %d: %s", status, stderr)
	}
}

func TestStatusHasBounds(t *testing.T) {
	t.Parallel()
	for _, every := range []string{"1ms", "2h", "-1s"} {
		var stdout, stderr strings.Builder
		if status := run([]string{"status", "--watch", "--every=" + every}, &stdout, &stderr); status != 2 {
			t.Errorf("--every %s: status %d", every, status)
		}
	}
}
