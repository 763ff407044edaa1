package check

import (
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/deploy/check/boards"
)

// dashboards are the expressions of the dashboards, but for those about alerts, which are Prometheus's
// own series.
func dashboards(t *testing.T) (all []string) {
	t.Helper()
	found, err := boards.Queries(5 * time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range found {
		if !strings.Contains(q.Expr, "ALERTS{") {
			all = append(all, q.Expr)
		}
	}
	if len(all) < 100 {
		t.Fatalf("the dashboards ask %d questions", len(all))
	}
	return all
}
