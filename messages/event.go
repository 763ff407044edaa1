package messages

import "time"

// Kinds of a ConnectionEvent.
const (
	// EventConnected: there is a new grant, the first one or another one.
	EventConnected = "connected"
	// EventReauthorizationRequired: the grant is gone; a person must connect again.
	EventReauthorizationRequired = "reauthorization_required"
	// EventDeleted: the connection and everything stored for it is gone.
	EventDeleted = "deleted"
)

// EventKinds lists the kinds of events.
func EventKinds() []string {
	return []string{EventConnected, EventReauthorizationRequired, EventDeleted}
}

// EventsStream is the JetStream stream that keeps events for 7 days, and
// EventSubjects what it captures.
const (
	EventsStream  = "CRM_EVENTS"
	EventSubjects = "crm.events.>"
)

// EventSubject is where events of one kind about one connection go; "*" is
// every kind or every connection.
func EventSubject(kind, connection string) string {
	return "crm.events.connections." + kind + "." + connection
}

// A ConnectionEvent is one change of a connection. The stream keeps each
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
