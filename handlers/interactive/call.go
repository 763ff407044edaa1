package interactive

import (
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"
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
		RequestID: newRequestID(),
		Scope:     messages.ConnectionFromSubject(msg.Subject),
		Deadline:  arrived.Add(messages.DefaultDeadline),
	}
	if c.Scope != "" && !messages.ValidConnection(c.Scope) {
		return c, route.InvalidConnection()
	}
	c.Connection = c.Scope
	if id := msg.Header.Get(messages.HeaderRequestID); id != "" {
		if !messages.ValidRequestID(id) {
			return c, messages.Invalid(messages.HeaderRequestID, "must be 1 to %d printable ASCII "+
				"characters without spaces", messages.MaxRequestID)
		}
		c.RequestID = id
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

func newRequestID() string {
	id, err := uuid.NewV7()
	if err != nil {
		panic(errors.Join(errors.New("the system gives no random numbers"), err))
	}
	return id.String()
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// traceHeaders keeps the W3C trace context of a request for its replies. W3C
// asks for room for 512 characters of tracestate; what is longer is dropped.
func traceHeaders(in nats.Header) nats.Header {
	if len(in) == 0 {
		return nil
	}
	out := nats.Header{}
	for _, name := range []string{messages.HeaderTraceParent, messages.HeaderTraceState} {
		value := headerFold(in, name)
		if value != "" && len(value) <= 512 && !strings.ContainsAny(value, "\r\n") {
			out[name] = []string{value}
		}
	}
	return out
}

// headerFold finds a header whatever its case: NATS keeps it as it was sent, and
// W3C names are lower-case while many libraries write Traceparent.
func headerFold(in nats.Header, name string) string {
	for key, values := range in {
		if len(values) > 0 && strings.EqualFold(key, name) {
			return values[0]
		}
	}
	return ""
}
