package route

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/crmbridge/crmbridge/messages"
)

// Attributes of spans. Those of messaging are OpenTelemetry's conventions, which know no NATS:
// https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
const (
	AttrSystem        = attribute.Key("messaging.system")
	AttrOperationName = attribute.Key("messaging.operation.name")
	AttrOperationType = attribute.Key("messaging.operation.type")
	AttrTemplate      = attribute.Key("messaging.destination.template")
	AttrConsumerGroup = attribute.Key("messaging.consumer.group.name")
	AttrErrorType     = attribute.Key("error.type")
	AttrConnection    = attribute.Key("crm.connection")
	AttrRequestID     = attribute.Key("crm.request_id")
	AttrCode          = attribute.Key("crm.code")
	AttrRows          = attribute.Key("crm.rows")
	AttrParts         = attribute.Key("crm.parts")
	AttrJob           = attribute.Key("crm.job")
)

// Messaging are the attributes that a span about messages of subjects has, whatever became of
// them. template has a name in braces where subjects of the kind differ.
func Messaging(name, kind, template string) []attribute.KeyValue {
	return []attribute.KeyValue{AttrSystem.String("nats"), AttrOperationName.String(name),
		AttrOperationType.String(kind), AttrTemplate.String(template)}
}

// EndSpan says on a span what came of a request, and ends it; code is "" where nothing has yet.
// The error's message is not said: it is for the requester, and may name what was asked for.
func EndSpan(span trace.Span, call *Call, code string, rows int64) {
	span.SetAttributes(AttrConnection.String(call.Connection), AttrRequestID.String(call.RequestID),
		AttrRows.Int64(rows))
	if code != "" {
		span.SetAttributes(AttrCode.String(code))
	}
	if code != "" && code != CodeOf(nil) {
		span.SetAttributes(AttrErrorType.String(code))
		span.SetStatus(codes.Error, "")
	}
	span.End()
}

// Remote is the span that a message was sent from, as what [Trace] kept says; it is not valid
// where that says none.
func Remote(kept Header) trace.SpanContext {
	if len(kept) == 0 {
		return trace.SpanContext{}
	}
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier(kept)))
}

// A carrier gives the propagator a header that [Trace] made: its names are in lower case.
type carrier Header

func (c carrier) Get(name string) string {
	if values := c[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

func (c carrier) Set(name, value string) { c[name] = []string{value} }

func (c carrier) Keys() []string {
	return []string{messages.HeaderTraceParent, messages.HeaderTraceState}
}

// TraceIDs are the ids for a log line: those of a span, and where there is none, those that
// the requester sent. They are "" where there is no trace.
func TraceIDs(span trace.Span, kept Header) (traceID, spanID string) {
	if span != nil {
		of := span.SpanContext()
		return of.TraceID().String(), of.SpanID().String()
	}
	return parentIDs(carrier(kept).Get(messages.HeaderTraceParent))
}

// parentIDs finds the ids in a traceparent without memory of its own: requests come with one
// whether or not this process makes spans. https://www.w3.org/TR/trace-context/#traceparent-header
func parentIDs(text string) (traceID, spanID string) {
	const length = len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	switch {
	case len(text) < length, text[2] != '-', text[35] != '-', text[52] != '-', text[:2] == "ff",
		len(text) > length && (text[:2] == "00" || text[length] != '-'):
		return "", ""
	}
	traceID, spanID = text[3:35], text[36:52]
	if _, err := trace.TraceIDFromHex(traceID); err != nil {
		return "", ""
	}
	if _, err := trace.SpanIDFromHex(spanID); err != nil {
		return "", ""
	}
	return traceID, spanID
}
