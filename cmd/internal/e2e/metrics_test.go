package e2e

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

//go:generate go test -run ^TestTheTableOfMetrics$ -update .

// Alerts and dashboards, which name these metrics, are made by a module of its own:
//go:generate go -C ../../../deploy/check generate ./...

var update = flag.Bool("update", false, "write the table of metrics in deploy/README.md anew")

// families are those that operators are promised, whatever the process has done.
var families = []string{
	"build_info", "nats_connected", "nats_reconnects_total", "nats_refused_subscriptions", "nats_dropped_messages_total",
	"redis_up", "redis_errors_total", "requests_total", "request_duration_seconds", "requests_in_flight",
	"requests_waiting", "requests_refused_total", "connections", "users_blocked", "breakers_open",
	"refresh_overdue_seconds", "refreshes_total", "cache_requests_total", "outbox_waiting", "certificate_expires_seconds",
	"keyset_primary_age_seconds", "jobs_pending", "jobs_runnable", "jobs_oldest_seconds", "jobs_connections",
	"jobs_running", "jobs_total", "job_wait_seconds", "job_duration_seconds", "dead_jobs",
	"ready",
}

// A family is one metric as /metrics describes it.
type family struct {
	name, kind, help string
	labels           []string
	series           int
}

var labelName = regexp.MustCompile(`([a-zA-Z_]+)="`)

// familiesIn reads a page in Prometheus's text format.
func familiesIn(t *testing.T, page string) map[string]*family {
	t.Helper()
	found := map[string]*family{}
	var last *family
	for line := range strings.Lines(page) {
		line = strings.TrimSuffix(line, "\n")
		if text, ok := strings.CutPrefix(line, "# HELP "); ok {
			name, help, _ := strings.Cut(text, " ")
			last = &family{name: name, help: help}
			found[name] = last
			continue
		}
		if text, ok := strings.CutPrefix(line, "# TYPE "); ok {
			_, last.kind, _ = strings.Cut(text, " ")
			continue
		}
		if last == nil || !strings.HasPrefix(line, last.name) {
			t.Fatalf("%q is of no metric", line)
		}
		last.series++
		for _, match := range labelName.FindAllStringSubmatch(line, -1) {
			if name := match[1]; name != "le" && !slices.Contains(last.labels, name) {
				last.labels = append(last.labels, name)
			}
		}
	}
	return found
}

// metricsOf is the page of a process.
func metricsOf(t testing.TB, settings bridge.Settings) string {
	t.Helper()
	status, page, err := bridgetest.AdminPage(settings.AdminAddr, "/metrics")
	if err != nil || status != http.StatusOK {
		t.Fatalf("%d %v", status, err)
	}
	return page
}

// series counts the samples of a page.
func series(page string) (n int) {
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(line, "#") {
			n++
		}
	}
	return n
}

// mostSeries is how many a process with so many tables may have.
func mostSeries(tables int) int { return 800 + 250*tables }

// Before the first request every metric is there, with 0 for each thing that is counted.
func TestMetricsBeforeTheFirstRequest(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	settings := w.Settings(true)
	w.Bridge(settings, nil)
	page := metricsOf(t, settings)
	found := familiesIn(t, page)
	for _, name := range families {
		if f := found["crmbridge_"+name]; f == nil || f.series == 0 {
			t.Errorf("crmbridge_%s is not there", name)
		}
	}
	for _, sample := range []string{
		`requests_total{code="ok",operation="accounts.search"} 0`,
		`requests_total{code="overloaded",operation="users.whoami"} 0`,
		`request_duration_seconds_count{operation="accounts.search"} 0`,
		`rows_total{operation="accounts.search"} 0`,
		`requests_refused_total{reason="reply_subject"} 0`,
		`connections{status="active"} 0`, `connections{status="reauthorization_required"} 0`,
		`users_blocked 0`, `breakers_open 0`, `refresh_overdue_seconds 0`, `outbox_waiting 0`, `dead_jobs 0`,
		`refreshes_total{verdict="reauthorization_required"} 0`,
		`cache_requests_total{cache="coalesced",outcome="hit"} 0`,
		`token_requests_total{code="throttled",grant="refresh_token"} 0`,
		`dataverse_calls_total{call="accounts.page",outcome="throttled"} 0`,
		`dataverse_calls_total{call="accounts.page",outcome="expired"} 0`,
		`dataverse_calls_total{call="accounts.count",outcome="aggregate_limit"} 0`,
		`dataverse_calls_total{call="accounts.changes",outcome="untracked"} 0`,
		`dataverse_calls_total{call="accounts.get",outcome="unknown_column"} 0`,
		`dataverse_limits_total{limit="requests"} 0`,
		`jobs_total{operation="accounts.search",state="failed"} 0`, `jobs_ended_total{code="cancelled"} 0`,
		`events_published_total{kind="deleted"} 0`,
		`nats_connected 1`, `nats_reconnects_total 0`, `redis_up 1`, `ready{check="nats"} 1`,
		`ready{check="subscriptions"} 1`, `ready{check="jetstream"} 1`, `ready{check="streams"} 1`, `ready{check="jobs"} 1`, `ready{check="redis"} 1`,
		`ready{check="draining"} 1`, `certificate_expires_seconds +Inf`,
	} {
		if !strings.Contains(page, "\ncrmbridge_"+sample+"\n") {
			t.Errorf("there is no %s", sample)
		}
	}
	if n := series(page); n > mostSeries(len(strings.Split(cmp.Or(w.Tables, "accounts"), ","))) {
		t.Errorf("%d series", n)
	}
	problems, err := promlint.New(strings.NewReader(page)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "crmbridge_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

const (
	metricsBegin = "<!-- The table is made by: go generate ./cmd/internal/e2e -->\n"
	metricsEnd   = "<!-- The end of the table. -->\n"
)

// The table of metrics in deploy/README.md is what a process has, and no other name of a metric
// stands there.
func TestTheTableOfMetrics(t *testing.T) {
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	settings := w.Settings(true)
	w.Bridge(settings, nil)
	found := familiesIn(t, metricsOf(t, settings))
	var table strings.Builder
	table.WriteString("| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n")
	for _, f := range slices.SortedFunc(func(yield func(*family) bool) {
		for _, f := range found {
			if strings.HasPrefix(f.name, "crmbridge_") && !yield(f) {
				return
			}
		}
	}, func(a, b *family) int { return strings.Compare(a.name, b.name) }) {
		slices.Sort(f.labels)
		for i, name := range f.labels {
			f.labels[i] = "`" + name + "`"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", f.name, f.kind, strings.Join(f.labels, ", "),
			strings.ReplaceAll(f.help, "|", `\|`))
	}
	const name = "deploy/README.md"
	document := bridgetest.File(t, name)
	before, rest, begins := strings.Cut(document, metricsBegin)
	old, after, ends := strings.Cut(rest, metricsEnd)
	if !begins || !ends {
		t.Fatalf("%s has no place for the table", name)
	}
	if *update {
		text := before + metricsBegin + table.String() + metricsEnd + after
		if err := os.WriteFile(filepath.Join(bridgetest.Root(t), name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if old != table.String() {
		t.Errorf("the table in %s is stale: go generate ./cmd/internal/e2e", name)
	}
	suffix := regexp.MustCompile(`_(bucket|sum|count)$`)
	for _, match := range regexp.MustCompile(`\bcrmbridge_[a-z_]+[a-z]`).FindAllString(before+after, -1) {
		if found[match] == nil && found[suffix.ReplaceAllString(match, "")] == nil {
			t.Errorf("%s names %s, which there is not", name, match)
		}
	}
}

// Figures of the fleet are the same from every process.
func TestMetricsOfTheFleet(t *testing.T) {
	bridgetest.Long(t, "the fleet is counted every few seconds")
	t.Parallel()
	w := bridgetest.New(t, emulator.Options{Accounts: 1})
	first, second := w.Settings(true), w.Settings(false)
	w.Bridge(first, nil)
	w.Bridge(second, nil)
	w.Connect("acme")
	for _, settings := range []bridge.Settings{first, second} {
		bridgetest.Await(t, "the connection is counted", func() error {
			page := metricsOf(t, settings)
			if !strings.Contains(page, "\ncrmbridge_connections{status=\"active\"} 1\n") ||
				strings.Contains(page, "\ncrmbridge_keyset_primary_age_seconds 0\n") {
				return errors.New("not yet")
			}
			return nil
		})
	}
}
