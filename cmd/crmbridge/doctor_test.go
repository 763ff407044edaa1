package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// examined runs doctor as a process with an environment of its own.
func examined(t *testing.T, env []string, args ...string) (found diagnosis, status int) {
	t.Helper()
	cmd := bridgetest.Program(t, env, append([]string{"doctor", "--json"}, args...)...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run() // its status is looked at
	if err := json.Unmarshal([]byte(stdout.String()), &found); err != nil {
		t.Fatalf("%v in %s%s", err, stdout.String(), stderr.String())
	}
	if stderr.Len() > 0 {
		t.Errorf("stderr: %s", stderr.String())
	}
	return found, cmd.ProcessState.ExitCode()
}

func TestDoctorOfAGoodSetUp(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 3})
	settings := w.Settings(true)
	w.Bridge(settings, nil)
	_, nc := w.Client()
	heard, err := nc.SubscribeSync("crm.>") // also what is published to find out whether it may be
	if err != nil {
		t.Fatal(err)
	}
	w.Connect("acme")
	for event := ""; event != "crm.events.connections.connected.acme"; { // what comes after it is the doctor's
		msg, err := heard.NextMsg(time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		event = msg.Subject
	}
	begun := time.Now()
	found, status := examined(t, bridgetest.Environment(settings), "acme")
	t.Logf("it took %s", time.Since(begun).Round(time.Millisecond))
	for _, f := range found.Checks {
		t.Logf("%+v", f)
		if f.Result != bridge.Passed {
			t.Errorf("%+v", f)
		}
	}
	if status != 0 || !found.OK {
		t.Errorf("status %d", status)
	}
	for {
		msg, err := heard.NextMsg(200 * time.Millisecond)
		if err != nil {
			break
		}
		if !strings.HasPrefix(msg.Subject, "crm.connections.") && // it asks about the connection,
			msg.Subject != messages.EventSubject(messages.EventConnected, "acme") { // which was made just now
			t.Errorf("a message to %s was delivered", msg.Subject)
		}
	}
}

// The user of deploy/nats.conf has the rights that serve needs and may ask for nothing; the
// operator who is named besides may.
func TestDoctorWithTheDeployedRights(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 3})
	port := bridgetest.Port(t)
	bridgetest.DeployedNATS(t, port)
	as := func(user string) string { return fmt.Sprintf("nats://%s:secret-%s@127.0.0.1:%d", user, user, port) }
	settings := w.Settings(true)
	settings.URL, settings.Tables = as("crmbridge"), bridge.AllTables()
	w.Bridge(settings, nil)
	env := bridgetest.Environment(settings)
	found, status := examined(t, env)
	for _, f := range found.Checks {
		if f.Result != bridge.Passed && (f.Check != "fleet" || f.Result != bridge.Skipped || !strings.Contains(f.Detail, "--ask-nats-url")) {
			t.Errorf("%+v", f)
		}
	}
	if status != 0 {
		t.Errorf("status %d", status)
	}
	env = append(env, "ASK_NATS_URL="+as("administrator"), "ASK_NATS_INBOX_PREFIX=_INBOX.administrators")
	found, status = examined(t, env, "nobody")
	if last := found.Checks[len(found.Checks)-1]; status != 1 || last.Check != "connection" || !strings.Contains(last.Detail, "connection_not_found") {
		t.Errorf("status %d: %+v", status, found.Checks)
	}
}
