package rules_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/deploy/check/rules"
)

// exported is what a program might say at /metrics.
const exported = `# TYPE crmbridge_requests_total counter
crmbridge_requests_total{operation="accounts.get",code="ok"} 1
crmbridge_requests_total{operation="accounts.get",code="internal"} 0
# TYPE crmbridge_request_duration_seconds histogram
crmbridge_request_duration_seconds_bucket{operation="accounts.get",le="0.1"} 1
crmbridge_request_duration_seconds_bucket{operation="accounts.get",le="+Inf"} 1
crmbridge_request_duration_seconds_sum{operation="accounts.get"} 0.01
crmbridge_request_duration_seconds_count{operation="accounts.get"} 1
# TYPE crmbridge_redis_up gauge
crmbridge_redis_up 1
`

func TestNames(t *testing.T) {
	for _, c := range []struct{ expr, names string }{
		{`up{job="x"} == 0 or absent(up{job="x"})`, "up{job} up{job}"},
		{`sum by (operation) (rate(a_total{code="internal"}[5m])) > 0`, "a_total{code operation}"},
		{`sum without (pod) (a) / ignoring (pod) b`, "a{} b{}"},
		{`max(a) * on (version) group_left (go) b`, "a{version} b{version}"},
		{`histogram_quantile(0.99, sum by (le) (rate(a_bucket[5m] offset 1h)))`, "a_bucket{le}"},
		{`max_over_time(max(a{x=~".*"})[1h:1m]) > scalar(b)`, "a{x} b{}"},
		{`vector(1)`, ""},
	} {
		selectors, err := rules.Names(c.expr)
		var names []string
		for _, s := range selectors {
			names = append(names, s.Metric+"{"+strings.Join(s.Labels(), " ")+"}")
		}
		if have := strings.Join(names, " "); err != nil || have != c.names {
			t.Errorf("%s: %s, %v", c.expr, have, err)
		}
	}
	for _, expr := range []string{"", "sum(", "nonsense(a)", `{__name__=~"crmbridge_.*"}`, `rate(a)`, `a[5m]]`} {
		if found, err := rules.Names(expr); err == nil {
			t.Errorf("%s: %v", expr, found)
		}
	}
}

// A name that the program does not know is found, wherever it stands in the expression.
func TestUnknown(t *testing.T) {
	families, err := rules.ParseFamilies([]byte(exported))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		expr    string
		unknown []string
	}{
		{`crmbridge_redis_up{instance="a"} == 0 or up == 0`, nil},
		{`sum by (operation) (rate(crmbridge_requests_total{code!="ok"}[5m]))`, nil},
		{`histogram_quantile(0.9, sum by (le, operation) (rate(crmbridge_request_duration_seconds_bucket[5m])))`, nil},
		{`rate(crmbridge_request_duration_seconds_sum[5m]) / rate(crmbridge_request_duration_seconds_count[5m])`, nil},
		{`crmbridge_redis_up == 0 or crmbridge_redis_on == 0`, []string{"there is no metric crmbridge_redis_on"}},
		{`crmbridge_request_duration_seconds`, []string{"there is no metric crmbridge_request_duration_seconds"}},
		{`crmbridge_redis_up_bucket`, []string{"there is no metric crmbridge_redis_up_bucket"}},
		{`sum by (verb) (crmbridge_requests_total)`, []string{"crmbridge_requests_total has no label verb"}},
		{`crmbridge_requests_total{verb="get"}`, []string{"crmbridge_requests_total has no label verb"}},
		{`crmbridge_requests_total{code="intrenal"}`, []string{`no crmbridge_requests_total has code="intrenal"`}},
		{`rate(crmbridge_request_duration_seconds_sum{le="1"}[5m])`,
			[]string{"crmbridge_request_duration_seconds_sum has no label le"}},
		{`crmbridge_redis_up * on (pod) up`, []string{"crmbridge_redis_up has no label pod", "up has no label pod"}},
	} {
		if unknown, err := families.Unknown(c.expr); err != nil || !slices.Equal(unknown, c.unknown) {
			t.Errorf("%s: %q, %v", c.expr, unknown, err)
		}
	}
	if _, err := families.Unknown("sum("); err == nil {
		t.Error("what is no expression has no unknown names")
	}
}
