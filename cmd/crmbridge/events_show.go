package main

import (
	"context"
	"io"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

// An eventPrinter prints one event; raw is its message.
type eventPrinter func(ctx context.Context, event messages.ConnectionEvent, raw []byte) error

// printer prints events as they are asked for: a line of JSON each, or the rows of a table.
func (c *eventsWatch) printer(std *stdio) eventPrinter {
	if c.JSON {
		return func(ctx context.Context, _ messages.ConnectionEvent, raw []byte) error {
			line, err := term.OneLine(raw)
			if err != nil {
				return err
			}
			return writeEvent(ctx, std.out, line)
		}
	}
	const timeWidth, connectionWidth = len("2006-01-02 15:04:05"), 16
	table := term.NewGrowing(std.out, []string{"time", "connection", "event", "about"},
		[]int{timeWidth, connectionWidth, len(messages.EventReauthorizationRequired), 0})
	return func(ctx context.Context, event messages.ConnectionEvent, _ []byte) error {
		at := term.When(&event.At)
		if c.UTC {
			at = event.At.UTC().Format(time.RFC3339)
		}
		about := event.EnvironmentURL
		if event.LastError != "" {
			about = event.LastError
		}
		return writeEvent(ctx, std.out, table.Row([]string{at, event.Connection, event.Kind, about}))
	}
}

// writeGrace is how long a write may take once the watch is to end: one that somebody reads takes
// much less.
const writeGrace = 250 * time.Millisecond

// writeEvent writes one event. Where nobody reads for now it waits, for as long as the watch is not to
// end: the event has not been shown then.
func writeEvent(ctx context.Context, to io.Writer, text []byte) error {
	done := make(chan error, 1)
	go func() {
		_, err := to.Write(text)
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(writeGrace):
		return ctx.Err()
	}
}

// readEvent reads a message of the stream; ok is false for what is no event, or one that is about
// something else than its subject says: NATS lets users publish by subject.
func readEvent(subject string, data []byte) (event messages.ConnectionEvent, ok bool) {
	return event, json.Unmarshal(data, &event) == nil && messages.ValidConnection(event.Connection) &&
		subject == messages.EventSubject(event.Kind, event.Connection)
}
