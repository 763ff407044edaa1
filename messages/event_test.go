package messages_test

import (
	"context"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/messages"
)

// A watch gets the events of every kind of its connection, and of no other.
func TestWatchConnection(t *testing.T) {
	b := newBus(t)
	for _, id := range []string{"", "*", "a b", "a.b"} {
		if _, err := b.client.WatchConnection(id); codeOf(err) != messages.InvalidRequest {
			t.Errorf("%q: %v", id, err)
		}
	}
	watch, err := b.client.WatchConnection("acme")
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, kind := range []string{messages.EventConnected, messages.EventReauthorizationRequired, messages.EventDeleted} {
		for _, connection := range []string{"globex", "acme"} {
			if err := b.responder.Publish(messages.EventSubject(kind, connection), []byte(`{"kind":"`+kind+`","connection":"`+connection+`"}`)); err != nil {
				t.Fatal(err)
			}
		}
		if event, err := watch.Next(ctx); err != nil || event.Kind != kind || event.Connection != "acme" {
			t.Errorf("%+v, %v", event, err)
		}
	}
}

// What is published as soon as a watch has begun is heard, by whoever it is published.
func TestWatchesHearWhatFollowsAtOnce(t *testing.T) {
	b := newBus(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range 300 {
		events, err := b.client.WatchConnection("acme")
		if err == nil {
			err = b.responder.Publish(messages.EventSubject(messages.EventDeleted, "acme"), []byte("{}"))
		}
		if err == nil {
			_, err = events.Next(ctx)
		}
		if err != nil {
			t.Fatal(err)
		}
		events.Close()
		records, err := b.client.Jobs().Watch("acme", "j")
		if err == nil {
			err = b.responder.Publish(messages.StateSubject("acme", "j"), []byte("{}"))
		}
		if err == nil {
			_, err = records.Next(ctx)
		}
		if err != nil {
			t.Fatal(err)
		}
		records.Close()
	}
	b.requester.Close()
	if _, err := b.client.WatchConnection("acme"); codeOf(err) != messages.Unavailable {
		t.Error(err)
	}
	if _, err := b.client.Jobs().Watch("acme", "j"); codeOf(err) != messages.Unavailable {
		t.Error(err)
	}
}
