package live

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A monitor is Debian's Prometheus, which reads the processes of a world once a second.
type monitor struct {
	t       *testing.T
	process *process
	at      string
	rules   string // its file of rules
	data    string // its folder
}

func startPrometheus(t *testing.T, targets []string, rules []byte) *monitor {
	t.Helper()
	folder := t.TempDir()
	m := &monitor{t: t, at: loopback(freePort(t)), data: filepath.Join(folder, "data")}
	m.rules = write(t, filepath.Join(folder, "alerts.yaml"), rules)
	config := write(t, filepath.Join(folder, "prometheus.yml"), fmt.Appendf(nil, `
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs:
  - job_name: crmbridge
    static_configs: [{targets: %s}]
`, m.rules, encode(t, targets)))
	m.process = start(t, "prometheus", os.Environ(), "prometheus", "--config.file="+config,
		"--storage.tsdb.path="+m.data, "--web.listen-address="+m.at, "--log.level=warn")
	await(t, "Prometheus", func() error { return ok(http.Get("http://" + m.at + "/-/ready")) })
	return m
}

// stop ends Prometheus; what it has read stays in its folder.
func (m *monitor) stop() { m.process.end(syscall.SIGTERM) }

// A sample is one of a query's answer.
type sample struct {
	Metric map[string]string `json:"metric"`
	Value  [2]any            `json:"value"`
}

// query asks for the value of an expression at a time; zero is now.
func (m *monitor) query(expr string, at time.Time) ([]sample, error) {
	values := url.Values{"query": {expr}}
	if !at.IsZero() {
		values.Set("time", at.UTC().Format(time.RFC3339Nano))
	}
	response, err := http.PostForm("http://"+m.at+"/api/v1/query", values)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct {
			ResultType string          `json:"resultType"`
			Result     json.RawMessage `json:"result"`
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if answer.Status != "success" {
		return nil, fmt.Errorf("%s: %s", expr, answer.Error)
	}
	if answer.Data.ResultType == "scalar" {
		return []sample{{}}, nil
	}
	var samples []sample
	return samples, json.Unmarshal(answer.Data.Result, &samples)
}

// alerts are the names of the alerts of a state, "firing" or "pending", sorted.
func (m *monitor) alerts(state string) []string {
	m.t.Helper()
	samples, err := m.query(fmt.Sprintf(`count by (alertname) (ALERTS{alertstate=%q})`, state), time.Time{})
	if err != nil {
		m.t.Fatal(err)
	}
	var names []string
	for _, one := range samples {
		names = append(names, one.Metric["alertname"])
	}
	slices.Sort(names)
	return names
}

// fired are the alerts that fired within a time until now, with their labels.
func (m *monitor) fired(within time.Duration) []string {
	m.t.Helper()
	window := int(within.Seconds()) + 1
	samples, err := m.query(fmt.Sprintf(`count_over_time(ALERTS{alertstate="firing"}[%ds])`, window), time.Time{})
	if err != nil {
		m.t.Fatal(err)
	}
	var out []string
	for _, one := range samples {
		out = append(out, labels(one.Metric))
	}
	return out
}

func labels(of map[string]string) string {
	var parts []string
	for name, value := range of {
		if name != "alertstate" && name != "__name__" {
			parts = append(parts, name+"="+value)
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

// value is what Prometheus read last of a metric of a process.
func (m *monitor) value(target, metric string) (float64, error) {
	samples, err := m.query(fmt.Sprintf(`sum(%s{instance=%q})`, metric, target), time.Time{})
	if err != nil || len(samples) == 0 {
		return 0, err
	}
	return strconv.ParseFloat(fmt.Sprint(samples[0].Value[1]), 64)
}
