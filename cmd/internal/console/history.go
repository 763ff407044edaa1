package console

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// counts are requests that were answered and that ended in an error, and calls of Dataverse
// likewise, since the start of the process.
type counts [4]int

// figures are what the process's metrics say.
type figures struct {
	counts   counts
	requests map[string]map[string]int // by operation and code
	seconds  map[string]float64        // that answers took, by operation
	statuses map[string]int            // connections, by status
	gauges   map[string]float64        // that have no label
}

// read takes the figures from the metrics, as far as they can be read.
func read(from prometheus.Gatherer) figures {
	f := figures{requests: map[string]map[string]int{}, seconds: map[string]float64{},
		statuses: map[string]int{}, gauges: map[string]float64{}}
	count := func(at int, what string, n int) {
		if what != "ok" {
			at++
		}
		f.counts[at] += n
	}
	families, _ := from.Gather() // what went well is there
	for _, family := range families {
		name := strings.TrimPrefix(family.GetName(), "crmbridge_")
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, label := range m.GetLabel() {
				labels[label.GetName()] = label.GetValue()
			}
			n, op, code := int(m.GetCounter().GetValue()), labels["operation"], labels["code"]
			switch {
			case name == "requests_total":
				if f.requests[op] == nil {
					f.requests[op] = map[string]int{}
				}
				f.requests[op][code] += n
				count(0, code, n)
			case name == "request_duration_seconds":
				f.seconds[op] = m.GetHistogram().GetSampleSum()
			case name == "dataverse_calls_total":
				count(2, labels["outcome"], n)
			case name == "connections" && m.GetGauge().GetValue() > 0:
				f.statuses[labels["status"]] = int(m.GetGauge().GetValue())
			case len(labels) == 0:
				f.gauges[name] = m.GetGauge().GetValue()
			}
		}
	}
	return f
}

const minutes = 60 // that are kept

// keep notes the counts once a minute.
func (c *Console) keep() {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for c.life.Err() == nil {
		now := read(c.Metrics).counts
		c.mu.Lock()
		c.hour = append(c.hour[max(0, len(c.hour)+1-minutes):], now)
		c.mu.Unlock()
		select {
		case <-c.life.Done():
		case <-tick.C:
		}
	}
}

// A chart has a bar for each minute, of what went well with the rest upon it, in a picture of
// 600 by 100.
type chart struct {
	Title, Good, Bad      string
	GoodSum, BadSum, Peak int
	Bars                  []bar
}

type bar struct{ X, Good, Bad float64 }

// charts are those of the last hour up to now.
func charts(hour []counts, now counts) []chart {
	all := []chart{{Title: "Requests", Good: "answered", Bad: "with an error"},
		{Title: "Calls of Dataverse", Good: "answered", Bad: "refused or failed"}}
	for i := range all {
		c, next := &all[i], now
		for j, begin := range slices.Backward(hour) {
			good, bad := next[2*i]-begin[2*i], next[2*i+1]-begin[2*i+1]
			c.GoodSum, c.BadSum, c.Peak = c.GoodSum+good, c.BadSum+bad, max(c.Peak, good+bad)
			c.Bars = append(c.Bars, bar{float64(10 * (minutes - len(hour) + j)), float64(good), float64(bad)})
			next = begin
		}
		for j := range c.Bars {
			c.Bars[j].Good *= 97 / float64(max(1, c.Peak))
			c.Bars[j].Bad *= 97 / float64(max(1, c.Peak))
		}
	}
	return all
}

// An asked operation has a row in the table of requests.
type asked struct {
	Operation, Codes string
	Good, Bad        int
	Average          string
}

// rows are the operations that were asked for, those with the most errors first.
func (f figures) rows() (rows []asked) {
	for op, codes := range f.requests {
		row := asked{Operation: op, Good: codes["ok"]}
		var bad []string
		for _, code := range slices.Sorted(maps.Keys(codes)) {
			if n := codes[code]; code != "ok" && n > 0 {
				row.Bad, bad = row.Bad+n, append(bad, fmt.Sprintf("%s %d", code, n))
			}
		}
		if n := row.Good + row.Bad; n > 0 {
			row.Codes, row.Average = strings.Join(bad, ", "), fmt.Sprintf("%.0f ms", 1000*f.seconds[op]/float64(n))
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, func(a, b asked) int {
		return cmp.Or(b.Bad-a.Bad, b.Good-a.Good, strings.Compare(a.Operation, b.Operation))
	})
	return rows
}
