package check

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/deploy/check/boards"
)

// Commands in the descriptions of panels are some that there are.
func TestDashboardsNameCommandsThatAreThere(t *testing.T) {
	seen, command := map[string]bool{}, regexp.MustCompile("`crmbridge ([a-z ]*[a-z])")
	for _, b := range boards.All() {
		for _, match := range command.FindAllStringSubmatch(file(t, boards.Folder+"/"+b.File), -1) {
			seen[match[1]] = true
		}
	}
	for command := range seen {
		help := output(t, crmbridge(t), append(strings.Fields(command), "--help")...)
		if !strings.HasPrefix(help, "Usage: crmbridge "+command) {
			t.Errorf("crmbridge %s: %s", command, help)
		}
	}
	if len(seen) < 5 {
		t.Errorf("only %d commands are named", len(seen))
	}
}

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
