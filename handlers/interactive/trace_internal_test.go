package interactive

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/crmbridge/crmbridge/handlers/measure"
	"github.com/crmbridge/crmbridge/handlers/route"
)

// untraced does all that a request does for spans and ids of its log line.
func untraced(c *Consumer, r *request) {
	c.startSpan(r)
	c.endSpan(r, "ok")
	if traceID, _ := route.TraceIDs(r.reply.span, r.reply.trace); traceID != "" {
		panic("there is no trace")
	}
}

// Without a tracer nothing is allocated for spans, and nothing is there that could be.
func TestWithoutATracerNothingIsMade(t *testing.T) {
	c, r := &Consumer{endpoints: []*endpoint{{}}}, &request{e: &endpoint{}, reply: &reply{}}
	c.traceWith(nil)
	if c.endpoints[0].span.start != nil || c.tracer != nil {
		t.Error("spans are prepared")
	}
	if n := testing.AllocsPerRun(1000, func() { untraced(c, r) }); n != 0 {
		t.Errorf("a request without spans allocates %v times for them", n)
	}
	if r.context.values != nil {
		t.Error("the request's context was touched")
	}
	c.traceWith(noop.NewTracerProvider().Tracer(""))
	if c.endpoints[0].span.name == "" {
		t.Error("with a tracer spans have no name")
	}
}

// BenchmarkTracingOff is a whole request that does nothing, and what of it is for spans that are
// not made: asking for a tracer, and looking for a trace where a duration is observed, of the
// request and of one call. Both are measured by turns in one run, and the best of each counts;
// %-more is what a request takes more than one without them.
//
//	go test ./handlers/interactive -run '^$' -bench TracingOff -benchtime 5s
func BenchmarkTracingOff(b *testing.B) {
	const requests, looks = 200, 20_000
	ask := asking(b, servedByLane(b, true), laneRequests["scoped"]())
	durations := []float64{.1, 1}
	h := measure.NewHistogram(prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h", Buckets: durations}), durations)
	plain := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h", Buckets: durations})
	c, r := &Consumer{}, &request{e: &endpoint{}, reply: &reply{}}
	r.context.values = valuesOf(b.Context())
	with := func() {
		untraced(c, r)
		h.ObserveSpan(time.Millisecond, r.reply.trace, r.reply.span)
		h.ObserveContext(&r.context, time.Millisecond)
	}
	without := func() { plain.Observe(.001); plain.Observe(.001) }
	best := func(of *time.Duration, times int, f func()) {
		begun := time.Now()
		for range times {
			f()
		}
		if took := time.Since(begun) / time.Duration(times); *of == 0 || took < *of {
			*of = took
		}
	}
	var request, on, off time.Duration
	for b.Loop() {
		best(&request, requests, ask)
		best(&on, looks, with)
		best(&off, looks, without)
	}
	more := max(on-off, 0)
	b.ReportMetric(float64(request), "request-ns")
	b.ReportMetric(float64(more), "tracing-ns")
	b.ReportMetric(100*float64(more)/float64(request-more), "%-more")
	b.ReportMetric(testing.AllocsPerRun(1000, with), "allocs-more")
}

// BenchmarkUntraced is what a request costs more for spans that are not made; BenchmarkLane is a
// whole request that does nothing, for comparison.
func BenchmarkUntraced(b *testing.B) {
	c, r := &Consumer{}, &request{e: &endpoint{}, reply: &reply{}}
	b.ReportAllocs()
	for b.Loop() {
		untraced(c, r)
	}
}

// BenchmarkTraced is the same with a tracer that records nothing.
func BenchmarkTraced(b *testing.B) {
	c := &Consumer{endpoints: []*endpoint{{}}, values: b.Context()}
	c.traceWith(noop.NewTracerProvider().Tracer(""))
	r := &request{e: c.endpoints[0], reply: &reply{}, msg: &nats.Msg{}, arrived: time.Now()}
	b.ReportAllocs()
	for b.Loop() {
		c.startSpan(r)
		c.endSpan(r, "ok")
	}
}
