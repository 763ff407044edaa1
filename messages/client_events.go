package messages

import (
	"context"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
)

// An EventWatch receives the events of a connection as they happen, without
// JetStream: what happens while it is not connected is missed.
type EventWatch struct{ sub *nats.Subscription }

// WatchConnection watches one connection from now on; Close ends it.
func (c *Client) WatchConnection(connection string) (*EventWatch, error) {
	if !ValidConnection(connection) {
		return nil, Invalid("connection", "is not a connection id: 1 to 64 letters, digits, _ and -")
	}
	sub, err := c.nc.SubscribeSync(EventSubject("*", connection))
	if err != nil {
		return nil, Errorf(Unavailable, "watch the connection's events: %v", err).Because(err)
	}
	return &EventWatch{sub}, nil
}

// Next waits for the next event. Errors: ctx's, or a subscription that ended.
func (w *EventWatch) Next(ctx context.Context) (*ConnectionEvent, error) {
	msg, err := w.sub.NextMsgWithContext(ctx)
	if err != nil {
		return nil, err
	}
	var event ConnectionEvent
	if err := json.Unmarshal(msg.Data, &event); err != nil {
		return nil, fmt.Errorf("the event is not what crmbridge sends: %w", withoutValue(err))
	}
	return &event, nil
}

// Close ends the watch.
func (w *EventWatch) Close() {
	_ = w.sub.Unsubscribe() // fails only where it has ended already
}
