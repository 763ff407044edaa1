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
	t.Parallel()
	bridgetest.Long(t, "processes are killed for half a minute, and their jobs are missed after 15 s")
	for _, replicas := range []string{"1", "3"} {
		t.Run("R"+replicas, func(t *testing.T) {
			t.Parallel()
			if status, said := chaos(t, "--replicas="+replicas); status != 0 {
				t.Errorf("status %d: %s", status, said)
			}
		})
	}
}

// broken runs the short form with one disturbance, once as it is and once with the lane broken
// on the wire: only then rows come twice.
func broken(t *testing.T, mutation string, args ...string) {
	t.Helper()
	if bridgetest.Raced {
		t.Skip("TestChaos runs the same code with the race detector")
	}
	t.Run("whole", func(t *testing.T) {
		t.Parallel()
		if status, said := chaos(t, args...); status != 0 {
			t.Errorf("status %d: %s", status, said)
		}
	})
	t.Run(mutation, func(t *testing.T) {
		t.Parallel()
		if status, said := chaos(t, append(args, "--mutate="+mutation)...); status != 1 || !strings.Contains(said, "is on page") {
			t.Errorf("status %d: %s", status, said)
		}
	})
}

// A page that was on its way for longer than the lease is refused by the guard, and by
// nothing else.
func TestChaosWithoutTheGuard(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "a page is held until its job was taken over")
	broken(t, mutateNoGuard, "--hold=4s")
}

// With ids on results three servers let a process go on whose job another one runs.
func TestChaosWithIDsOnResults(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "processes are cut off from records for 25 s")
	broken(t, mutateMsgID, "--replicas=3", "--deaf=6s")
}
