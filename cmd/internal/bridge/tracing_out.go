package bridge

import (
	"context"
	"log/slog"
	"sync"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// A spanOut is the way of spans to the collector. It knows how many are on their way.
type spanOut struct {
	to   sdk.SpanExporter
	most int64
	lost spanLosses
	log  *slog.Logger

	life context.Context // ends what is under way at the end of the process's time for it
	end  context.CancelFunc

	mu     sync.Mutex
	inside int64         // spans that were taken and are neither exported nor lost
	closed bool          // none is taken any more, and what was inside is counted
	said   time.Time     // when the log last heard that spans are lost; zero while none are
	again  time.Duration // after which it hears of it again, where that lasts
}

// spansAgain is the most between two lines about spans that are lost, and lostAgain the least.
const spansAgain = time.Hour

// enter takes one span in, or counts it as lost where there is no room.
func (o *spanOut) enter() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closed:
		o.lost.late.Inc()
		return false
	case o.inside >= o.most:
		o.lost.full.Inc()
		return false
	}
	o.inside++
	return true
}

// ExportSpans sends spans. Its error is nil even where they are lost: the SDK would write it to
// stderr, past the log.
func (o *spanOut) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(o.life, cancel)()
	err := o.life.Err()
	if err == nil {
		err = o.to.ExportSpans(ctx, spans)
	}
	o.left(int64(len(spans)), err)
	return nil
}

// left counts spans as exported or lost.
func (o *spanOut) left(n int64, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || err != nil && o.life.Err() != nil {
		return // they are counted by close
	}
	o.inside -= n
	switch now := time.Now(); {
	case err == nil && !o.said.IsZero():
		o.said = time.Time{}
		o.log.Info("spans are exported again")
	case err != nil:
		o.lost.refused.Add(float64(n))
		if o.said.IsZero() {
			o.again = 0
		}
		if now.Sub(o.said) >= o.again {
			// A collector that is not there at all is no reason to fill the log.
			o.said, o.again = now, min(max(lostAgain, 2*o.again), spansAgain)
			// The error is the collector's own words, or names its address with what stands in it.
			o.log.Warn("spans are lost: they could not be exported; see OTEL_EXPORTER_OTLP_ENDPOINT", "spans", n)
		}
	}
}

// close counts what is left as lost.
func (o *spanOut) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	o.closed = true
	if o.inside > 0 {
		o.lost.late.Add(float64(o.inside))
		o.log.Warn("spans are lost: they did not leave in time", "spans", o.inside)
	}
}

// Shutdown closes the exporter.
func (o *spanOut) Shutdown(ctx context.Context) error { return o.to.Shutdown(ctx) }
