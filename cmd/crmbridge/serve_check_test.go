package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for name, mode := range map[string]os.FileMode{"open": 0o644, "closed": 0o640} {
		files[name] = filepath.Join(t.TempDir(), name)
		err := errors.Join(os.WriteFile(files[name], []byte("a-password-of-24-letters"), 0o600),
			os.Chmod(files[name], mode))
		if err != nil {
			t.Fatal(err)
		}
	}
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
		"a password that others may read": {append([]string{"CONSOLE_ADDR=127.0.0.1:0",
			"CONSOLE_PASSWORD_FILE=" + files["open"]}, good...), 0, []string{"the settings are good\n"},
			[]string{"warning: CONSOLE_PASSWORD_FILE: everybody who gets to "}},
		"a password that others may not read": {append([]string{"CONSOLE_ADDR=127.0.0.1:0",
			"CONSOLE_PASSWORD_FILE=" + files["closed"]}, good...), 0, []string{"the settings are good\n"}, nil},
		"a secret that is a pipe": {append([]string{"REDIS_URL_FILE=" + pipe}, good[:1]...), program.ExitUsage, nil,
			[]string{"REDIS_URL_FILE: " + pipe + " is a pipe that nobody writes to"}},
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
