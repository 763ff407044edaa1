package measure_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/crmbridge/crmbridge/handlers/measure"
	"github.com/crmbridge/crmbridge/messages"
)

// A part of some work is of the trace of its span, and without one of the message's; the work
// itself is of the message's, and without one of its span's.
func TestWhoseTraceIsNamed(t *testing.T) {
	const ofSpan = "0af7651916cd43dd8448eb211c80319c"
	id, err := trace.TraceIDFromHex(ofSpan)
	if err != nil {
		t.Fatal(err)
	}
	span := func(flags trace.TraceFlags) trace.Span {
		return trace.SpanFromContext(trace.ContextWithSpanContext(context.Background(),
			trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: trace.SpanID{1}, TraceFlags: flags})))
	}
	sent := header("00-" + traceID + "-00f067aa0ba902b7-01")
	for name, c := range map[string]struct {
		sent        map[string][]string
		span        trace.Span
		part, whole string
	}{
		"neither":              {},
		"a message's":          {sent: sent, part: traceID, whole: traceID},
		"a span's":             {span: span(trace.FlagsSampled), part: ofSpan, whole: ofSpan},
		"both":                 {sent: sent, span: span(trace.FlagsSampled), part: ofSpan, whole: traceID},
		"not sampled":          {span: span(0)},
		"sent but not sampled": {sent: sent, span: span(0), whole: traceID},
		"what is no trace":     {sent: header("customer"), span: span(trace.FlagsSampled), part: ofSpan, whole: ofSpan},
	} {
		ctx := measure.WithTrace(t.Context(), c.sent)
		if c.span != nil {
			ctx = trace.ContextWithSpan(ctx, c.span)
		}
		part := named(t, func(h *measure.Histogram) { h.ObserveContext(ctx, time.Second) })
		whole := named(t, func(h *measure.Histogram) { h.ObserveSpan(time.Second, c.sent, c.span) })
		if part != c.part || whole != c.whole {
			t.Errorf("%s: %q and %q, want %q and %q", name, part, whole, c.part, c.whole)
		}
	}
}

// named is the trace that a histogram names after one observation.
func named(t *testing.T, observe func(*measure.Histogram)) string {
	t.Helper()
	bounds := []float64{10}
	made := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h", Help: "h", Buckets: bounds})
	observe(measure.NewHistogram(made, bounds))
	switch got := buckets(t, made); {
	case len(got) != 2 || got[1] != `+Inf"} 1`:
		t.Fatalf("%q", got)
	case got[0] != `10.0"} 1`:
		id, _ := strings.CutPrefix(got[0], `10.0"} 1{trace_id="`)
		return strings.TrimSuffix(id, `"}`)
	}
	return ""
}

// Where nothing is traced, and where a bucket has named a trace lately, nothing is allocated.
func TestObservingAllocatesNothing(t *testing.T) {
	bounds := []float64{.1, 1}
	h := measure.NewHistogram(prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h", Buckets: bounds}), bounds)
	if n := testing.AllocsPerRun(100, func() {
		h.Observe(time.Millisecond, nil)
		h.ObserveSpan(time.Millisecond, nil, nil)
		h.ObserveContext(t.Context(), time.Millisecond)
	}); n != 0 {
		t.Errorf("untraced: %v allocations", n)
	}
	sent := map[string][]string{messages.HeaderTraceParent: {"00-" + traceID + "-00f067aa0ba902b7-01"}}
	ctx := measure.WithTrace(t.Context(), sent)
	h.Observe(time.Millisecond, sent)
	begun := time.Now()
	n := testing.AllocsPerRun(100, func() {
		h.Observe(time.Millisecond, sent)
		h.ObserveContext(ctx, time.Millisecond)
	})
	if n != 0 && time.Since(begun) < time.Second/2 { // else it may have named another
		t.Errorf("traced: %v allocations", n)
	}
}
