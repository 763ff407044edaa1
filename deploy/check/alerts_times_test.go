package check

import (
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/crmbridge/crmbridge/deploy/check/rules"
)

const timesFile = "deploy/observe/alerts_test.yaml"

// every is how far samples and evaluations lie apart, as in deploy/observe/prometheus.yml.
const every = 15 * time.Second

// A unit is one of promtool's tests of rules.
type unit struct {
	Name   string       `json:"name"`
	Every  string       `json:"interval"`
	Series []unitSeries `json:"input_series"`
	Alerts []unitAlert  `json:"alert_rule_test,omitempty"`
	Exprs  []unitExpr   `json:"promql_expr_test,omitempty"`
}

type unitSeries struct {
	Series string `json:"series"`
	Values string `json:"values"`
}

type unitAlert struct {
	At     string     `json:"eval_time"`
	Name   string     `json:"alertname"`
	Alerts []expected `json:"exp_alerts"`
}

type expected struct {
	Labels      map[string]string `json:"exp_labels"`
	Annotations map[string]string `json:"exp_annotations"`
}

type unitExpr struct {
	Expr    string       `json:"expr"`
	At      string       `json:"eval_time"`
	Samples []unitSample `json:"exp_samples"`
}

type unitSample struct {
	Labels string  `json:"labels"`
	Value  float64 `json:"value"`
}

// fired are the alerts that fire, or have fired.
const fired = `count by (alertname) (count_over_time(ALERTS{alertstate="firing"}[4h]))`

func seriesOf(all samples) (list []unitSeries) {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, unitSeries{name, all[name]})
	}
	return list
}

// unitOf says that an alert fires when its expression has held for as long as it must, and not
// 15 s sooner, and that no other alert fires for the same samples until then.
func (f fault) unitOf(a rules.Alert) unit {
	labels := maps.Clone(f.labels)
	if labels == nil { // the whole fleet's
		labels = map[string]string{"job": "crmbridge"}
	}
	labels["severity"] = string(a.Severity)
	says := map[string]string{"summary": f.summary, "runbook_url": a.RunbookURL()}
	fires := f.onset + a.For
	all := maps.Clone(f.series)
	if a.Name != "CrmbridgeDown" {
		all[of("up")] = "1x600"
	}
	u := unit{Name: a.Name, Every: every.String(), Series: seriesOf(all), Alerts: []unitAlert{
		{(fires - every).String(), a.Name, []expected{}},
		{fires.String(), a.Name, []expected{{labels, says}}},
	}}
	u.Exprs = []unitExpr{{fired, fires.String(), []unitSample{{`{alertname="` + a.Name + `"}`, 1}}}}
	if f.over > 0 {
		u.Alerts = append(u.Alerts, unitAlert{f.over.String(), a.Name, []expected{}})
	}
	return u
}

// unitTests are the tests of the rules with their true times, for promtool.
func unitTests(t *testing.T) []byte {
	t.Helper()
	var tests struct {
		RuleFiles []string `json:"rule_files"`
		Every     string   `json:"evaluation_interval"`
		Tests     []unit   `json:"tests"`
	}
	tests.RuleFiles, tests.Every = []string{filepath.Base(rulesFile)}, every.String()
	for _, a := range rules.Alerts() {
		of := 0
		for _, f := range faultsOfAlerts() {
			if f.alert == a.Name {
				of++
				tests.Tests = append(tests.Tests, f.unitOf(a))
			}
		}
		if of == 0 {
			t.Errorf("no fault makes %s fire", a.Name)
		}
	}
	tests.Tests = append(tests.Tests, unit{Name: "a fleet that is well", Every: every.String(), Series: seriesOf(calm()),
		Exprs: []unitExpr{{fired, "3h", []unitSample{}}}},
		unit{Name: "a fleet without JetStream", Every: every.String(), Series: seriesOf(withoutJetStream()),
			Exprs: []unitExpr{{fired, "3h", []unitSample{}}}})
	text, err := yaml.Marshal(tests)
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte("# promtool test rules "+timesFile+"\n# Made from the table of faults in deploy/check by "+
		"\"go generate ./...\" there.\n"), text...)
}

// A fleet that is well has every metric that an alert looks at: without it the alert is silent anyway.
func TestAlertsAreTriedOnAFleetThatIsWell(t *testing.T) {
	all := calm()
	for _, expr := range expressions(t) {
		selectors, err := rules.Names(expr)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range selectors {
			of := func(name string) bool { return strings.HasPrefix(name, s.Metric+"{") }
			if !slices.ContainsFunc(slices.Collect(maps.Keys(all)), of) {
				t.Errorf("no %s in the fleet that is well", s.Metric)
			}
		}
	}
}

// What promtool reads is made from the table of faults.
func TestAlertsUnitTestsAreMadeFromTheFaults(t *testing.T) { isMade(t, timesFile, unitTests(t)) }

// Every alert fires after its time and not before, and none while all is well, says Prometheus.
func TestAlertsFireInTime(t *testing.T) {
	if _, err := exec.LookPath("promtool"); err != nil {
		skip(t, "promtool test rules: Debian's prometheus is not installed")
	}
	out, err := exec.Command("promtool", "test", "rules", filepath.Join(root, timesFile)).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
