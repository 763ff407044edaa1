package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/messages"
)

// watcher is a watch in this process that shows by show; said gets what it says.
func (h *happening) watcher(place *eventPlace, said *bridgetest.Buffer, show eventPrinter) *eventWatcher {
	return &eventWatcher{place: place, open: 5 * time.Second, all: true, again: make(chan struct{}, 1), show: show,
		say: func(format string, args ...any) { _, _ = fmt.Fprintf(said, format+"\n", args...) }}
}

// An event that could not be shown is not passed over, also where it is the last one: once it is
// gone that is said.
func TestEventsWatchDoesNotPassOverWhatItCouldNotShow(t *testing.T) {
	t.Parallel()
	h := newHappening(t)
	nc, err := nats.Connect(h.url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	file := filepath.Join(t.TempDir(), "place")
	errFull := errors.New("the disk is full")
	watch := func(most int, shows error) (said string) {
		t.Helper()
		place, err := openPlace(file, eventFilter{})
		if err != nil {
			t.Fatal(err)
		}
		defer place.close()
		var says bridgetest.Buffer
		w := h.watcher(place, &says, func(context.Context, messages.ConnectionEvent, []byte) error { return shows })
		w.most = most
		if err := errors.Join(w.run(t.Context(), nc), place.save()); !errors.Is(err, shows) {
			t.Fatal(err)
		}
		return says.String()
	}
	h.happens("acme", messages.EventConnected)
	watch(1, nil)
	h.happens("acme", messages.EventDeleted) // 2, the only one that waits
	watch(0, errFull)
	stream, err := h.js.Stream(t.Context(), messages.EventsStream)
	if err == nil {
		err = stream.Purge(t.Context(), jetstream.WithPurgeSequence(3)) // as age does
	}
	if err != nil {
		t.Fatal(err)
	}
	h.happens("acme", messages.EventConnected)
	if said := watch(1, nil); !strings.Contains(said, "message 2 of CRM_EVENTS is not kept any more") {
		text, _ := os.ReadFile(file)
		t.Errorf("it says %q; the place is %s", said, text)
	}
}
