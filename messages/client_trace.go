package messages

import (
	"context"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/propagation"
)

// inject writes the span of ctx into a request, as W3C's trace context; nothing where ctx has
// none. Whoever records spans and how is the application's own affair: this takes no more of
// OpenTelemetry than how a context holds a span.
func inject(ctx context.Context, header nats.Header) {
	propagation.TraceContext{}.Inject(ctx, traceCarrier(header))
}

// A traceCarrier is a header whose names are written as W3C has them, in lower case.
type traceCarrier nats.Header

func (c traceCarrier) Get(name string) string { return nats.Header(c).Get(name) }

func (c traceCarrier) Set(name, value string) { c[name] = []string{value} }

func (c traceCarrier) Keys() []string {
	names := make([]string, 0, len(c))
	for name := range c {
		names = append(names, name)
	}
	return names
}
