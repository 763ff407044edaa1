package main

import (
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
)

// chaos runs the short form and returns its exit status and what it printed.
func chaos(t *testing.T, args ...string) (status int, said string) {
	t.Helper()
	var stdout, stderr strings.Builder
	status = run(append([]string{"chaos", "--short"}, args...), &stdout, &stderr)
	t.Log(stdout.String())
	return status, stdout.String() + stderr.String()
}

// Jobs outlive killed, paused and cut off processes, killed NATS servers and a restarted
// Redis, with every row once.
func TestChaos(t *testing.T) {
	bridgetest.Long(t, "processes are killed for half a minute, and their jobs are missed after 15 s")
	for _, replicas := range []string{"1", "3"} {
		t.Run("R"+replicas, func(t *testing.T) {
			if status, said := chaos(t, "--replicas="+replicas); status != 0 {
				t.Errorf("status %d: %s", status, said)
			}
		})
	}
}

// Without the guard the same run is noticed to be wrong.
func TestChaosWithoutTheGuard(t *testing.T) {
	bridgetest.Long(t, "a page is held until its job was taken over")
	status, said := chaos(t, "--mutate="+mutateNoGuard)
	if status != 1 || !strings.Contains(said, "is on page") {
		t.Errorf("status %d: %s", status, said)
	}
}

// With ids on results three servers let a process go on whose job another one runs; without
// them the guard stops it, under the same disturbance.
func TestChaosWithIDsOnResults(t *testing.T) {
	bridgetest.Long(t, "processes are cut off from records for 25 s")
	for _, c := range []struct {
		args   []string
		status int
	}{{[]string{"--mutate=" + mutateMsgID}, 1}, {nil, 0}} {
		status, said := chaos(t, append(c.args, "--replicas=3", "--deaf=6s")...)
		if status != c.status || status == 1 && !strings.Contains(said, "is on page") {
			t.Errorf("%v: status %d: %s", c.args, status, said)
		}
	}
}
