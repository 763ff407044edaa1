package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"text/tabwriter"
)

func mebibytes(b int64) float64 { return float64(b) / (1 << 20) }

// mostTold is how long the message of a new token is at most, with Redis's own words around it:
// the channel, a connection's name of 64 characters, its incarnation and version.
const mostTold = 250

// A fleetReport is what --json prints.
type fleetReport struct {
	Machine  string         `json:"machine"`
	Grant    int64          `json:"redis_bytes_each_connection"`
	Cells    []*fleetCell   `json:"fleets"`
	Verdicts []fleetVerdict `json:"verdicts"`
}

// report prints the figures and gives the verdict.
func (f *fleetRun) report(out io.Writer, p *printer) error {
	r := fleetReport{Machine: fmt.Sprintf("%d CPUs, %s/%s, %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH,
		runtime.Version()),
		Grant: f.grant, Cells: f.cells}
	judged := len(f.Processes) > 1 && len(f.Connections) > 1
	for _, figure := range fleetFigures {
		v, ok := figure.judge(f.cells)
		if ok {
			r.Verdicts = append(r.Verdicts, v)
		}
		judged = judged && ok
	}
	if f.JSON {
		to := json.NewEncoder(out)
		to.SetIndent("", "  ")
		if err := to.Encode(r); err != nil {
			return err
		}
	} else if err := r.tables(out); err != nil {
		return err
	}
	if !judged {
		p.say("no verdict: it takes two numbers of processes and two of connections")
		return nil
	}
	all := &promises{printer: p}
	for _, v := range r.Verdicts {
		all.keep(!v.Grows, "%s: %.4g %s for each process × connection (standard error %.2g), %.1f %% of the largest figure",
			v.Figure, v.D, v.Unit, v.Noise, 100*v.Share)
	}
	// What must grow with both is bounded: a new token is told to every process.
	told, ok := fleetFigure{name: "told", of: func(c *fleetCell) float64 { return c.Renewal.RedisOut }}.judge(f.cells)
	if ok {
		all.keep(told.B <= mostTold, "each renewed token is told to every process: %.0f bytes of Redis's output for each (at most %d)",
			told.B, mostTold)
	}
	return all.verdict("fleet")
}

// tables prints the figures as tables.
func (r fleetReport) tables(out io.Writer) error {
	fmt.Fprintf(out, "\n%s. A connection takes %d bytes in Redis.\n", r.Machine, r.Grant)
	for _, t := range []struct {
		title string
		of    func(*fleetCell) fleetCost
	}{
		{"The idle fleet, a second", func(c *fleetCell) fleetCost { return c.Idle }},
		{"The first request to a connection", func(c *fleetCell) fleetCost { return c.First }},
		{"A request with a filter where nobody has read the columns for 15 minutes",
			func(c *fleetCell) fleetCost { return c.Filtered }},
		{"A request to a connection that the process knows", func(c *fleetCell) fleetCost { return c.Request }},
		{"A job of one page", func(c *fleetCell) fleetCost { return c.Job.less(c.Page, -1) }},
		{"Each further page of 100 rows", func(c *fleetCell) fleetCost { return c.Page }},
		{"A renewal of a token", func(c *fleetCell) fleetCost { return c.Renewal }},
	} {
		if err := costTable(out, t.title, r.Cells, t.of); err != nil {
			return err
		}
	}
	fmt.Fprintln(out, "\nWhat is held")
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	tableRow(w, "processes", "connections", "fresh MiB", "asked MiB", "KiB a copy", "files", "Redis links", "NATS subs",
		"Redis MiB", "NATS MiB")
	for _, c := range r.Cells {
		tableRow(w, c.Processes, c.Connections, tenths(mebibytes(c.FreshMemory)), tenths(mebibytes(c.Memory)),
			tenths(float64(c.Memory-c.FreshMemory)/1024/float64(c.Copies)), c.Files, c.RedisLinks, c.Subs,
			tenths(mebibytes(c.RedisMemory)), tenths(mebibytes(c.NATSMemory)))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(r.Verdicts) == 0 {
		return nil
	}
	fmt.Fprintln(out, "\nFitted to a + b·P + c·C + d·P·C (for memory c is of each copy of a token)")
	w = tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	tableRow(w, "figure", "a", "b", "c", "d", "± of d", "d at the largest")
	for _, v := range r.Verdicts {
		tableRow(w, v.Figure+" "+v.Unit, threeDigits(v.A), threeDigits(v.B), threeDigits(v.C), threeDigits(v.D),
			threeDigits(v.Noise), tenths(100*v.Share)+" %")
	}
	return w.Flush()
}

func costTable(out io.Writer, title string, cells []*fleetCell, of func(*fleetCell) fleetCost) error {
	fmt.Fprintf(out, "\n%s\n", title)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	tableRow(w, "processes", "connections", "Redis commands", "bytes in", "bytes out", "NATS messages", "bytes",
		"µs CPU crmbridge", "Redis", "NATS")
	for _, cell := range cells {
		c := of(cell)
		tableRow(w, cell.Processes, cell.Connections, tenths(c.Commands), units(c.RedisIn), units(c.RedisOut),
			tenths(c.Messages),
			units(c.NATSBytes), units(c.CPU), units(c.RedisCPU), units(c.NATSCPU))
	}
	return w.Flush()
}

func tenths(v float64) string      { return fmt.Sprintf("%.1f", v) }
func units(v float64) string       { return fmt.Sprintf("%.0f", v) }
func threeDigits(v float64) string { return fmt.Sprintf("%.3g", v) }

// tableRow writes one line of a table; its last cell ends with a tab, too, so that it is aligned.
func tableRow(w io.Writer, cells ...any) {
	for _, cell := range cells {
		_, _ = fmt.Fprint(w, cell, "\t") // the writer keeps it for Flush
	}
	_, _ = fmt.Fprintln(w)
}
