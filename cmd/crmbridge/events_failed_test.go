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
	"github.com/crmbridge/crmbridge/cmd/internal/program"
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

// A place that cannot be written is a fault of a file, which has no code.
func TestEventsWatchPlaceOnAFullDisk(t *testing.T) {
	place := &eventPlace{name: filepath.Join(t.TempDir(), "gone", "place"), state: eventState{Form: eventForm}}
	err := place.begin(time.Now(), 1)
	if _, coded := errors.AsType[*messages.Error](err); coded || !program.IsFile(err) ||
		!strings.Contains(err.Error(), "the place cannot be kept in "+place.name+": ") {
		t.Error(err)
	}
}

// Where the consumer is is asked where a file keeps the place, and not for nothing.
func TestEventsWatchAsksWhereItIs(t *testing.T) {
	t.Parallel()
	h := newHappening(t)
	nc, err := nats.Connect(h.url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	asked, err := nc.SubscribeSync("$JS.API.CONSUMER.INFO." + messages.EventsStream + ".>")
	if err != nil {
		t.Fatal(err)
	}
	h.happens("acme", messages.EventConnected)
	for _, c := range []struct {
		file string
		last time.Duration // since it was asked
		want int
	}{{"", 0, 0}, {"", 2 * eventsSeldom, 1}, {filepath.Join(t.TempDir(), "place"), 0, 1}} {
		place, err := openPlace(c.file, eventFilter{})
		if err != nil {
			t.Fatal(err)
		}
		var said bridgetest.Buffer
		var w *eventWatcher
		w = h.watcher(place, &said, func(context.Context, messages.ConnectionEvent, []byte) error {
			w.asked = w.asked.Add(-c.last)
			return nil
		})
		w.most = 1
		if err := errors.Join(w.run(t.Context(), nc), nc.Flush()); err != nil {
			t.Error(err)
		}
		place.close()
		have := 0
		for ; ; have++ {
			if _, err := asked.NextMsg(0); err != nil {
				break
			}
		}
		if have != c.want {
			t.Errorf("%+v: asked %d times; it says %s", c, have, &said)
		}
	}
}
