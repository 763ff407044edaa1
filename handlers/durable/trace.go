package durable

import (
	"context"

	"go.opentelemetry.io/otel/trace"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// startSpan begins the span of a run. A job may run hours after it was published, and more than
// once: each run is a trace of its own, with a link to the span of the publisher.
func (x *execution) startSpan(ctx context.Context) context.Context {
	if x.lane.options.Tracer == nil {
		return ctx
	}
	template := messages.Operation(x.call.Operation).JobSubject("{connection}", "{job}")
	options := []trace.SpanStartOption{trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithTimestamp(x.began), trace.WithAttributes(route.Messaging("process", "process", template)...),
		trace.WithAttributes(route.AttrJob.String(x.key.id))}
	if publisher := route.Remote(x.trace); publisher.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: publisher}))
	}
	ctx, x.span = x.lane.options.Tracer.Start(ctx, "process "+template, options...)
	return ctx
}

// endSpan ends it. A run without a code did not end its job: it goes on elsewhere or later.
func (x *execution) endSpan() {
	if x.span != nil {
		route.EndSpan(x.span, &x.call, x.code, x.rows)
	}
}

// nothing ends no span.
func nothing() {}

// step begins the span of a part of a run, until end is called.
func (x *execution) step(ctx context.Context, name string, kind trace.SpanKind) (end func()) {
	if x.span == nil {
		return nothing
	}
	_, span := x.lane.options.Tracer.Start(ctx, name, trace.WithSpanKind(kind))
	return func() { span.End() }
}
