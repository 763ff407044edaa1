package events

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/crmbridge/crmbridge/handlers/streams"
	"github.com/crmbridge/crmbridge/messages"
)

// Latest is the last event of one kind, and how many of it the stream keeps.
type Latest struct {
	messages.ConnectionEvent
	Kept uint64
}

// Latest returns the last event of each kind about a connection, the newest first.
func (e *Publisher) Latest(ctx context.Context, connection string) ([]Latest, error) {
	const any = "*"
	stream, err := e.js.Stream(ctx, messages.EventsStream)
	if err != nil {
		return nil, fmt.Errorf("look at stream %s: %s", messages.EventsStream, streams.Why(err))
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(messages.EventSubject(any, connection)))
	if err != nil {
		return nil, fmt.Errorf("look at stream %s: %s", messages.EventsStream, streams.Why(err))
	}
	var all []Latest
	for subject, kept := range info.State.Subjects {
		msg, err := stream.GetLastMsgForSubject(ctx, subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // it was as old as events become
		}
		if err != nil {
			return nil, fmt.Errorf("read from stream %s: %s", messages.EventsStream, streams.Why(err))
		}
		one := Latest{Kept: kept}
		if json.Unmarshal(msg.Data, &one.ConnectionEvent) == nil && one.Connection == connection {
			all = append(all, one)
		}
	}
	slices.SortFunc(all, func(a, b Latest) int { return b.At.Compare(a.At) })
	return all, nil
}
