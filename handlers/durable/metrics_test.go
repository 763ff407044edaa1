package durable

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
)

// claimsOf is how many claims of a lane came out so.
func claimsOf(t testing.TB, l *testLane, verdict verdictOfClaim) float64 {
	t.Helper()
	return testutil.ToFloat64(l.metrics.claims.WithLabelValues(string(verdict)))
}

// Every process exports the same of what waits, and nothing names a connection.
func TestMetrics(t *testing.T) {
	s := streamstest.Server(t, nil)
	_, js := streamstest.Connect(t, s)
	registry := prometheus.NewRegistry()
	release := make(chan struct{})
	l := startLane(t, s, 1, func(l *Lane, ctx context.Context, c claimed, turn turnFunc) outcome {
		<-release
		return finish(l, c)
	}, func(l *Lane) { l.board.perUser = 40; l.metrics = newMetrics(registry, l) })
	publishJobs(t, js, search("secret-a", 51)...)
	await(t, "one is open", func() bool { return claimsOf(t, l, claimMade) == 1 })
	publishJobs(t, js, search("secret-b", 3)...)
	await(t, "all are known", func() bool { return l.board.count() == 54 })
	if err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP crmbridge_jobs_connections Connections with jobs that wait. Every process exports the same: use max(), not sum().
# TYPE crmbridge_jobs_connections gauge
crmbridge_jobs_connections 2
# HELP crmbridge_jobs_pending Jobs that wait. Every process exports the same: use max(), not sum().
# TYPE crmbridge_jobs_pending gauge
crmbridge_jobs_pending 53
# HELP crmbridge_jobs_takeovers_total Jobs that were taken over from a process that did not keep its claim alive.
# TYPE crmbridge_jobs_takeovers_total counter
crmbridge_jobs_takeovers_total 0
`), "crmbridge_jobs_connections", "crmbridge_jobs_pending", "crmbridge_jobs_takeovers_total"); err != nil {
		t.Error(err)
	}
	d := l.board.depth(l.now())
	if d.runnable != 43 || d.age <= 0 || d.age > time.Minute {
		t.Errorf("%+v", d)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if strings.Contains(family.String(), "secret") {
			t.Errorf("a connection is named: %s", family)
		}
	}
	close(release)
	await(t, "nothing waits", func() bool { return l.board.count() == 0 })
}
