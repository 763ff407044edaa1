package check

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"sigs.k8s.io/yaml"

	"github.com/crmbridge/crmbridge/deploy/check/rules"
)

//go:generate go test -run ^TestAlerts.*MadeFrom -update .

var update = flag.Bool("update", false, "write what is made from other files")

const (
	rulesFile     = "deploy/observe/alerts.yaml"
	componentFile = "deploy/kubernetes/components/alerts/prometheusrule.yaml"
)

// alerts are the rules as Prometheus reads them.
func alerts(t *testing.T) monitoring.PrometheusRuleSpec {
	t.Helper()
	var spec monitoring.PrometheusRuleSpec
	if err := yaml.UnmarshalStrict([]byte(file(t, rulesFile)), &spec); err != nil {
		t.Fatal(err)
	}
	return spec
}

// The file of rules is made from their table.
func TestAlertsAreMadeFromTheTable(t *testing.T) {
	made, err := rules.Render(1)
	if err != nil {
		t.Fatal(err)
	}
	isMade(t, rulesFile, made)
}

// The component alerts has the rules of deploy/observe/alerts.yaml.
func TestAlertsComponentIsMadeFromTheRules(t *testing.T) {
	rule := map[string]any{
		"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule",
		"metadata": map[string]any{"name": "crmbridge", "labels": map[string]any{"app.kubernetes.io/name": "crmbridge"}},
		"spec":     alerts(t),
	}
	text, err := yaml.Marshal(rule)
	if err != nil {
		t.Fatal(err)
	}
	isMade(t, componentFile, append([]byte("# Made from "+rulesFile+"; see kustomization.yaml.\n"), text...))
}

// isMade compares a file with what is to be in it, or writes it with -update.
func isMade(t *testing.T, name string, made []byte) {
	t.Helper()
	at := filepath.Join(root, name)
	if *update {
		if err := os.WriteFile(at, made, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile(at); err != nil || !bytes.Equal(have, made) {
		t.Errorf("%s is stale (%v): go generate .", name, err)
	}
}

// expressions are those of the rules, as Prometheus and its operator read them.
func expressions(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, group := range alerts(t).Groups {
		for _, rule := range group.Rules {
			found = append(found, rule.Expr.String())
		}
	}
	if len(found) < len(rules.Alerts()) {
		t.Fatalf("%s has %d expressions", rulesFile, len(found))
	}
	return found
}

// The job that the alerts name is the one under which Prometheus finds crmbridge, with the
// compose file and with the operator's pod monitor.
func TestAlertsNameTheJob(t *testing.T) {
	var config struct {
		ScrapeConfigs []struct {
			JobName string `json:"job_name"`
		} `json:"scrape_configs"`
	}
	parse(t, "deploy/observe/prometheus.yml", &config)
	c := build(t, "podmonitor", "podmonitor")
	jobs := []string{c.deployment.Spec.Template.Labels[c.podMonitor.Spec.JobLabel]}
	for _, scrape := range config.ScrapeConfigs {
		jobs = append(jobs, scrape.JobName)
	}
	named := 0
	for _, expr := range expressions(t) {
		selectors, err := rules.Names(expr)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range selectors {
			for _, m := range s.Matchers {
				if m.Name != "job" {
					continue
				}
				named++
				for _, job := range jobs {
					if !m.Matches(job) {
						t.Errorf("%s: Prometheus knows crmbridge as job %q", expr, job)
					}
				}
			}
		}
	}
	if named == 0 {
		t.Error("no alert tells that crmbridge is not there at all")
	}
}

// Whoever is woken by an alert reads what it is and what to do.
func TestAlertsSayWhatTheyAre(t *testing.T) {
	seen := map[string]bool{}
	for _, group := range alerts(t).Groups {
		for _, rule := range group.Rules {
			if rule.Annotations["summary"] == "" || rule.For == nil {
				t.Errorf("%s: summary %q, for %v", rule.Alert, rule.Annotations["summary"], rule.For)
			}
			if s := rules.Severity(rule.Labels["severity"]); s != rules.Critical && s != rules.Warning {
				t.Errorf("%s: severity %q", rule.Alert, s)
			}
			if !strings.HasPrefix(rule.Alert, "Crmbridge") || seen[rule.Alert] {
				t.Errorf("%s: another alert has this name, or it is not ours by name", rule.Alert)
			}
			seen[rule.Alert] = true
		}
	}
	for _, a := range rules.Alerts() {
		if !seen[a.Name] || a.Reason == "" {
			t.Errorf("%s: in the rules %t, reason %q", a.Name, seen[a.Name], a.Reason)
		}
	}
}
