package check

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"sigs.k8s.io/yaml"

	"github.com/crmbridge/crmbridge/deploy/check/rules"
)

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
		t.Errorf("%s is stale (%v): go test -run Alerts -update .", name, err)
	}
}

// Whoever is woken by an alert reads what it is and what to do.
func TestAlertsSayWhatTheyAre(t *testing.T) {
	for _, group := range alerts(t).Groups {
		for _, rule := range group.Rules {
			if rule.Alert == "" || rule.Annotations["summary"] == "" ||
				!regexp.MustCompile(`^https://\S+/deploy/\w+\.md#\S+$`).MatchString(rule.Annotations["runbook_url"]) {
				t.Errorf("%s: summary %q, runbook %q", rule.Alert, rule.Annotations["summary"], rule.Annotations["runbook_url"])
			}
			if rule.Labels["severity"] == "" || rule.For == nil {
				t.Errorf("%s: no severity, or it fires at once", rule.Alert)
			}
		}
	}
}
