package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// The figures of a page of documentation stand between these lines.
const (
	figuresBegin = "<!-- figures: written by speed --page -->\n"
	figuresEnd   = "<!-- end of figures -->\n"
)

// pageAround is a page without its figures: what stands before them, and after.
func pageAround(path string) (before, after []byte, err error) {
	page, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	before, rest, begun := bytes.Cut(page, []byte(figuresBegin))
	_, after, ended := bytes.Cut(rest, []byte(figuresEnd))
	if !begun || !ended {
		return nil, nil, errors.New("the page has no lines between which figures stand")
	}
	return before, after, nil
}

// write puts the figures into a page, in place of those that are there.
func (r speedResult) write(path string) error {
	before, after, err := pageAround(path)
	if err != nil {
		return fmt.Errorf("read the page: %w", err)
	}
	var b bytes.Buffer
	b.Write(before)
	b.WriteString(figuresBegin)
	r.markdown(&b)
	b.WriteString(figuresEnd)
	b.Write(after)
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil { // it is there
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

// markdown writes the figures as tables.
func (r speedResult) markdown(b *bytes.Buffer) {
	fmt.Fprintf(b, "Measured with %d rounds of %g s on: %s, %d cores, %s, %s.\n", r.Rounds, r.Seconds, r.Machine.CPU,
		r.Machine.Cores,
		r.Machine.OS, r.Machine.Go)
	if len(r.Rows) > 0 {
		b.WriteString("\n| work | throughput | p50 | p99 | CPU a request | peak memory | missed |\n" +
			"| --- | --- | --- | --- | --- | --- | --- |\n")
	}
	for _, m := range r.Rows {
		fmt.Fprintf(b, "| %s ", m.Row.title())
		for figure := range figures {
			ratio := m.paired(figure)
			bare, crmbridge := m.medians(figure)
			fmt.Fprintf(b, "| **%.2f** (%.2f–%.2f)<br>%s → %s ", ratio.Median, ratio.Min, ratio.Max,
				absolute(figure, bare), absolute(figure, crmbridge))
		}
		fmt.Fprintf(b, "| %s |\n", orNothing(m.missed()...))
	}
	if p := r.Processes; p != nil {
		ours, bare := factors(p.Crmbridge, p.CrmbridgeMany), factors(p.Bare, p.BareMany)
		fmt.Fprintf(b, "\n%d processes beside one, %d requests of 10 rows in flight each, 50 ms upstream:\n"+
			"**%.2f ×** the throughput (%.2f–%.2f); the bare loop's own factor is %.2f (%.2f–%.2f). Missed: %s.\n",
			p.Processes, processesRow.InFlight, ours.Median, ours.Min, ours.Max, bare.Median, bare.Min, bare.Max,
			orNothing(p.missed()))
	}
	if len(r.Jobs) > 0 {
		b.WriteString("\n| jobs | small jobs/s | × one process | CPU each | pages/s | × one process | CPU each |\n" +
			"| --- | --- | --- | --- | --- | --- | --- |\n")
	}
	for _, j := range r.Jobs {
		small, pages := times(r.Jobs[0].Small, j.Small), times(r.Jobs[0].Pages, j.Pages)
		fmt.Fprintf(b, "| %s | %.0f | %.2f (%.2f–%.2f) | %d µs ", processesOf(j.Processes), rates(j.Small).Median,
			small.Median, small.Min, small.Max, cpuOf(j.Small).Microseconds())
		fmt.Fprintf(b, "| %.1f | %.2f (%.2f–%.2f) | %.1f ms |\n", rates(j.Pages).Median, pages.Median, pages.Min,
			pages.Max, ms(cpuOf(j.Pages)))
	}
	if s := r.Start; s != nil {
		fmt.Fprintf(b,
			"\nFrom start to first answer: **%.0f ms**; %.0f ms where the machine had nothing to do for ten seconds\n"+
				"before. An idle process has **%.1f MiB** (the bare loop %.1f MiB).\nMissed: %s.\n",
			ms(median(s.FirstAnswer)), ms(median(s.ColdAnswer)), medianOf(s.Idle)/(1<<20),
			medianOf(s.BareIdle)/(1<<20), orNothing(s.missed()...))
	}
}

// orNothing is what was missed, in words.
func orNothing(missed ...string) string {
	missed = slices.DeleteFunc(slices.Clone(missed), func(what string) bool { return what == "" })
	if len(missed) == 0 {
		return "nothing"
	}
	return strings.Join(missed, "; ")
}

func processesOf(processes int) string {
	if processes == 1 {
		return "1 process"
	}
	return fmt.Sprintf("%d processes", processes)
}
