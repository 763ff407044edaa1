package rules_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"sigs.k8s.io/yaml"

	"github.com/crmbridge/crmbridge/deploy/check/rules"
)

// rendered are the rules of a file by their alert.
func rendered(t *testing.T, scale float64) map[string]rule {
	t.Helper()
	text, err := rules.Render(scale)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Groups []struct{ Rules []rule } }
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	all := map[string]rule{}
	for _, r := range file.Groups[0].Rules {
		r.Expr = strings.Join(strings.Fields(r.Expr), " ")
		all[r.Alert] = r
	}
	return all
}

type rule struct {
	Alert, Expr string
	For         model.Duration
}

// Every time is scaled: how long, windows, offsets, and what a time is compared with. What is no
// time stays.
func TestRenderScalesTimes(t *testing.T) {
	whole, sixtieth := rendered(t, 1), rendered(t, 1.0/60)
	for _, a := range rules.Alerts() {
		if have := time.Duration(whole[a.Name].For); have != a.For {
			t.Errorf("%s: for %s, not %s", a.Name, have, a.For)
		}
		if have := time.Duration(sixtieth[a.Name].For); have != a.For/60 {
			t.Errorf("%s: a sixtieth is for %s, not %s", a.Name, have, a.For/60)
		}
		if strings.Contains(a.Expr, "[") && whole[a.Name].Expr == sixtieth[a.Name].Expr {
			t.Errorf("%s: the windows of %s are not scaled", a.Name, whole[a.Name].Expr)
		}
	}
	for _, c := range []struct{ alert, whole, sixtieth string }{
		{"CrmbridgeJobsStuck", "> 3600", "> 60"},
		{"CrmbridgeCertificateEnds", "< 2592000", "< 43200"},
		{"CrmbridgeReauthorizationRequired", "offset 1h", "offset 1m"},
		{"CrmbridgeNatsReconnecting", "[15m]) > 5", "[15s]) > 5"},
		{"CrmbridgeSlowRequests", "> 10", "> 10"},
	} {
		if !strings.Contains(whole[c.alert].Expr, c.whole) || !strings.Contains(sixtieth[c.alert].Expr, c.sixtieth) {
			t.Errorf("%s: %s; a sixtieth: %s", c.alert, whole[c.alert].Expr, sixtieth[c.alert].Expr)
		}
	}
}

// A scale at which a time would vanish makes no rules.
func TestRenderRefusesScales(t *testing.T) {
	for _, scale := range []float64{0, -1, 1e-9} {
		if text, err := rules.Render(scale); err == nil {
			t.Errorf("%g: %.100s", scale, text)
		}
	}
}
