package live

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/crmbridge/crmbridge/deploy/check/boards"
	"github.com/crmbridge/crmbridge/deploy/check/rules"
)

const (
	// scale turns minutes into seconds.
	scale = 1.0 / 60
	// healthy is how long nothing goes wrong: an alert that fires by itself does within its "for"
	// and its windows, and the longest are an hour, and a job that waits for one.
	healthy = 80 * time.Second
	// window is that of the dashboards' queries, in which Prometheus reads each process ten times.
	window = 10 * time.Second
)

// Nothing fires while nothing is wrong, everything on the dashboards has something to show, and each
// alert fires under the fault that it is for, and is silent again when that is mended.
func TestAlertsAndDashboardsAgainstARunningFleet(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes minutes, in which hours pass for the alerts")
	}
	installed(t, "prometheus", "promtool", "redis-server")
	rendered, err := rules.Render(scale)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	for connection := range users {
		if err := w.connect(connection); err != nil {
			t.Fatal(err)
		}
	}
	m := startPrometheus(t, w.targets, rendered)
	script := w.script(m)
	for _, alert := range rules.Alerts() {
		if !slices.ContainsFunc(script, func(f *fault) bool { return slices.Contains(f.alerts, alert.Name) }) {
			t.Errorf("no fault makes %s fire", alert.Name)
		}
	}
	nothingIsWrong(t, w, m)
	whole := time.Now()
	promtool(t, "", "check", "rules", m.rules)
	for _, target := range w.targets {
		promtool(t, w.metrics(target), "check", "metrics")
	}
	faults := newSchedule(m, script)
	if err := faults.run(); err != nil {
		t.Error(err)
	}
	everyQueryFinds(t, "Debian's Prometheus", whole, faults.first, m.query)
	m.stop()
	current := newest(t, m.data)
	everyQueryFinds(t, "Prometheus's current engine", whole, faults.first, current)
	for name, expr := range expressions(t, rendered) {
		if err := held(current, expr, faults.fired[name]); err != nil {
			t.Errorf("Prometheus's current engine: %s: %v", name, err)
		}
	}
}

// held reports an expression that did not hold when its alert was seen to fire, nor in the seconds
// before, in one of which the other engine found that it did.
func held(query func(string, time.Time) ([]sample, error), expr string, fired time.Time) error {
	for before := range 4 {
		samples, err := query(expr, fired.Add(-time.Duration(before)*time.Second))
		if err != nil || len(samples) > 0 {
			return err
		}
	}
	return fmt.Errorf("%s does not hold at %s", expr, fired)
}

// expressions are those of a file of rules, by the name of the alert.
func expressions(t *testing.T, rules []byte) map[string]string {
	t.Helper()
	var read struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	if err := yaml.Unmarshal(rules, &read); err != nil {
		t.Fatal(err)
	}
	exprs := map[string]string{}
	for _, rule := range read.Groups[0].Rules {
		exprs[rule.Alert] = rule.Expr
	}
	return exprs
}

// nothingIsWrong has requesters ask everything, again and again; all of it works and no alert fires.
func nothingIsWrong(t *testing.T, w *world, m *monitor) {
	t.Helper()
	await(t, "Prometheus", func() error { // it learns of its targets only after some seconds
		if samples, err := m.query("up == 1", time.Time{}); err != nil || len(samples) != len(w.targets) {
			return fmt.Errorf("it reads %d processes (%v)", len(samples), err)
		}
		if firing := m.alerts("firing"); len(firing) > 0 {
			return fmt.Errorf("%v fire", firing)
		}
		return nil
	})
	t.Logf("nothing is wrong, for %s", healthy)
	begun := time.Now()
	for n := 0; time.Since(begun) < healthy; n++ {
		if err := w.everything(n); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
	}
	for _, one := range m.fired(time.Since(begun)) {
		t.Errorf("nothing is wrong, and it fires: %s", one)
	}
}

// everyQueryFinds asks each query of the dashboards at a time when all is well, and those that show
// when an alert fires at such a time.
func everyQueryFinds(t *testing.T, by string, whole, fired time.Time, query func(string, time.Time) ([]sample, error)) {
	t.Helper()
	queries, err := boards.Queries(window)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range queries {
		at := whole
		if q.Kind == boards.Annotation {
			at = fired
		}
		if samples, err := query(q.Expr, at); err != nil || len(samples) == 0 {
			t.Errorf("%s: %s, %s: %d samples are found by %s, %v", by, q.Dashboard, q.Panel, len(samples), q.Expr, err)
		}
	}
	t.Logf("%s: %d queries of the dashboards are asked", by, len(queries))
}

// promtool reads from its standard input and finds nothing to say against it.
func promtool(t *testing.T, text string, args ...string) {
	t.Helper()
	cmd := exec.Command("promtool", args...)
	cmd.Stdin = strings.NewReader(text)
	if said, err := cmd.CombinedOutput(); err != nil || args[1] == "metrics" && len(said) > 0 {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, said)
	}
}
