package measure

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/trace"
)

type traceKey struct{}

// WithTrace has the calls that are made with the context know the trace context that their
// message came with, for [Histogram.ObserveContext]; nil for none.
func WithTrace(ctx context.Context, of map[string][]string) context.Context {
	if of == nil {
		return ctx
	}
	return context.WithValue(ctx, traceKey{}, of)
}

// TraceKey is the key under which a context of a kind of its own returns that trace context, a
// map[string][]string, in place of [WithTrace].
func TraceKey() any { return traceKey{} }

// ObserveContext takes the duration of a part of some work. Its trace is that of the context's
// span, and where none is made, that of the message. Without either observing allocates nothing.
func (h *Histogram) ObserveContext(ctx context.Context, d time.Duration) {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		h.observeSpan(d, span)
		return
	}
	of, _ := ctx.Value(traceKey{}).(map[string][]string)
	h.Observe(d, of)
}

// ObserveSpan is Observe for work that has a span, nil where none is made: where the message
// came without a trace, that of the span counts.
func (h *Histogram) ObserveSpan(d time.Duration, of map[string][]string, span trace.Span) {
	if span == nil || idIn(of) != "" {
		h.Observe(d, of)
		return
	}
	h.observeSpan(d, span.SpanContext())
}

// observeSpan leaves out what is not sampled: nobody could look at its trace.
func (h *Histogram) observeSpan(d time.Duration, span trace.SpanContext) {
	seconds := d.Seconds()
	if !span.IsSampled() || !h.due(seconds) {
		h.to.Observe(seconds)
		return
	}
	h.observeTrace(seconds, span.TraceID().String())
}
