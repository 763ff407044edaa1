package main

import (
	"os"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
)

// TestMain runs the tests, or is the program where a test started it as a child.
func TestMain(m *testing.M) {
	if os.Getenv(beTheProgram) != "" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(bridgetest.Run(m))
}
