package boards

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/crmbridge/crmbridge/deploy/check/rules"
)

// A metric is a line of the table in deploy/README.md, which a test of crmbridge keeps equal to the
// program.
type metric struct {
	kind      string
	labels    []string
	fleetWide bool // every process exports the same
}

var line = regexp.MustCompile("(?m)^\\| `(crmbridge_\\w+)` \\| (\\w+) \\| ([^|]*) \\| (.*) \\|$")

func metrics(t *testing.T) map[string]metric {
	t.Helper()
	root, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "deploy/README.md"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]metric{}
	for _, match := range line.FindAllStringSubmatch(string(text), -1) {
		of := metric{kind: match[2], fleetWide: strings.Contains(match[4], "use max()")}
		for _, label := range strings.Split(strings.ReplaceAll(match[3], "`", ""), ",") {
			of.labels = append(of.labels, strings.TrimSpace(label))
		}
		all[match[1]] = of
	}
	if len(all) < 50 {
		t.Fatalf("the table of metrics has %d lines", len(all))
	}
	return all
}

// find is the metric that a series belongs to.
func find(all map[string]metric, series string) (name string, of metric, found bool) {
	if of, found = all[series]; found {
		return series, of, of.kind != "histogram"
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if name, cut := strings.CutSuffix(series, suffix); cut && all[name].kind == "histogram" {
			return name, all[name], true
		}
	}
	return series, metric{}, false
}

func queries(t *testing.T) []Query {
	t.Helper()
	all, err := Queries(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 100 {
		t.Fatalf("there are %d queries", len(all))
	}
	return all
}

// Metrics and labels in queries are there. What others than crmbridge export is tried where the
// program runs.
func TestQueriesNameWhatIsThere(t *testing.T) {
	all := metrics(t)
	for _, q := range queries(t) {
		selectors, err := rules.Names(q.Expr)
		if err != nil {
			t.Errorf("%s, %s: %v", q.Dashboard, q.Panel, err)
			continue
		}
		for _, s := range selectors {
			_, of, found := find(all, s.Metric)
			if !strings.HasPrefix(s.Metric, "crmbridge_") {
				continue
			}
			if !found {
				t.Errorf("%s, %s: there is no metric %s", q.Dashboard, q.Panel, s.Metric)
				continue
			}
			for _, label := range s.Labels() {
				if !slices.Contains(of.labels, label) && label != "job" && label != "instance" &&
					(label != "le" || !strings.HasSuffix(s.Metric, "_bucket")) {
					t.Errorf("%s, %s: %s has no label %s", q.Dashboard, q.Panel, s.Metric, label)
				}
			}
		}
	}
}

// Whatever crmbridge exports is shown somewhere.
func TestEveryMetricIsShown(t *testing.T) {
	all, shown := metrics(t), map[string]bool{}
	for _, q := range queries(t) {
		if q.Kind != Panel {
			continue
		}
		selectors, err := rules.Names(q.Expr)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range selectors {
			name, _, _ := find(all, s.Metric)
			shown[name] = true
		}
	}
	for name := range all {
		if !shown[name] {
			t.Errorf("no panel shows %s", name)
		}
	}
}

// Counters are read as rates, figures of the whole fleet with max() from all processes, percentiles and
// divisions give nothing where there is nothing to measure.
func TestQueriesReadMetricsAsTheyAreMeant(t *testing.T) {
	all := metrics(t)
	for _, q := range queries(t) {
		if q.Kind == Variable {
			continue
		}
		parsed, err := parser.NewParser(parser.Options{}).ParseExpr(q.Expr)
		if err != nil {
			t.Fatal(err)
		}
		fault := func(what string) { t.Errorf("%s, %s: %s: %s", q.Dashboard, q.Panel, what, q.Expr) }
		parser.Inspect(parsed, func(node parser.Node, path []parser.Node) error {
			switch n := node.(type) {
			case *parser.VectorSelector:
				_, of, _ := find(all, n.Name)
				if (of.kind == "counter" || of.kind == "histogram") && !within(path, "rate", "increase") {
					fault("a counter that is not read as a rate")
				}
				if of.fleetWide && !maximum(path) {
					fault("a figure of the whole fleet that is not read with max()")
				}
				chosen := func(label string) bool {
					return slices.ContainsFunc(n.LabelMatchers, func(m *labels.Matcher) bool { return m.Name == label })
				}
				if of.fleetWide && chosen("instance") {
					fault("a figure of the whole fleet that depends on the processes chosen")
				}
				if of.kind != "" && !chosen("job") {
					fault("figures of several fleets together")
				}
			case *parser.Call:
				if n.Func.Name == "histogram_quantile" && !compared(path, parser.GTE) {
					fault("a percentile that is not a number where nothing is measured")
				}
			case *parser.BinaryExpr:
				divisor, is := bare(n.RHS).(*parser.BinaryExpr)
				if n.Op == parser.DIV && (!is || divisor.Op != parser.GTR) {
					fault("a division by what may be 0")
				}
			}
			return nil
		})
	}
}

// within reports whether one of the functions is called around a node.
func within(path []parser.Node, functions ...string) bool {
	return slices.ContainsFunc(path, func(node parser.Node) bool {
		call, is := node.(*parser.Call)
		return is && slices.Contains(functions, call.Func.Name)
	})
}

// maximum reports whether the innermost operator around a node is max.
func maximum(path []parser.Node) bool {
	for _, node := range slices.Backward(path) {
		if around, is := node.(*parser.AggregateExpr); is {
			return around.Op == parser.MAX
		}
	}
	return false
}

// compared reports whether a node stands left in a comparison.
func compared(path []parser.Node, by parser.ItemType) bool {
	if len(path) == 0 {
		return false
	}
	around, is := path[len(path)-1].(*parser.BinaryExpr)
	return is && around.Op == by
}

func bare(expr parser.Expr) parser.Expr {
	for {
		inner, is := expr.(*parser.ParenExpr)
		if !is {
			return expr
		}
		expr = inner.Expr
	}
}

// Panels that show a histogram with exemplars ask for them, and no others do.
func TestHistogramsLeadToTraces(t *testing.T) {
	with := regexp.MustCompile(`crmbridge_(request_duration|job_wait|job_duration)_seconds_bucket`)
	for _, b := range All() {
		for _, r := range b.rows {
			for _, p := range r.panels {
				for _, q := range p.queries {
					if q.traces != with.MatchString(q.expr) {
						t.Errorf("%s, %s: exemplars are asked for: %v", b.title, p.title, q.traces)
					}
				}
			}
		}
	}
}

func TestVariablesAreFilledIn(t *testing.T) {
	for in, want := range map[string]string{
		`rate(x{job=~"$job", instance=~"$instance"}[$__rate_interval])`: `rate(x{job=~".*", instance=~".*"}[1500ms])`,
		`increase(x[$__interval])`:                                      `increase(x[1500ms])`,
		`x{job="$other"}`:                                               "",
		`x[${__range_s}s]`:                                              "",
	} {
		have, err := filled(in, 1500*time.Millisecond)
		if want == "" && err == nil || want != "" && (err != nil || have != want) {
			t.Errorf("%s: %s, %v", in, have, err)
		}
	}
	kinds := map[Kind]int{}
	for _, q := range queries(t) {
		kinds[q.Kind]++
		if q.Dashboard == "" || q.Panel == "" || strings.Contains(q.Expr, "$") {
			t.Errorf("%+v", q)
		}
	}
	if kinds[Variable] != 2*len(All()) || kinds[Annotation] != 2*len(All()) {
		t.Errorf("%v", kinds)
	}
}
