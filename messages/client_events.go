package messages

import (
	"context"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
)

// An EventWatch receives the events of a connection as they happen, without
// JetStream: what happens while it is not connected is missed.
type EventWatch struct{ sub *nats.Subscription }

// subscribeWait bounds the wait for the server's word that it has a subscription.
const subscribeWait = 10 * time.Second

// subscribe subscribes, and returns once the server has the subscription: what anybody publishes
// from then on is heard. Errors: ctx's, or unavailable, which says what could not be done.
func (c *Client) subscribe(ctx context.Context, subject, what string) (*nats.Subscription, error) {
	sub, err := c.nc.SubscribeSync(subject)
	if err != nil {
		return nil, Errorf(Unavailable, "%s: %v", what, err).Because(err)
	}
	waiting, cancel := context.WithTimeout(ctx, subscribeWait)
	defer cancel()
	if err = c.nc.FlushWithContext(waiting); err == nil {
		return sub, nil
	}
	_ = sub.Unsubscribe() // fails only where the connection is closed
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case waiting.Err() != nil:
		return nil, Errorf(Unavailable, "%s: NATS has not answered for %s", what, subscribeWait).Because(err)
	}
	return nil, Errorf(Unavailable, "%s: %v", what, err).Because(err)
}

// WatchConnection watches one connection from now on; Close ends it. When it returns, the NATS
// server has the subscription. Errors: invalid_request, unavailable where the server does not
// answer for 10 s.
func (c *Client) WatchConnection(connection string) (*EventWatch, error) {
	if !ValidConnection(connection) {
		return nil, Invalid("connection", "is not a connection id: 1 to 64 letters, digits, _ and -")
	}
	sub, err := c.subscribe(context.Background(), EventSubject("*", connection), "watch the connection's events")
	if err != nil {
		return nil, err
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
