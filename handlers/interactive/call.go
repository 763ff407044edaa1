package interactive

import (
	"time"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// newCall reads a message's headers. Its error, if any, is to be answered; the
// call is usable for that either way.
func newCall(op messages.Operation, msg *nats.Msg, arrived time.Time) (route.Call, *messages.Error) {
	c := route.Call{
		Operation: op,
		Scope:     messages.ConnectionFromSubject(msg.Subject),
		Deadline:  arrived.Add(messages.DefaultDeadline),
	}
	if c.Scope != "" && !messages.ValidConnection(c.Scope) {
		c.RequestID = route.NewRequestID(arrived)
		return c, route.InvalidConnection()
	}
	c.Connection = c.Scope
	switch id := msg.Header.Get(messages.HeaderRequestID); {
	case id == "":
		c.RequestID = route.NewRequestID(arrived)
	case messages.ValidRequestID(id):
		c.RequestID = id
	default:
		c.RequestID = route.NewRequestID(arrived)
		return c, messages.Invalid(messages.HeaderRequestID, "must be 1 to %d printable ASCII "+
			"characters without spaces", messages.MaxRequestID)
	}
	if text := msg.Header.Get(messages.HeaderDeadline); text != "" {
		deadline, err := dynamics.ParseTime(text)
		if err != nil {
			return c, messages.Invalid(messages.HeaderDeadline, "must be an RFC 3339 time such as 2026-01-31T12:00:00Z")
		}
		c.Deadline = earlier(deadline, arrived.Add(messages.MaxDeadline))
	}
	return c, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
