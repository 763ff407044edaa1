package interactive

import (
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// A spanForm is what the spans of an endpoint's requests have in common.
type spanForm struct {
	name  string
	start []trace.SpanStartOption
}

// traceWith has the consumer make spans. Without a tracer nothing is made, not even these.
func (c *Consumer) traceWith(tracer trace.Tracer) {
	if tracer == nil {
		return
	}
	c.tracer = tracer
	for _, e := range c.endpoints {
		template := e.operation.Subject()
		if e.subject != template {
			template = e.operation.ScopedSubject("{connection}")
		}
		attributes := append(route.Messaging("process", "process", template),
			route.AttrConsumerGroup.String(messages.QueueGroup))
		e.span = spanForm{name: "process " + template, start: []trace.SpanStartOption{
			trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(attributes...)}}
	}
}

// startSpan begins the span of a request that is worked on, from its arrival on, and notes how
// long it waited for a place. Calls find the span in the request's context.
func (c *Consumer) startSpan(r *request) {
	if c.tracer == nil {
		return
	}
	ctx := trace.ContextWithRemoteSpanContext(c.values, route.Remote(r.reply.trace))
	start := append(r.e.span.start[:len(r.e.span.start):len(r.e.span.start)], trace.WithTimestamp(r.arrived))
	ctx, r.reply.span = c.tracer.Start(ctx, r.e.span.name, start...)
	r.context.values = ctx
	_, wait := c.tracer.Start(ctx, "wait for a place", trace.WithTimestamp(r.arrived))
	wait.End()
}

// endSpan ends the span of a request that has been answered.
func (c *Consumer) endSpan(r *request, code string) {
	span := r.reply.span
	if span == nil {
		return
	}
	_, reply := c.tracer.Start(r.context.values, "reply", trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithTimestamp(r.arrived.Add(r.reply.took)),
		trace.WithAttributes(route.Messaging("reply", "send", "{reply}")...),
		trace.WithAttributes(route.AttrParts.Int(max(r.reply.pages, 1))))
	now := trace.WithTimestamp(time.Now())
	reply.End(now)
	route.EndSpan(span, &r.reply.call, code, int64(r.reply.rows))
}
