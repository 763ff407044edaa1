package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/route"
)

// tracingShare is the part of SHUTDOWN_GRACE, as a divisor, that the last spans may take to
// leave, and tracingMost the most of it.
const (
	tracingShare = 10
	tracingMost  = 2 * time.Second
)

// startTracing begins to export spans where the environment says where to. Without that nothing
// is made: the tracer is nil. Whatever else OTEL_* say, the SDK reads itself.
func (b *Bridge) startTracing(ctx context.Context) error {
	dropped := newSpanLosses(b.registry)
	if !b.config.Traces.On {
		return nil
	}
	exporter, err := newSpanExporter(ctx, b.config.Traces.Protocol)
	if err != nil {
		return ConfigurationError(errors.New("OTEL_EXPORTER_OTLP_*: no exporter can be made of them"))
	}
	about, err := spanResource(ctx)
	if err != nil {
		return ConfigurationError(errors.New("OTEL_RESOURCE_ATTRIBUTES: must be a list such as key=value,key=value"))
	}
	queue := newSpanQueue(exporter, b.config.Traces.Queue, dropped, b.log)
	provider := sdk.NewTracerProvider(sdk.WithResource(about), sdk.WithSpanProcessor(queue))
	b.tracer = provider.Tracer("github.com/crmbridge/crmbridge", trace.WithInstrumentationVersion(version))
	b.onStop(func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, min(b.config.ShutdownGrace/tracingShare, tracingMost))
		defer cancel()
		_ = queue.Shutdown(ctx) // what is lost is counted and logged; it is no fault of the stop
		return nil
	})
	b.log.Info("spans are exported", "protocol", b.config.Traces.Protocol)
	return nil
}

// newSpanExporter connects nowhere yet.
func newSpanExporter(ctx context.Context, protocol string) (sdk.SpanExporter, error) {
	if protocol == protocolGRPC {
		return otlptracegrpc.New(ctx)
	}
	return otlptracehttp.New(ctx)
}

// spanResource says which process spans are of; what the environment says of it counts.
func spanResource(ctx context.Context) (*resource.Resource, error) {
	instance, err := uuid.NewRandom()
	if err != nil {
		return nil, fmt.Errorf("make an instance id: %w", err)
	}
	return resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(
		attribute.String("service.name", "crmbridge"), attribute.String("service.version", version),
		attribute.String("service.instance.id", instance.String())), resource.WithFromEnv())
}

// spanLosses count the spans that no collector got.
type spanLosses struct{ full, refused, late prometheus.Counter }

func newSpanLosses(registry prometheus.Registerer) spanLosses {
	lost := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "crmbridge_spans_dropped_total",
		Help: "Spans that were not exported, by reason: queue_full, export_failed, shutdown.",
	}, []string{"reason"})
	registry.MustRegister(lost)
	return spanLosses{full: lost.WithLabelValues("queue_full"), refused: lost.WithLabelValues("export_failed"),
		late: lost.WithLabelValues("shutdown")}
}

// spanHooks are what is told to who knows nothing of spans; nil where none are made.
type spanHooks struct {
	dataverse func(context.Context, dynamics.Call)
	awaited   func(ctx context.Context, begun time.Time, first bool)
}

func (b *Bridge) spans() spanHooks {
	if b.tracer == nil {
		return spanHooks{}
	}
	made := spanMaker{b.tracer}
	return spanHooks{dataverse: made.dataverse, awaited: made.awaited}
}

// besides has each call told to next, and to what makes its span.
func (s spanHooks) besides(next func(context.Context, dynamics.Call)) func(context.Context, dynamics.Call) {
	if s.dataverse == nil {
		return next
	}
	return func(ctx context.Context, call dynamics.Call) { next(ctx, call); s.dataverse(ctx, call) }
}

// A spanMaker makes the spans of what packages that know nothing of tracing tell it.
type spanMaker struct{ tracer trace.Tracer }

// dataverse makes the span of an attempt at a call, and of what it waited for before. A URL
// holds filter values: no part of it is said.
func (m spanMaker) dataverse(ctx context.Context, call dynamics.Call) {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return
	}
	if call.Waited >= leastWait {
		_, wait := m.tracer.Start(ctx, "wait for Dataverse", trace.WithTimestamp(call.Begun.Add(-call.Waited)))
		wait.End(trace.WithTimestamp(call.Begun))
	}
	_, span := m.tracer.Start(ctx, "dataverse "+call.Op, trace.WithTimestamp(call.Begun),
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
			attribute.String("crm.dataverse.call", call.Op),
			attribute.Int("crm.dataverse.attempt", call.Attempt), attribute.Int64("crm.dataverse.bytes", call.Bytes),
			attribute.String("crm.dataverse.request_id", call.RequestID)))
	if call.Status != 0 {
		span.SetAttributes(attribute.Int("http.response.status_code", call.Status))
	}
	if call.Kind != 0 {
		span.SetAttributes(route.AttrErrorType.String(call.Kind.String()))
		span.SetStatus(codes.Error, "")
	}
	span.End(trace.WithTimestamp(call.Begun.Add(call.Duration)))
}

// leastWait is what a wait for Dataverse takes at least that has a span.
const leastWait = time.Millisecond

// tokenOutcome is how a request came to its token: hit, wait or refresh.
const tokenOutcome = attribute.Key("crm.token.outcome")

// token begins the span of asking for a token; awaited says on it where that is not at hand.
func (m spanMaker) token(ctx context.Context) (context.Context, trace.Span) {
	return m.tracer.Start(ctx, "token", trace.WithAttributes(tokenOutcome.String("hit")))
}

func (m spanMaker) awaited(ctx context.Context, begun time.Time, first bool) {
	outcome := "wait"
	if first {
		outcome = "refresh"
	}
	trace.SpanFromContext(ctx).SetAttributes(tokenOutcome.String(outcome))
	_, span := m.tracer.Start(ctx, "token "+outcome, trace.WithTimestamp(begun))
	span.End()
}

// tracedTokens makes a span each time a request asks for its token.
type tracedTokens struct {
	spanMaker
	next dynamics.TokenSource
}

// tokensOf is the token source, with spans where they are made.
func (b *Bridge) tokensOf() dynamics.TokenSource {
	source := tokensOf(b.source)
	if b.tracer == nil {
		return source
	}
	return tracedTokens{spanMaker{b.tracer}, source}
}

func (t tracedTokens) Access(ctx context.Context, connection string) (dynamics.Access, error) {
	ctx, span := t.token(ctx)
	defer span.End()
	return t.next.Access(ctx, connection)
}

func (t tracedTokens) Refused(ctx context.Context, connection string, refused dynamics.Access) (dynamics.Access,
	error) {
	ctx, span := t.token(ctx)
	defer span.End()
	return t.next.Refused(ctx, connection, refused)
}

// A spanQueue hands spans to the SDK's batches, and never waits. It counts what the SDK would
// drop without a word.
type spanQueue struct {
	sdk.SpanProcessor
	out *spanOut
}

// newSpanQueue makes a queue of at most most spans; those that are on their way count.
func newSpanQueue(to sdk.SpanExporter, most int, lost spanLosses, log *slog.Logger) *spanQueue {
	out := &spanOut{to: to, most: int64(most), lost: lost, log: log}
	out.life, out.end = context.WithCancel(context.Background())
	return &spanQueue{sdk.NewBatchSpanProcessor(out, sdk.WithMaxQueueSize(most)), out}
}

// OnEnd takes a span, or counts it as lost.
func (q *spanQueue) OnEnd(span sdk.ReadOnlySpan) {
	if !span.SpanContext().IsSampled() {
		return
	}
	if !q.out.enter() {
		return
	}
	q.SpanProcessor.OnEnd(span)
}

// Shutdown lets what waits leave until ctx ends; then it is lost, and a call under way is cut.
func (q *spanQueue) Shutdown(ctx context.Context) error {
	defer context.AfterFunc(ctx, q.out.end)()
	err := q.SpanProcessor.Shutdown(ctx)
	q.out.end()
	q.out.close()
	return err
}
