package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
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
	w := bridgetest.New(t, emulator.Options{Accounts: 3})
	settings := w.Settings(true)
	w.Bridge(settings, nil)
	w.Connect("acme")
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
}
