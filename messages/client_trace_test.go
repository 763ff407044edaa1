package messages_test

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"

	"github.com/crmbridge/crmbridge/messages"
)

// A request has the trace context of the span in its caller's context, and none without.
func TestRequestsCarryTheCallersSpan(t *testing.T) {
	b := newBus(t)
	got := make(chan nats.Header, 1)
	if _, err := b.responder.Subscribe("crm.users.whoami.request.acme", func(msg *nats.Msg) {
		got <- msg.Header
		_ = msg.Respond([]byte(`{}`))
	}); err != nil {
		t.Fatal(err)
	}
	if err := b.responder.Flush(); err != nil {
		t.Fatal(err)
	}
	state, err := trace.ParseTraceState("vendor=1")
	if err != nil {
		t.Fatal(err)
	}
	ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, TraceState: state}))
	for _, test := range []struct {
		ctx           context.Context
		parent, state string
	}{
		{ctx, "00-01000000000000000000000000000000-0200000000000000-01", "vendor=1"},
		{t.Context(), "", ""},
	} {
		_, _ = b.client.WhoAmI(test.ctx, "acme") // what it answers does not matter
		header := <-got
		if header.Get(messages.HeaderTraceParent) != test.parent || header.Get(messages.HeaderTraceState) != test.state {
			t.Errorf("the request has %v, want %q and %q", header, test.parent, test.state)
		}
	}
}
