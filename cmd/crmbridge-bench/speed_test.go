package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
)

// TestSpeed runs the whole of it once, shortly: no figure of it is looked at, but every
// answer is right, none is refused, and each took one call of the upstream.
func TestSpeed(t *testing.T) {
	bridgetest.Long(t, "starts NATS, Redis, the stub, the bare loop and crmbridge as processes")
	folder := t.TempDir()
	t.Setenv("TMPDIR", folder)
	chart := filepath.Join(t.TempDir(), "chart.svg")
	var stdout, stderr strings.Builder
	if status := run([]string{"speed", "--rounds=1", "--seconds=0.2", "--binary=self", "--json", "--chart=" + chart,
		"--only=small-192", "--only=large-4", "--only=jobs"}, &stdout, &stderr); status != 0 {
		t.Fatalf("status %d: %s\n%s", status, stderr.String(), stdout.String())
	}
	var result struct {
		speedResult
		Summary []struct {
			Name   string
			Ratios map[string]spread
		}
	}
	if err := json.Unmarshal([]byte(stdout.String()), &result); err != nil {
		t.Fatalf("%v: %s", err, stdout.String())
	}
	if len(result.Rows) != 2 || len(result.Summary) != 2 || len(result.Jobs) != 3 {
		t.Fatalf("%d rows, %d summaries, %d kinds of jobs", len(result.Rows), len(result.Summary), len(result.Jobs))
	}
	for i, m := range result.Rows {
		for side, one := range map[string]sample{"bare": m.Bare[0], "crmbridge": m.Crmbridge[0]} {
			// What was begun before the time that is measured, and what ends after it, is counted once.
			slack := float64(2*m.Row.InFlight) / float64(one.Answers)
			if len(one.Refused) > 0 || one.Answers < 2*m.Row.InFlight || one.P99 < one.P50 || one.Calls < 1-slack ||
				one.Calls > 1+slack {
				t.Errorf("%s, %s: %+v", m.Row.Name, side, one)
			}
		}
		for _, figure := range []string{"requests/s", "p50", "p99"} {
			if s := result.Summary[i].Ratios[figure]; s.Median <= 0 || s.Min > s.Median || s.Max < s.Median {
				t.Errorf("%s, %s: %+v", m.Row.Name, figure, s)
			}
		}
	}
	if svg, err := os.ReadFile(chart); err != nil || !strings.Contains(string(svg), "</svg>") ||
		!strings.Contains(string(svg), "192 in flight") {
		t.Errorf("the chart: %v, %.200s", err, svg)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestSpeedRefusesWhatItCannotMeasure(t *testing.T) {
	for _, args := range [][]string{{"--rounds=0"}, {"--seconds=-1"}, {"--only=nothing"}, {"--chart=chart.png"},
		{"--chart=chart.svg", "--only=jobs"}, {"--chart=" + filepath.Join(t.TempDir(), "none", "chart.svg")},
		{"--page=" + filepath.Join(t.TempDir(), "none.md")}, {"--page=main.go"}, {"--profile=main.go"},
		{"--binary=" + filepath.Join(t.TempDir(), "none")}} {
		var stdout, stderr strings.Builder
		if status := run(append([]string{"speed"}, args...), &stdout, &stderr); status != 2 || stderr.Len() == 0 {
			t.Errorf("%q: status %d, %s", args, status, stderr.String())
		}
	}
}

func TestSpreadOf(t *testing.T) {
	for _, of := range []struct {
		figures []float64
		want    spread
	}{
		{nil, spread{}}, {[]float64{3}, spread{3, 3, 3}}, {[]float64{4, 1}, spread{1, 2.5, 4}},
		{[]float64{9, 1, 2}, spread{1, 2, 9}}, {[]float64{4, 3, 2, 1}, spread{1, 2.5, 4}},
	} {
		if got := spreadOf(of.figures); got != of.want {
			t.Errorf("%v: %v; want %v", of.figures, got, of.want)
		}
	}
}

// TestMissed has a row that meets what is wanted of it, and one figure after the other that
// does not.
func TestMissed(t *testing.T) {
	base := sample{PerSecond: 1000, P50: time.Millisecond, P99: 10 * time.Millisecond, CPU: 100 * time.Microsecond,
		Peak: 100 << 20}
	row := func(name string) speedRow {
		rows := speedRows()
		return rows[slices.IndexFunc(rows, func(r speedRow) bool { return r.Name == name })]
	}
	for _, of := range []struct {
		row    string
		change func(*sample)
		want   string
	}{
		{"small-16", func(*sample) {}, ""},
		{"small-16", func(s *sample) { s.PerSecond, s.CPU, s.P99 = 850, 130*time.Microsecond, 15*time.Millisecond },
			""},
		{"small-16", func(s *sample) { s.PerSecond = 840 }, "throughput ≥ 0.85"},
		{"small-16", func(s *sample) { s.CPU = 131 * time.Microsecond }, "CPU ≤ 1.3"},
		{"small-16", func(s *sample) { s.P99 = 16 * time.Millisecond }, "p99 ≤ 1.5"},
		{"small-50ms-16", func(s *sample) { s.P99 = 15 * time.Millisecond }, ""},
		{"small-50ms-16", func(s *sample) { s.P99 = 16 * time.Millisecond }, "p99 ≤ +5ms"},
		{"large-32", func(s *sample) { s.Peak = 151 << 20 }, "peak ≤ 150 MiB"},
		{"small-192", func(s *sample) { s.Refused = map[string]int{"overloaded": 3} }, "none refused: 6 overloaded"},
	} {
		ours := base
		of.change(&ours)
		m := measured{Row: row(of.row), Bare: []sample{base, base}, Crmbridge: []sample{ours, ours}}
		if got := strings.Join(m.missed(), "; "); got != of.want {
			t.Errorf("%s: %q; want %q", of.row, got, of.want)
		}
	}
}

// TestCheck: --check and the JSON name everything that is missed, by its row.
func TestCheck(t *testing.T) {
	base := sample{PerSecond: 1000, P99: 10 * time.Millisecond, CPU: 100 * time.Microsecond}
	slow, many := base, base
	slow.PerSecond, many.PerSecond = 500, 3900
	good := speedResult{Rows: []*measured{{Row: speedRows()[1], Bare: []sample{base}, Crmbridge: []sample{base}}}}
	bad := speedResult{Rows: []*measured{{Row: speedRows()[1], Bare: []sample{base}, Crmbridge: []sample{slow}}},
		Processes: &processesResult{Processes: 4, Bare: []sample{base}, BareMany: []sample{many},
			Crmbridge: []sample{base}, CrmbridgeMany: []sample{base}},
		Start: &startResult{FirstAnswer: []time.Duration{time.Second}, ColdAnswer: []time.Duration{time.Second},
			Idle: []int64{100 << 20}, BareIdle: []int64{1}}}
	p := &printer{to: io.Discard, begun: time.Now()}
	if err := good.check(p); err != nil {
		t.Errorf("nothing is missed: %v", err)
	}
	err := bad.check(p)
	var out bytes.Buffer
	if wrong := bad.json(&out); wrong != nil || err == nil {
		t.Fatalf("%v, %v", wrong, err)
	}
	var said struct{ Missed []string }
	if wrong := json.Unmarshal(out.Bytes(), &said); wrong != nil {
		t.Fatal(wrong)
	}
	if len(said.Missed) != 4 {
		t.Errorf("the JSON names %q", said.Missed)
	}
	for i, want := range []string{"small-16: throughput ≥ 0.85", "processes: 4 processes ≥ 3.60 ×",
		"start: first answer ≤ 100 ms", "start: idle ≤ 24 MiB"} {
		if !strings.Contains(err.Error(), want) || i >= len(said.Missed) || said.Missed[i] != want {
			t.Errorf("%q is not named by %v, %q", want, err, said.Missed)
		}
	}
}

// TestTheChartIsThatOfThePage: who changes the figures draws them again.
func TestTheChartIsThatOfThePage(t *testing.T) {
	chart := filepath.Join(t.TempDir(), "chart.svg")
	var stdout, stderr strings.Builder
	if status := run([]string{"chart", "--page=README.md", "--chart=" + chart}, &stdout, &stderr); status != 0 {
		t.Fatalf("status %d: %s", status, stderr.String())
	}
	drawn, err := os.ReadFile(chart)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile("speed.svg")
	if err != nil || !bytes.Equal(drawn, kept) {
		t.Errorf("speed.svg is stale (%v): go generate ./cmd/crmbridge-bench", err)
	}
}

// TestChartOf takes the figures of a page, and no page with others.
func TestChartOf(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	drawn, err := chartOf(page)
	if err != nil {
		t.Fatal(err)
	}
	slower := bytes.Replace(page, []byte("| **0."), []byte("| **0.0"), 1)
	if again, err := chartOf(slower); err != nil || bytes.Equal(drawn, again) {
		t.Errorf("another figure is the same chart (%v)", err)
	}
	for what, bad := range map[string]string{"nothing": "",
		"no table":                   "Measured with 7 rounds of 2 s on: Z80, 2 cores, x.\n",
		"a row without a figure":     regexp.MustCompile(`\| \*\*[^|]*`).ReplaceAllString(string(page), "| "),
		"a figure without its range": strings.Replace(string(page), "** (", "** ", 1),
		"no machine":                 strings.Replace(string(page), "\nMeasured with", "\nMeasured", 1)} {
		if _, err := chartOf([]byte(bad)); err == nil {
			t.Errorf("%s is drawn", what)
		}
	}
}

// TestPageOfFigures writes figures into a page twice: what stands around them stays, and the
// README has the lines between which they stand.
func TestPageOfFigures(t *testing.T) {
	base := sample{PerSecond: 1000, P50: time.Millisecond, P99: 10 * time.Millisecond, CPU: 100 * time.Microsecond,
		Peak: 100 << 20}
	ours := base
	ours.CPU = 140 * time.Microsecond
	result := speedResult{Rounds: 1, Seconds: 3, Machine: machine{CPU: "Z80", Cores: 2},
		Rows: []*measured{{Row: speedRows()[1], Bare: []sample{base}, Crmbridge: []sample{ours}}},
		Processes: &processesResult{Processes: 4, Bare: []sample{base}, BareMany: []sample{base},
			Crmbridge: []sample{base}, CrmbridgeMany: []sample{ours}},
		Jobs: []*jobsResult{{Processes: 1, Pages: []jobsSample{{PerSecond: 20}},
			Small: []jobsSample{{PerSecond: 500}}}},
		Start: &startResult{FirstAnswer: []time.Duration{40 * time.Millisecond},
			ColdAnswer: []time.Duration{200 * time.Millisecond}, Idle: []int64{23 << 20},
			BareIdle: []int64{12 << 20}}}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(path, readme, 0o600); err != nil {
		t.Fatal(err)
	}
	var written [2]string
	for i := range written {
		if err := result.write(path); err != nil {
			t.Fatal(err)
		}
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		written[i] = string(page)
	}
	for _, want := range []string{"on: Z80, 2 cores",
		"| 10 rows, 0 ms, 16 in flight | **1.00** (1.00–1.00)<br>1000/s → 1000/s |",
		"**1.40** (1.40–1.40)<br>100 µs → 140 µs", "| CPU ≤ 1.3 |", "| 1 process | 500 |", "first answer: **40 ms**; 200 ms",
		"**23.0 MiB**", "\nMissed: nothing.\n"} {
		if !strings.Contains(written[0], want) {
			t.Errorf("the page lacks %q:\n%s", want, written[0])
		}
	}
	head, _, _ := strings.Cut(string(readme), figuresBegin)
	_, tail, _ := strings.Cut(string(readme), figuresEnd)
	if written[0] != written[1] || !strings.HasPrefix(written[0], head) || !strings.HasSuffix(written[0], tail) {
		t.Error("writing figures changes what stands around them")
	}
	if err := os.WriteFile(path, []byte("# no place for figures\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if result.write(path) == nil {
		t.Error("a page without a place for figures is taken")
	}
}
