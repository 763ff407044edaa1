package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
)

// A speedRow is one row of the table: work, and what is wanted of crmbridge beside the bare
// loop.
type speedRow struct {
	Name     string        `json:"name"`
	Rows     int           `json:"rows"`
	Delay    time.Duration `json:"delay"` // of the upstream
	InFlight int           `json:"in_flight"`

	throughput float64       // at least, of the bare loop's
	p99        float64       // at most, of the bare loop's
	more       time.Duration // of p99, at most, where p99 is 0
	peak       int64         // bytes at most; 0 without a bound
}

// wantedCPU is the CPU time a request, at most, of the bare loop's.
const wantedCPU = 1.3

func (r speedRow) streamed() bool { return r.Rows > 10 }

func (r speedRow) title() string {
	if r.streamed() {
		return fmt.Sprintf("%d rows streamed, %d in flight", r.Rows, r.InFlight)
	}
	return fmt.Sprintf("%d rows, %d ms, %d in flight", r.Rows, r.Delay.Milliseconds(), r.InFlight)
}

// speedRows is the whole table.
func speedRows() []speedRow {
	const late = 50 * time.Millisecond
	return []speedRow{
		{Name: "small-1", Rows: 10, InFlight: 1, throughput: 0.85, p99: 1.5},
		{Name: "small-16", Rows: 10, InFlight: 16, throughput: 0.85, p99: 1.5},
		{Name: "small-192", Rows: 10, InFlight: 192, throughput: 0.85, p99: 1.5},
		{Name: "small-50ms-16", Rows: 10, Delay: late, InFlight: 16, throughput: 0.97, more: 5 * time.Millisecond},
		{Name: "small-50ms-192", Rows: 10, Delay: late, InFlight: 192, throughput: 0.9, p99: 1.3},
		{Name: "large-4", Rows: 5000, InFlight: 4, throughput: 0.85, p99: 1.3},
		{Name: "large-32", Rows: 5000, InFlight: 32, throughput: 0.85, p99: 1.3, peak: 150 << 20},
	}
}

// rows are those of the table that were asked for.
func (c *speedCommand) rows() ([]speedRow, error) {
	all := speedRows()
	var names []string
	for _, row := range all {
		names = append(names, row.Name)
	}
	for _, more := range moreSpeed {
		names = append(names, more.name)
	}
	for _, name := range c.Only {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("%w: --only=%s is none of %s", bridge.ErrUsage, name, strings.Join(names, ", "))
		}
	}
	return slices.DeleteFunc(all, func(r speedRow) bool { return !c.wants(r.Name) }), nil
}

func (c *speedCommand) wants(name string) bool {
	return len(c.Only) == 0 || slices.Contains(c.Only, name)
}
