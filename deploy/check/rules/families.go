package rules

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// Families are what a program exports, by name; [Families.Unknown] looks names up in them.
type Families map[string]*dto.MetricFamily

// ParseFamilies reads what a program answers at /metrics, in Prometheus's text format.
func ParseFamilies(text []byte) (Families, error) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	return families, err
}

// ofTarget are the labels that Prometheus gives to whatever it scrapes, and the namespace, by which
// nothing is told apart where targets have none. Others, such as the pod, depend on how the targets
// are found, so that nothing that is shipped may name them.
var ofTarget = []string{"instance", "job", "namespace"}

// Unknown lists what an expression names and the program does not export: metrics (but for
// Prometheus's own "up"), labels, and values of labels that no series has, which is a mistake
// where a list of values is closed and there from the start. The error is that of [Names].
func (f Families) Unknown(expr string) ([]string, error) {
	selectors, err := Names(expr)
	if err != nil {
		return nil, err
	}
	var unknown []string
	for _, s := range selectors {
		series, known := f.series(s.Metric)
		if !known {
			unknown = append(unknown, "there is no metric "+s.Metric)
			continue
		}
		for _, name := range s.Labels() {
			if !slices.Contains(ofTarget, name) && !hasLabel(series, name) {
				unknown = append(unknown, fmt.Sprintf("%s has no label %s", s.Metric, name))
			}
		}
		for _, m := range s.Matchers {
			matches := func(have map[string]string) bool { return m.Matches(have[m.Name]) }
			if hasLabel(series, m.Name) && !slices.ContainsFunc(series, matches) {
				unknown = append(unknown, fmt.Sprintf("no %s has %s", s.Metric, m))
			}
		}
	}
	return unknown, nil
}

func hasLabel(series []map[string]string, name string) bool {
	return slices.ContainsFunc(series, func(have map[string]string) bool { _, has := have[name]; return has })
}

// series are the labels of each series of that name.
func (f Families) series(name string) (found []map[string]string, known bool) {
	if name == "up" {
		return nil, true
	}
	family, part := f[name], ""
	if family == nil {
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if base, cut := strings.CutSuffix(name, suffix); cut && f[base].GetType() == dto.MetricType_HISTOGRAM {
				family, part = f[base], suffix
			}
		}
	} else if family.GetType() == dto.MetricType_HISTOGRAM {
		return nil, false // its name alone is none of a series
	}
	for _, m := range family.GetMetric() {
		have := map[string]string{}
		for _, pair := range m.GetLabel() {
			have[pair.GetName()] = pair.GetValue()
		}
		if part == "_bucket" {
			have[labels.BucketLabel] = "" // whatever the bounds are
		}
		found = append(found, have)
	}
	return found, family != nil
}
