package main

import (
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/cmd/internal/program"
	"github.com/crmbridge/crmbridge/tokens"
)

// The settings are read and nothing is connected to: nobody listens at these addresses.
func TestServeCheckReadsTheSettingsAndEnds(t *testing.T) {
	keyset, err := tokens.GenerateKeyset()
	if err != nil {
		t.Fatal(err)
	}
	good := []string{"NATS_URL=nats://127.0.0.1:1", "REDIS_URL=redis://127.0.0.1:1/0", "TOKEN_KEYSET=" + string(keyset),
		"ENTRA_CLIENT_ID=11111111-2222-3333-4444-555555555555", "ENTRA_CLIENT_SECRET=canary-secret"}
	for name, c := range map[string]struct {
		set            []string
		status         int
		stdout, stderr []string
	}{
		"good": {good, 0, []string{"the settings are good\n"}, nil},
		"two faults": {append([]string{"LOG_LEVEL=loud", "PUBLIC_URL=http://crm.example.com"}, good...), program.ExitUsage, nil,
			[]string{"LOG_LEVEL: must be one of", "PUBLIC_URL: must be https"}},
		"nothing is set": {nil, program.ExitUsage, nil, []string{"TOKEN_KEYSET: is missing", "ENTRA_CLIENT_ID: is missing",
			"ENTRA_CLIENT_SECRET: is missing"}},
		"mistyped": {append([]string{"REQUIRE_SCOPED_SUBJECT=canary-value"}, good...), 0, []string{"the settings are good\n"},
			[]string{"warning: REQUIRE_SCOPED_SUBJECT is set", "did you mean REQUIRE_SCOPED_SUBJECTS?"}},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := bridgetest.Program(t, c.set, "serve", "--check")
			var stdout, stderr strings.Builder
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			_ = cmd.Run() // its status is looked at
			if status := cmd.ProcessState.ExitCode(); status != c.status {
				t.Errorf("status %d, want %d", status, c.status)
			}
			if c.status != 0 && stdout.Len() > 0 || c.stderr == nil && stderr.Len() > 0 {
				t.Errorf("stdout %q, stderr %q", stdout.String(), stderr.String())
			}
			for _, want := range c.stdout {
				if stdout.String() != want {
					t.Errorf("stdout %q, want %q", stdout.String(), want)
				}
			}
			for _, want := range c.stderr {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("stderr lacks %q:\n%s", want, stderr.String())
				}
			}
			if strings.Contains(stdout.String()+stderr.String(), "canary") {
				t.Errorf("a value is printed: %s%s", stdout.String(), stderr.String())
			}
		})
	}
}
