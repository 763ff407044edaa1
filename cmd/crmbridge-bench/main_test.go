package main

import (
	"log/slog"
	"os"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
)

// TestMain runs the tests, or is the program where a test started it as a child.
func TestMain(m *testing.M) {
	if os.Getenv(beTheProgram) != "" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	bridge.QuietRedis(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}
