package messages

import (
	"context"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
)

// Kinds of a ConnectionEvent.
const (
	// EventConnected: there is a new grant, the first one or another one.
	EventConnected = "connected"
	// EventReauthorizationRequired: the grant is gone; a person must connect again.
	EventReauthorizationRequired = "reauthorization_required"
	// EventDeleted: the connection and everything stored for it is gone.
	EventDeleted = "deleted"
)

// EventsStream is the JetStream stream that keeps events for 7 days, and
// EventSubjects what it captures.
const (
	EventsStream  = "CRM_EVENTS"
	EventSubjects = "crm.events.>"
)

// EventSubject is where events of one kind about one connection go; "*" stands
// for every kind or every connection.
func EventSubject(kind, connection string) string {
	return "crm.events.connections." + kind + "." + connection
}

// A ConnectionEvent tells of a change of a connection. The stream keeps each
// exactly once; who only subscribes may see one again, with the same EventID.
type ConnectionEvent struct {
	EventID        string    `json:"event_id"`
	Kind           string    `json:"kind"`
	Connection     string    `json:"connection"`
	EnvironmentURL string    `json:"environment_url,omitzero"`
	At             time.Time `json:"at"`
	// Status is the connection's status after the change; absent when it is deleted.
	Status      string `json:"status,omitzero"`
	Incarnation string `json:"incarnation,omitzero"` // another one after deleting and making it again
	Version     int64  `json:"version"`              // grows with every change within the incarnation
	LastError   string `json:"last_error,omitzero"`  // why a person must connect again
}

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
