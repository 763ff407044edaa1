package handlers

import (
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/messages"
)

// A call is one request as its operation sees it.
type call struct {
	operation  messages.Operation
	requestID  string
	connection string    // "" for operations over all connections
	scope      string    // the connection that the subject names, "" on a plain one
	deadline   time.Time // work is not begun after it and abandoned at it
	budget     int       // bytes that the body of one reply may have
	streams    bool      // the answer is a sequence of numbered messages; also until it is known not to be one
	trace      nats.Header
}

// newCall reads a message's headers. Its error, if any, is to be answered; the
// call is usable for that either way.
func newCall(op messages.Operation, msg *nats.Msg, arrived time.Time) (*call, *messages.Error) {
	c := &call{
		operation: op,
		requestID: newRequestID(),
		scope:     messages.ConnectionFromSubject(msg.Subject),
		deadline:  arrived.Add(messages.DefaultDeadline),
		trace:     traceHeaders(msg.Header),
	}
	if c.scope != "" && !messages.ValidConnection(c.scope) {
		return c, invalidConnection()
	}
	c.connection = c.scope
	if id := msg.Header.Get(messages.HeaderRequestID); id != "" {
		if !messages.ValidRequestID(id) {
			return c, messages.Invalid(messages.HeaderRequestID, "must be 1 to %d printable ASCII characters without spaces", messages.MaxRequestID)
		}
		c.requestID = id
	}
	if text := msg.Header.Get(messages.HeaderDeadline); text != "" {
		deadline, err := dynamics.ParseTime(text)
		if err != nil {
			return c, messages.Invalid(messages.HeaderDeadline, "must be an RFC 3339 time such as 2026-01-31T12:00:00Z")
		}
		c.deadline = earlier(deadline, arrived.Add(messages.MaxDeadline))
	}
	return c, nil
}

// target settles which connection the request is about: the body's, the
// subject's, or the same in both.
func (c *call) target(member *string, required bool) *messages.Error {
	switch {
	case *member == "":
		*member = c.scope
	case !messages.ValidConnection(*member):
		return invalidConnection()
	case c.scope != "" && *member != c.scope:
		return messages.Invalid("connection", "the body names another connection than the subject")
	}
	if *member == "" && required {
		return messages.Invalid("connection", "is missing; name the connection here or in the subject")
	}
	c.connection = *member
	return nil
}

func invalidConnection() *messages.Error {
	return messages.Invalid("connection", "is not a connection id: 1 to 64 letters, digits, _ and -")
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
