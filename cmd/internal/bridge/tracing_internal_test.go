package bridge

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// What OTEL_* may say, and what comes of it; no fault repeats a value.
func TestTraceSettings(t *testing.T) {
	const at = "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 "
	on := Traces{On: true, Protocol: protocolHTTP, Queue: spansQueued}
	for set, want := range map[string]Traces{
		"":                                 {},
		"OTEL_EXPORTER_OTLP_PROTOCOL=grpc": {}, // no endpoint: nothing is made
		at:                                 on,
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://c:4318/v1/traces":                            on,
		at + "OTEL_SDK_DISABLED=TRUE":                                                            {},
		at + "OTEL_TRACES_EXPORTER=none":                                                         {},
		at + "OTEL_TRACES_EXPORTER=otlp":                                                         on,
		at + "OTEL_EXPORTER_OTLP_PROTOCOL=grpc":                                                  {On: true, Protocol: protocolGRPC, Queue: spansQueued},
		at + "OTEL_EXPORTER_OTLP_PROTOCOL=grpc OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf": on,
		at + "OTEL_BSP_MAX_QUEUE_SIZE=7":                                                         {On: true, Protocol: protocolHTTP, Queue: 7},
		at + "OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20CANARY,b=":                       on,
	} {
		t.Run(set, func(t *testing.T) {
			setAll(t, set)
			var r reader
			got := r.traces()
			if len(r.faults) > 0 || got.On != want.On || want.On && got != want {
				t.Errorf("%+v, %v; want %+v", got, r.faults, want)
			}
		})
	}
	for set, name := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=CANARY:4317":            "OTEL_EXPORTER_OTLP_ENDPOINT",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http:///CANARY":         "OTEL_EXPORTER_OTLP_ENDPOINT",
		at + "OTEL_TRACES_EXPORTER=CANARY":                   "OTEL_TRACES_EXPORTER",
		at + "OTEL_EXPORTER_OTLP_PROTOCOL=CANARY":            "OTEL_EXPORTER_OTLP_PROTOCOL",
		at + "OTEL_EXPORTER_OTLP_HEADERS=CANARY":             "OTEL_EXPORTER_OTLP_HEADERS",
		at + "OTEL_EXPORTER_OTLP_TRACES_HEADERS=a=CANARY%zz": "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
		at + "OTEL_RESOURCE_ATTRIBUTES=CANARY":               "OTEL_RESOURCE_ATTRIBUTES",
		at + "OTEL_BSP_MAX_QUEUE_SIZE=CANARY":                "OTEL_BSP_MAX_QUEUE_SIZE",
		at + "OTEL_BSP_MAX_QUEUE_SIZE=0":                     "OTEL_BSP_MAX_QUEUE_SIZE",
	} {
		t.Run(set, func(t *testing.T) {
			setAll(t, set)
			var r reader
			r.traces()
			if err := errors.Join(r.faults...); err == nil || !strings.HasPrefix(err.Error(), name+": ") ||
				strings.Contains(err.Error(), "CANARY") {
				t.Errorf("the fault is %v", err)
			}
		})
	}
}

func setAll(t *testing.T, set string) {
	for pair := range strings.FieldsSeq(set) {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv(name, value)
	}
}

// blocked is a collector that answers when it is let.
type blocked struct {
	let  chan error
	came chan int
}

func (b *blocked) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	b.came <- len(spans)
	select {
	case err := <-b.let:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *blocked) Shutdown(context.Context) error { return nil }

// Each span is exported or counted as lost, with the reason, and none makes who ends it wait.
func TestSpansThatAreLostAreCounted(t *testing.T) {
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
	t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
	log := &bytes.Buffer{}
	to := &blocked{let: make(chan error), came: make(chan int, 100)}
	lost := newSpanLosses(prometheus.NewRegistry())
	queue := newSpanQueue(to, 4, lost, slog.New(slog.NewTextHandler(log, nil)))
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(queue))
	tracer := provider.Tracer("")
	end := func(n int) {
		for range n {
			_, span := tracer.Start(t.Context(), "x")
			span.End()
		}
	}
	check := func(full, refused, late float64) {
		t.Helper()
		for name, c := range map[string]struct {
			of   prometheus.Counter
			want float64
		}{"full": {lost.full, full}, "refused": {lost.refused, refused}, "late": {lost.late, late}} {
			if got := testutil.ToFloat64(c.of); got != c.want {
				t.Errorf("%s: %v, want %v", name, got, c.want)
			}
		}
	}
	end(10) // of which four have room
	check(6, 0, 0)
	<-to.came
	to.let <- nil // one is exported
	<-to.came     // so that it has left
	end(2)
	check(7, 0, 0)
	to.let <- errors.New("CANARY")
	<-to.came
	check(7, 1, 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()                // there is no time left for the three that are inside
	_ = queue.Shutdown(ctx) // it says that there was no time
	check(7, 1, 3)
	if text := log.String(); strings.Contains(text, "CANARY") || strings.Count(text, "spans are lost") < 2 {
		t.Errorf("the log: %s", text)
	}
	end(1)
	check(7, 1, 4) // nothing is taken any more
}

// A collector that is not there is in the log at once, then ever more seldom; and at once again
// when one that was there is gone.
func TestSpansThatAreLostDoNotFillTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		log := &bytes.Buffer{}
		o := &spanOut{most: 1 << 30, lost: newSpanLosses(registry), log: slog.New(slog.NewTextHandler(log, nil)), life: t.Context()}
		lines := func(during time.Duration) int {
			log.Reset()
			for end := time.Now().Add(during); time.Now().Before(end); time.Sleep(5 * time.Second) {
				o.left(1, errors.New("nobody is there"))
			}
			return strings.Count(log.String(), "spans are lost")
		}
		for _, c := range []struct {
			during time.Duration
			want   int
		}{{30 * time.Second, 1}, {7 * time.Minute, 3}, {24 * time.Hour, 26}} {
			if got := lines(c.during); got != c.want {
				t.Errorf("%d lines in the next %s, want %d", got, c.during, c.want)
			}
		}
		o.left(1, nil)
		if got := lines(30 * time.Second); got != 1 {
			t.Errorf("%d lines at once after a while in which one was there", got)
		}
	})
}
