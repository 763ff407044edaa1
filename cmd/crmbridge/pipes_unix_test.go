//go:build unix

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/program"
	"github.com/crmbridge/crmbridge/messages"
)

// A pipe in the place of a file that a command keeps is an error, and no wait.
func TestPipesAreNotWaitedFor(t *testing.T) {
	folder := t.TempDir()
	pipe := filepath.Join(folder, "a.csv.job")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readCursor(pipe, messages.Accounts); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("--cursor-file: %v", err)
	}
	if _, err := openPlace(pipe, eventFilter{}); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("--state: %v", err)
	}
	_, err := openExport(filepath.Join(folder, "a.csv"), exportRequest{Table: "accounts"})
	if err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("--out: %v", err)
	}
	_, err = openExport(pipe, exportRequest{Table: "accounts"})
	if err == nil || !strings.Contains(err.Error(), "is no file") {
		t.Errorf("--out is a pipe: %v", err)
	}
	for _, flag := range []string{"--nats-url-file", "--nats-creds", "--nats-tls-ca"} {
		var out, diag strings.Builder
		if status := run([]string{"status", flag, pipe}, &out, &diag); status != program.ExitUsage ||
			!strings.Contains(diag.String(), pipe+" is ") {
			t.Errorf("%s: status %d, %s", flag, status, diag.String())
		}
	}
}

// Contexts of the nats CLI are files, and what they name.
func TestPipesAreNoContexts(t *testing.T) {
	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	contexts := filepath.Join(home, "nats", "context")
	err := errors.Join(os.MkdirAll(contexts, 0o700), syscall.Mkfifo(filepath.Join(contexts, "pipe.json"), 0o600),
		syscall.Mkfifo(filepath.Join(home, "creds"), 0o600),
		os.WriteFile(filepath.Join(contexts, "creds.json"), []byte(`{"creds":"`+filepath.Join(home, "creds")+`"}`), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"--context=pipe"}, {"--context=creds"},
		{"--context=creds", "--nats-url=nats://127.0.0.1:1"}} {
		var out, diag strings.Builder
		status := run(append([]string{"status"}, args...), &out, &diag)
		if status != program.ExitUsage || !strings.Contains(diag.String(), "no regular file") {
			t.Errorf("%v: status %d, %s", args, status, diag.String())
		}
	}
}
