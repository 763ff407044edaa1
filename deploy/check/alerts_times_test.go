package check

import (
	"fmt"
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

// A fault is what Prometheus reads when something goes wrong, for promtool: series by name with
// samples every 15 s ("0x39 1x200": forty times 0, then 1), and when the alert's expression
// begins to hold.
type fault struct {
	alert   string
	series  map[string]string
	onset   time.Duration
	summary string            // the one of the alert at the first moment at which it fires
	labels  map[string]string // besides the severity
	over    time.Duration     // when it is silent again, if it ends by itself
}

// tenMinutes is when a fault begins with the fortieth sample.
const tenMinutes = 10 * time.Minute

// here are the labels of one process's series.
const here = `instance="a:8081", job="crmbridge"`

var onA = map[string]string{"instance": "a:8081", "job": "crmbridge"}

// faultsOfAlerts has at least one for each alert. Beside what goes wrong most have a process or a label
// that is well.
func faultsOfAlerts() []fault {
	return []fault{
		{alert: "CrmbridgeDown", onset: tenMinutes, labels: onA,
			series:  map[string]string{`up{` + here + `}`: "1x39 0x200", `up{instance="b:8081", job="crmbridge"}`: "1x240"},
			summary: "Prometheus reads no metrics of crmbridge a:8081"},
		{alert: "CrmbridgeDown", onset: 0, labels: map[string]string{"job": "crmbridge"},
			series:  map[string]string{`up{instance="n:8222", job="nats"}`: "1x240"},
			summary: "Prometheus reads no metrics of crmbridge "},
		{alert: "CrmbridgeNotReady", onset: tenMinutes,
			labels: map[string]string{"instance": "a:8081", "job": "crmbridge", "check": "redis"},
			series: map[string]string{`crmbridge_ready{check="redis", ` + here + `}`: "1x39 0x200",
				`crmbridge_ready{check="draining", ` + here + `}`: "0x240", `crmbridge_ready{check="nats", ` + here + `}`: "1x240"},
			summary: "crmbridge a:8081 is not ready: redis"},
		{alert: "CrmbridgeSubscriptionRefused", onset: tenMinutes, labels: onA,
			series:  map[string]string{`crmbridge_nats_refused_subscriptions{` + here + `}`: "0x39 2x200"},
			summary: "NATS refuses subscriptions of crmbridge a:8081: 2"},
		{alert: "CrmbridgeNatsReconnecting", onset: tenMinutes, labels: onA,
			series: map[string]string{`crmbridge_nats_connected{` + here + `}`: "1x39 0x200",
				`crmbridge_nats_reconnects_total{` + here + `}`: "0x240"},
			summary: "crmbridge a:8081 has no lasting connection to NATS"},
		{alert: "CrmbridgeNatsReconnecting", onset: 20 * time.Minute, labels: onA, // six within 15 minutes, no more
			series: map[string]string{`crmbridge_nats_connected{` + here + `}`: "1x240",
				`crmbridge_nats_reconnects_total{` + here + `}`: "0x59 1x3 2x3 3x3 4x3 5x3 6x200"},
			summary: "crmbridge a:8081 has no lasting connection to NATS", over: 36 * time.Minute},
		{alert: "CrmbridgeRedisAway", onset: tenMinutes, labels: onA,
			series:  map[string]string{`crmbridge_redis_up{` + here + `}`: "1x39 0x200"},
			summary: "Redis does not do what crmbridge a:8081 needs"},
		{alert: "CrmbridgeInternalErrors", onset: tenMinutes, labels: map[string]string{"job": "crmbridge", "operation": "accounts.get"},
			series: map[string]string{requests("accounts.get", "internal"): "0x39 1x200", requests("leads.get", "internal"): "7x240",
				requests("accounts.get", "ok"): "0+15x240"},
			summary: "crmbridge answers accounts.get with internal errors", over: 25*time.Minute + every},
		{alert: "CrmbridgeUpstreamErrors", onset: tenMinutes,
			series: map[string]string{requests("accounts.get", "upstream_error"): "0x39 15+15x200",
				requests("leads.get", "unavailable"): "0x39 15+15x200", requests("accounts.get", "ok"): "0+15x240"},
			summary: "66.67% of all requests fail because of Dataverse or Entra ID"},
		{alert: "CrmbridgeSlowRequests", onset: tenMinutes, labels: map[string]string{"job": "crmbridge", "operation": "accounts.search"},
			series: map[string]string{took("accounts.search", "2.5"): "0+10x39 390x200", took("accounts.search", "10"): "0+10x39 390x200",
				took("accounts.search", "60"): "0+10x240", took("accounts.search", "+Inf"): "0+10x240",
				took("connections.check", "10"): "0x240", took("connections.check", "+Inf"): "0+10x240"},
			summary: "one in a hundred accounts.search takes more than 10 s"},
		{alert: "CrmbridgeOverloaded", onset: tenMinutes,
			series:  map[string]string{requests("accounts.get", "overloaded"): "0x39 15+15x200", requests("accounts.get", "ok"): "0+15x240"},
			summary: "crmbridge refuses 50% of all requests: too many wait, or memory is short"},
		{alert: "CrmbridgeRequestsDropped", onset: tenMinutes, labels: onA,
			series: map[string]string{`crmbridge_nats_dropped_messages_total{` + here + `}`: "0x39 3x200",
				`crmbridge_unanswered_requests_total{` + here + `}`: "0x240"},
			summary: "requests to crmbridge a:8081 got no answer at all", over: 20*time.Minute + every},
		{alert: "CrmbridgeThrottled", onset: tenMinutes,
			series: map[string]string{`crmbridge_users_blocked{` + here + `}`: "0x39 1x200",
				`crmbridge_users_blocked{instance="b:8081", job="crmbridge"}`: "0x240"},
			summary: "Dataverse's limits have kept users out for half an hour"},
		{alert: "CrmbridgeThrottled", onset: tenMinutes,
			series: map[string]string{requests("accounts.get", "throttled"): "0x39 30+30x200", requests("accounts.get", "ok"): "0+15x240",
				`crmbridge_users_blocked{` + here + `}`: "0x240"},
			summary: "Dataverse's limits have kept users out for half an hour"},
		{alert: "CrmbridgeConfigurationError", onset: tenMinutes,
			series: map[string]string{`crmbridge_token_requests_total{grant="refresh_token", code="configuration_error", ` + here + `}`: "0x39 1x200",
				requests("accounts.get", "configuration_error"): "4x240"},
			summary: "Entra ID or Dataverse refuses crmbridge's own set-up", over: 25*time.Minute + every},
		{alert: "CrmbridgeRefreshOverdue", onset: tenMinutes,
			series:  map[string]string{`crmbridge_refresh_overdue_seconds{` + here + `}`: "0x39 615+15x200"},
			summary: "tokens are not renewed: the oldest is 15m 15s late"},
		{alert: "CrmbridgeReauthorizationRequired", onset: 70 * time.Minute,
			series: map[string]string{connections("a", "reauthorization_required"): "2x279 3x300", connections("a", "active"): "100x600",
				connections("b", "reauthorization_required"): "0x600", connections("b", "active"): "0x600"},
			summary: "connections that wait for a person to sign in again: 3, more than an hour ago", over: 130 * time.Minute},
		{alert: "CrmbridgeCertificateEnds", onset: tenMinutes,
			series: map[string]string{`crmbridge_certificate_expires_seconds{` + here + `}`: "2592585-15x240",
				`crmbridge_certificate_expires_seconds{instance="b:8081", job="crmbridge"}`: strings.Repeat("Inf ", 100)},
			summary: "the client certificate ends in 29d 23h 49m 45s"},
		{alert: "CrmbridgeJobsStuck", onset: tenMinutes,
			series:  map[string]string{`crmbridge_jobs_oldest_seconds{` + here + `}`: "3015+15x240", `crmbridge_jobs_runnable{` + here + `}`: "4x240"},
			summary: "a job has waited for 1h 10m 15s, although jobs could run"},
		{alert: "CrmbridgeDeadJobs", onset: tenMinutes,
			series:  map[string]string{`crmbridge_dead_jobs{` + here + `}`: "0x39 1x200"},
			summary: "jobs that failed and that somebody has to retry or delete: 1"},
		{alert: "CrmbridgeVersionsDiffer", onset: tenMinutes,
			series: map[string]string{`crmbridge_build_info{version="1.12.0", revision="11", go="go1.26.8", ` + here + `}`: "1x400",
				`crmbridge_build_info{version="1.13.0", revision="12", go="go1.26.8", instance="b:8081", job="crmbridge"}`: "_x40 1x400"},
			summary: "versions of crmbridge that have run side by side for an hour: 2"},
	}
}

func requests(operation, code string) string {
	return fmt.Sprintf(`crmbridge_requests_total{operation=%q, code=%q, %s}`, operation, code, here)
}

func took(operation, bound string) string {
	return fmt.Sprintf(`crmbridge_request_duration_seconds_bucket{operation=%q, le=%q, %s}`, operation, bound, here)
}

func connections(instance, status string) string {
	return fmt.Sprintf(`crmbridge_connections{status=%q, instance="%s:8081", job="crmbridge"}`, status, instance)
}

// calm is a fleet that is well for three hours: two processes, of which one is replaced after an
// hour and the other after two, a Redis and three NATS servers that fail over, a burst that is
// refused in part, a user who is kept out for ten minutes, connections that needed their person
// yesterday already and that nobody knows of for ten minutes, one error on a quiet day, and
// nothing to do at all in the last hour.
func calm() map[string]string {
	// The first process is there for two hours, the second for one, the third comes after that:
	// its gauges are 0 at first.
	const first, second, third = "1x479 stale", "1x239 stale", "_x240 0x1 1x479"
	series := map[string]string{}
	add := func(name, labels, a, b, c string) {
		for instance, samples := range map[string]string{"a": a, "b": b, "c": c} {
			series[fmt.Sprintf(`%s{%sinstance="%s:8081", job="crmbridge"}`, name, labels, instance)] = samples
		}
	}
	flat := func(value string) (a, b, c string) {
		return value + "x479 stale", value + "x239 stale", "_x240 " + value + "x481"
	}
	all := func(name, labels, value string) {
		a, b, c := flat(value)
		add(name, labels, a, b, c)
	}
	add("up", "", first, second, third)
	for _, check := range []string{"nats", "subscriptions", "jetstream", "redis"} {
		add("crmbridge_ready", `check="`+check+`", `, first, second, third)
	}
	add("crmbridge_ready", `check="draining", `, "1x475 0x3 stale", "1x235 0x3 stale", "_x240 1x481")
	add("crmbridge_nats_connected", "", "1x20 0 1x30 0 1x30 0 1x394 stale", second, third)
	add("crmbridge_nats_reconnects_total", "", "0x20 1x31 2x31 3x395 stale", "0x239 stale", "_x240 0x481")
	add("crmbridge_redis_up", "", "1x99 0x2 1x376 stale", "1x99 0x2 1x136 stale", third)
	all("crmbridge_nats_refused_subscriptions", "", "0")
	all("crmbridge_nats_dropped_messages_total", "", "0")
	all("crmbridge_unanswered_requests_total", "", "0")
	for code, a := range map[string]string{"ok": "0+15x239 3585x239 stale", "internal": "0x479 stale",
		"upstream_error": "0x349 1x129 stale", "unavailable": "0x479 stale", "configuration_error": "0x479 stale",
		"throttled": "0x79 1+1x39 40x359 stale", "overloaded": "0x159 20x1 40x317 stale"} {
		_, b, c := flat("0")
		add("crmbridge_requests_total", `operation="accounts.search", code="`+code+`", `, a, b, c)
	}
	for bound, a := range map[string]string{"2.5": "0+15x239 3584x239 stale", "10": "0+15x239 3584x239 stale",
		"+Inf": "0+15x239 3585x239 stale"} { // one of all is slow
		_, b, c := flat("0")
		add("crmbridge_request_duration_seconds_bucket", `operation="accounts.search", le="`+bound+`", `, a, b, c)
	}
	all("crmbridge_token_requests_total", `grant="refresh_token", code="configuration_error", `, "0")
	blocked := "0x79 1x39 0x359 stale"
	add("crmbridge_users_blocked", "", blocked, "0x79 1x39 0x119 stale", "_x240 0x481")
	add("crmbridge_refresh_overdue_seconds", "", "0x19 80000 12 0x457 stale", "0x239 stale", "_x240 0x481")
	add("crmbridge_connections", `status="active", `, "9x99 0x39 9x339 stale", "9x99 0x39 9x99 stale", "_x240 0x1 9x479")
	add("crmbridge_connections", `status="reauthorization_required", `, "2x99 0x39 2x339 stale", "2x99 0x39 2x99 stale", "_x240 0x1 2x479")
	all("crmbridge_certificate_expires_seconds", "", "2600000")
	add("crmbridge_jobs_oldest_seconds", "", "0+15x239 0x239 stale", "0+15x239 stale", "_x240 0x481")
	add("crmbridge_jobs_runnable", "", "4x239 0x239 stale", "4x239 stale", "_x240 0x481")
	all("crmbridge_dead_jobs", "", "0")
	add("crmbridge_build_info", `version="1.12.0", revision="11", go="go1.26.8", `, first, second, "_x720")
	add("crmbridge_build_info", `version="1.12.1", revision="12", go="go1.26.8", `, "_x1", "_x1", "_x480 1x240")
	return series
}

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

func seriesOf(samples map[string]string) (list []unitSeries) {
	for _, name := range slices.Sorted(maps.Keys(samples)) {
		list = append(list, unitSeries{name, samples[name]})
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
	fires := f.onset + a.For
	samples := maps.Clone(f.series)
	if a.Name != "CrmbridgeDown" {
		samples[`up{`+here+`}`] = "1x600"
	}
	u := unit{Name: a.Name, Every: every.String(), Series: seriesOf(samples), Alerts: []unitAlert{
		{(fires - every).String(), a.Name, []expected{}},
		{fires.String(), a.Name, []expected{{labels, map[string]string{"summary": f.summary, "runbook_url": a.RunbookURL()}}}},
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
		Exprs: []unitExpr{{fired, "3h", []unitSample{}}}})
	text, err := yaml.Marshal(tests)
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte("# promtool test rules "+timesFile+"\n# Made from the table of faults in deploy/check by "+
		"\"go test -run Alerts -update .\" there.\n"), text...)
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
			if !slices.ContainsFunc(slices.Collect(maps.Keys(all)), func(name string) bool { return strings.HasPrefix(name, s.Metric+"{") }) {
				t.Errorf("no %s in the fleet that is well", s.Metric)
			}
		}
	}
}

// Every alert fires after its time and not before, and none while all is well, says Prometheus.
func TestAlertsFireInTime(t *testing.T) {
	isMade(t, timesFile, unitTests(t))
	if _, err := exec.LookPath("promtool"); err != nil {
		skip(t, "promtool test rules: Debian's prometheus is not installed")
	}
	out, err := exec.Command("promtool", "test", "rules", filepath.Join(root, timesFile)).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
