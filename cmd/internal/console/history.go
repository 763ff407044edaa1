package console

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// figures are what the process counts in its metrics.
type figures struct {
	requests map[string]map[string]int // by operation and code
	seconds  map[string]float64        // that answers took, by operation
	calls    map[string]int            // of Dataverse, by outcome
	gauges   map[string]float64        // that have no label
}

// read takes the figures from the metrics, as far as they can be read.
func read(from prometheus.Gatherer) figures {
	f := figures{map[string]map[string]int{}, map[string]float64{}, map[string]int{}, map[string]float64{}}
	families, _ := from.Gather() // what went well is there
	for _, family := range families {
		name := strings.TrimPrefix(family.GetName(), "crmbridge_")
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, label := range m.GetLabel() {
				labels[label.GetName()] = label.GetValue()
			}
			switch op := labels["operation"]; {
			case name == "requests_total" && f.requests[op] == nil:
				f.requests[op] = map[string]int{}
				fallthrough
			case name == "requests_total":
				f.requests[op][labels["code"]] += int(m.GetCounter().GetValue())
			case name == "request_duration_seconds":
				f.seconds[op] = m.GetHistogram().GetSampleSum()
			case name == "dataverse_calls_total":
				f.calls[labels["outcome"]] += int(m.GetCounter().GetValue())
			case len(labels) == 0:
				f.gauges[name] = m.GetGauge().GetValue()
			}
		}
	}
	return f
}

// A sample has what was counted up to a moment: requests and calls, those that went well and
// the others.
type sample struct{ good, bad [2]int }

func (f figures) sample() (s sample) {
	count := func(at int, by map[string]int) {
		for what, n := range by {
			if what == "ok" {
				s.good[at] += n
			} else {
				s.bad[at] += n
			}
		}
	}
	for _, codes := range f.requests {
		count(0, codes)
	}
	count(1, f.calls)
	return s
}

// minutes are how many are shown, the present one with them.
const minutes = 60

// A history has a sample for the beginning of each of the last minutes.
type history struct {
	mu   sync.Mutex
	ring [minutes]sample
	n    int // that were taken
}

// keep takes a sample a minute until ctx ends.
func (h *history) keep(ctx context.Context, from prometheus.Gatherer) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		now := read(from).sample()
		h.mu.Lock()
		h.ring[h.n%minutes], h.n = now, h.n+1
		h.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// A chart has a bar for each minute, of what went well with the rest upon it, in a picture of
// 600 by 100.
type chart struct {
	Title, Good, Bad      string
	Peak, GoodSum, BadSum int
	Bars                  []bar
}

type bar struct{ X, GoodY, GoodHeight, BadY, BadHeight float64 }

// charts are those of the last hour up to now.
func (h *history) charts(now sample) []chart {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := []chart{{Title: "Requests", Good: "answered", Bad: "with an error"},
		{Title: "Calls of Dataverse", Good: "answered", Bad: "refused or failed"}}
	for at := range all {
		c, next := &all[at], now
		var counts [][2]int // the newest first
		for i := h.n - 1; i >= max(0, h.n-minutes); i-- {
			begin := h.ring[i%minutes]
			good, bad := next.good[at]-begin.good[at], next.bad[at]-begin.bad[at]
			counts, next = append(counts, [2]int{good, bad}), begin
			c.Peak, c.GoodSum, c.BadSum = max(c.Peak, good+bad), c.GoodSum+good, c.BadSum+bad
		}
		for i, n := range counts {
			b := bar{X: float64(600 - 10*(i+1)), GoodHeight: height(n[0], c.Peak), BadHeight: height(n[1], c.Peak)}
			b.GoodY, b.BadY = 100-b.GoodHeight, 100-b.GoodHeight-b.BadHeight
			c.Bars = append(c.Bars, b)
		}
	}
	return all
}

// height is that of a part of a bar; what is there can be seen.
func height(n, peak int) float64 {
	if n <= 0 {
		return 0
	}
	return max(1, float64(n)*97/float64(peak))
}

// An asked operation has a row in the table of requests.
type asked struct {
	Operation, Average, Codes string
	Good, Bad                 int
}

// rows are the operations that were asked for, those with the most errors first.
func (f figures) rows() (rows []asked) {
	for op, codes := range f.requests {
		row := asked{Operation: op}
		var bad []string
		for _, code := range slices.Sorted(maps.Keys(codes)) {
			switch n := codes[code]; {
			case code == "ok":
				row.Good = n
			case n > 0:
				row.Bad += n
				bad = append(bad, fmt.Sprintf("%s %d", code, n))
			}
		}
		if n := row.Good + row.Bad; n > 0 {
			row.Codes = strings.Join(bad, ", ")
			row.Average = fmt.Sprintf("%.0f ms", 1000*f.seconds[op]/float64(n))
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, func(a, b asked) int {
		return cmp.Or(cmp.Compare(b.Bad, a.Bad), cmp.Compare(b.Good, a.Good), cmp.Compare(a.Operation, b.Operation))
	})
	return rows
}
