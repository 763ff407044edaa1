package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A speedResult is all figures of one run.
type speedResult struct {
	Machine   machine          `json:"machine"`
	Rounds    int              `json:"rounds"`
	Seconds   float64          `json:"seconds"`
	Rows      []*measured      `json:"rows,omitempty"`
	Processes *processesResult `json:"processes,omitempty"`
	Jobs      []*jobsResult    `json:"jobs,omitempty"`
	Start     *startResult     `json:"start,omitempty"`
}

// prune leaves out what was not measured once, after an interruption.
func (r *speedResult) prune() {
	r.Rows = slices.DeleteFunc(r.Rows, func(m *measured) bool { return len(m.Crmbridge) == 0 })
	r.Jobs = slices.DeleteFunc(r.Jobs, func(j *jobsResult) bool { return len(j.Pages) == 0 })
	if r.Processes != nil && len(r.Processes.CrmbridgeMany) == 0 {
		r.Processes = nil
	}
	if r.Start != nil && len(r.Start.FirstAnswer) == 0 {
		r.Start = nil
	}
}

// A machine is where figures were taken.
type machine struct {
	CPU   string `json:"cpu"`
	Cores int    `json:"cores"`
	OS    string `json:"os"`
	Go    string `json:"go"`
}

func thisMachine() machine {
	m := machine{Cores: runtime.NumCPU(), OS: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version()}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		_, rest, _ := strings.Cut(string(text), "model name")
		name, _, _ := strings.Cut(rest, "\n")
		m.CPU = strings.TrimSpace(strings.TrimLeft(name, " \t:"))
	}
	return m
}

// A spread is the least, the median and the largest of several figures.
type spread struct{ Min, Median, Max float64 }

func spreadOf(of []float64) spread {
	if len(of) == 0 {
		return spread{}
	}
	sorted := slices.Sorted(slices.Values(of))
	n := len(sorted)
	return spread{sorted[0], (sorted[(n-1)/2] + sorted[n/2]) / 2, sorted[n-1]}
}

func (s spread) String() string { return fmt.Sprintf("%.2f/%.2f/%.2f", s.Min, s.Median, s.Max) }

// figures are those of a sample that are compared.
var figures = []struct {
	name string
	of   func(sample) float64
}{
	{"requests/s", func(s sample) float64 { return s.PerSecond }},
	{"p50", func(s sample) float64 { return float64(s.P50) }},
	{"p99", func(s sample) float64 { return float64(s.P99) }},
	{"CPU a request", func(s sample) float64 { return float64(s.CPU) }},
	{"peak", func(s sample) float64 { return float64(s.Peak) }},
}

const (
	figureThroughput = iota
	figureP50
	figureP99
	figureCPU
	figurePeak
)

// paired are the ratios of a figure, crmbridge's to the bare loop's of the same round.
func (m measured) paired(figure int) spread {
	var all []float64
	of := figures[figure].of
	for i := range m.Bare {
		if base := of(m.Bare[i]); base > 0 {
			all = append(all, of(m.Crmbridge[i])/base)
		}
	}
	return spreadOf(all)
}

// medians are a figure's, of both sides.
func (m measured) medians(figure int) (bare, crmbridge float64) {
	median := func(of []sample) float64 {
		var all []float64
		for _, one := range of {
			all = append(all, figures[figure].of(one))
		}
		return spreadOf(all).Median
	}
	return median(m.Bare), median(m.Crmbridge)
}

// refused is what crmbridge refused in all rounds.
func (m measured) refused() map[string]int {
	all := map[string]int{}
	for _, one := range m.Crmbridge {
		for code, n := range one.Refused {
			all[code] += n
		}
	}
	return all
}

// missed names what is wanted of a row and does not hold.
func (m measured) missed() (all []string) {
	miss := func(bad bool, format string, args ...any) {
		if bad {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	row := m.Row
	miss(m.paired(figureThroughput).Median < row.throughput, "throughput ≥ %.2f", row.throughput)
	miss(m.paired(figureCPU).Median > wantedCPU, "CPU ≤ %.1f", wantedCPU)
	bare, crmbridge := m.medians(figureP99)
	if row.p99 > 0 {
		miss(m.paired(figureP99).Median > row.p99, "p99 ≤ %.1f", row.p99)
	} else {
		miss(crmbridge-bare > float64(row.more), "p99 ≤ +%s", row.more)
	}
	_, peak := m.medians(figurePeak)
	miss(row.peak > 0 && peak > float64(row.peak), "peak ≤ %d MiB", row.peak>>20)
	miss(len(m.refused()) > 0, "none refused: %s", refusals(m.refused()))
	return all
}

// missed names what is wanted and does not hold, each with the name of its row.
func (r speedResult) missed() (all []string) {
	add := func(name string, missed ...string) {
		for _, what := range missed {
			if what != "" {
				all = append(all, name+": "+what)
			}
		}
	}
	for _, m := range r.Rows {
		add(m.Row.Name, m.missed()...)
	}
	if r.Processes != nil {
		add("processes", r.Processes.missed())
	}
	if r.Start != nil {
		add("start", r.Start.missed()...)
	}
	return all
}

// check is the verdict of --check: an error that names each target that is missed.
func (r speedResult) check(p *printer) error {
	return (&promises{printer: p, broken: r.missed()}).verdict("speed")
}

// print writes the table for people.
func (r speedResult) print(to io.Writer) error {
	fmt.Fprintf(to,
		"\n%s, %d cores, %s, %s; %d rounds of %.1f s. Ratios are crmbridge's to the bare loop's, min/median/max of the rounds;\n"+
			"absolute figures are medians, bare → crmbridge.\n\n", r.Machine.CPU, r.Machine.Cores, r.Machine.OS,
		r.Machine.Go, r.Rounds, r.Seconds)
	t := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	if len(r.Rows) > 0 {
		fmt.Fprintln(t, "work\tthroughput\tp50\tp99\tCPU\tpeak\tmissed")
	}
	for _, m := range r.Rows {
		fmt.Fprintf(t, "%s", m.Row.title())
		for figure := range figures {
			fmt.Fprintf(t, "\t%s", m.paired(figure))
		}
		fmt.Fprintf(t, "\t%s\n", strings.Join(m.missed(), "; "))
		for figure := range figures {
			bare, crmbridge := m.medians(figure)
			fmt.Fprintf(t, "\t%s → %s", absolute(figure, bare), absolute(figure, crmbridge))
		}
		fmt.Fprint(t, "\t\n")
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if p := r.Processes; p != nil {
		fmt.Fprintf(to,
			"\n%d processes, 50 ms upstream, %d in flight each: %s × one process; the bare loop %s ×. %s\n",
			p.Processes,
			processesRow.InFlight, factors(p.Crmbridge, p.CrmbridgeMany), factors(p.Bare, p.BareMany), p.missed())
	}
	if len(r.Jobs) > 0 {
		fmt.Fprintln(t,
			"\njobs, 50 ms upstream\tsmall jobs/s\t× one process\tCPU each\tpages/s\t× one process\tCPU each")
	}
	for _, j := range r.Jobs {
		small, pages := j.Small, j.Pages
		fmt.Fprintf(t, "%d process(es)\t%.0f\t%s\t%d µs\t%.1f\t%s\t%.1f ms\n", j.Processes, rates(small).Median,
			times(r.Jobs[0].Small, small), cpuOf(small).Microseconds(), rates(pages).Median,
			times(r.Jobs[0].Pages, pages), ms(cpuOf(pages)))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if s := r.Start; s != nil {
		fmt.Fprintf(to, "\nStart to first answer: %.0f ms (%.0f ms cold). Idle: %.1f MiB; the bare loop %.1f MiB. %s\n",
			ms(median(s.FirstAnswer)), ms(median(s.ColdAnswer)),
			medianOf(s.Idle)/(1<<20), medianOf(s.BareIdle)/(1<<20), strings.Join(s.missed(), "; "))
	}
	return nil
}

// absolute is a figure with its unit.
func absolute(figure int, value float64) string {
	switch figure {
	case figureThroughput:
		return fmt.Sprintf("%.0f/s", value)
	case figurePeak:
		return fmt.Sprintf("%.0f MiB", value/(1<<20))
	}
	if d := time.Duration(value); d < 2*time.Millisecond {
		return fmt.Sprintf("%d µs", d.Microseconds())
	}
	return fmt.Sprintf("%.1f ms", value/float64(time.Millisecond))
}

// json writes all figures and the ratios of each row.
func (r speedResult) json(to io.Writer) error {
	type ratios struct {
		Name   string            `json:"name"`
		Ratios map[string]spread `json:"ratios"`
		Missed []string          `json:"missed"`
	}
	var all []ratios
	for _, m := range r.Rows {
		one := ratios{Name: m.Row.Name, Ratios: map[string]spread{}, Missed: m.missed()}
		for figure, f := range figures {
			one.Ratios[f.name] = m.paired(figure)
		}
		all = append(all, one)
	}
	encoder := json.NewEncoder(to)
	encoder.SetIndent("", " ")
	return encoder.Encode(struct {
		speedResult
		Summary []ratios `json:"summary"`
		Missed  []string `json:"missed"` // of everything, with the names of the rows
	}{r, all, append([]string{}, r.missed()...)})
}
