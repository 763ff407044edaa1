// Package measure has what the metrics of both lanes have in common.
package measure

import (
	"sort"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/crmbridge/crmbridge/messages"
)

// exemplarEvery is how often a bucket takes another exemplar: a scrape sees only the last one,
// and making one takes memory.
const exemplarEvery = time.Second

// A Histogram observes durations, and remembers in each bucket the trace of one of the last.
// It is safe for concurrent use. Without a trace observing allocates nothing.
type Histogram struct {
	to     prometheus.Observer
	bounds []float64
	taken  []atomic.Int64 // of each bucket, when it took its last exemplar: ns since 1970
}

// NewHistogram observes by an observer that has buckets with these upper bounds.
func NewHistogram(to prometheus.Observer, bounds []float64) *Histogram {
	return &Histogram{to: to, bounds: bounds, taken: make([]atomic.Int64, len(bounds)+1)}
}

// Observe takes a duration, with the trace context of what took so long; nil for none.
func (h *Histogram) Observe(d time.Duration, trace map[string][]string) {
	seconds := d.Seconds()
	id := idIn(trace)
	if id == "" || !h.due(seconds) {
		h.to.Observe(seconds)
		return
	}
	h.observeTrace(seconds, strings.Clone(id)) // the header's memory is the request's
}

func (h *Histogram) observeTrace(seconds float64, id string) {
	if exemplar, ok := h.to.(prometheus.ExemplarObserver); ok {
		exemplar.ObserveWithExemplar(seconds, prometheus.Labels{"trace_id": id})
		return
	}
	h.to.Observe(seconds)
}

// due reports whether the bucket may take another exemplar.
func (h *Histogram) due(seconds float64) bool {
	taken := &h.taken[sort.SearchFloat64s(h.bounds, seconds)]
	now, last := time.Now().UnixNano(), taken.Load()
	return now-last >= int64(exemplarEvery) && taken.CompareAndSwap(last, now)
}

// TraceID is the id in a W3C trace context, "" where there is none that is valid. What a
// requester sends otherwise must not get into metrics.
//
// https://www.w3.org/TR/trace-context/#traceparent-header
func TraceID(trace map[string][]string) string { return strings.Clone(idIn(trace)) }

// idIn is TraceID in the memory of the header.
func idIn(trace map[string][]string) string {
	values := trace[messages.HeaderTraceParent]
	if len(values) == 0 {
		return ""
	}
	const start, end, parent, whole = 3, 35, 52, 55
	text := values[0]
	if len(text) < whole || len(text) > whole && (text[:2] == "00" || text[whole] != '-') || text[:2] == "ff" ||
		text[2] != '-' || text[end] != '-' || text[parent] != '-' {
		return ""
	}
	if !hexadecimal(text[:2]) || !hexadecimal(text[start:end]) || !hexadecimal(text[end+1:parent]) ||
		!hexadecimal(text[parent+1:whole]) || zero(text[start:end]) || zero(text[end+1:parent]) {
		return ""
	}
	return text[start:end]
}

func hexadecimal(text string) bool {
	for i := range len(text) {
		if c := text[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func zero(text string) bool {
	for i := range len(text) {
		if text[i] != '0' {
			return false
		}
	}
	return true
}
