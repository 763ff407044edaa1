package interactive

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace/noop"

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
