package main

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/messages"
)

// An export of a user who may not ask why its job waits asks once, however long it waits, and the
// first refusal ends the waiting for an answer.
func TestExportAsksOnceWhatItMayNot(t *testing.T) {
	t.Parallel()
	bridgetest.Long(t, "it waits until an export asks why its job waits")
	a := newAnswersWithout(t, askedForWaits+">")
	c := &client{ClientNATS: bridge.ClientNATS{NATS: bridge.NATS{URL: a.url}}, Timeout: time.Minute, spare: askedForWaits}
	err := c.askOften(t.Context(), func(ctx context.Context, ask *asker) error {
		long, cancel := context.WithTimeout(ctx, 6*waitsEvery)
		defer cancel()
		std := &stdio{out: io.Discard, err: io.Discard}
		p := &exportProgress{std: std, bar: std.bar("accounts", 0), stop: cancel}
		p.heard(&messages.Job{State: messages.JobQueued})
		p.ask(long, ask, "acme")
		if long.Err() != nil {
			t.Error("it goes on to ask")
		}
		p.end()
		return ctx.Err() // the command goes on
	})
	if err != nil {
		t.Error(err)
	}
}
