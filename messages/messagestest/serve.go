package messagestest

import (
	"context"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/messages"
)

// A call is one request, or one run of a job.
type call struct {
	b          *Bridge
	ctx        context.Context
	op         messages.Operation
	requestID  string
	connection string
	scope      string
	trace      nats.Header
	budget     int    // bytes that the body of a reply may have
	job        *job   // nil for a request
	reply      *reply // of a request

	incarnation string // of the connection, "" until it has been looked at
}

// A part is one message of an answer.
type part struct {
	body   []byte
	header nats.Header // of a stored message
	rows   int
	total  *int64
	last   bool
	place  *place // of a job that goes on, the place after it
	zstd   bool
}

// accept takes a request in, in the order of arrival.
func (b *Bridge) accept(s *serving, op messages.Operation, msg *nats.Msg) {
	if !b.mayReply(msg.Reply) {
		b.t.Logf("messagestest: a request on %s is not executed: its reply subject is %q", msg.Subject, msg.Reply)
		return
	}
	arrived := time.Now()
	select {
	case b.slots <- struct{}{}:
	case <-s.ctx.Done():
		return
	}
	if !b.begin(s, func() {
		defer func() { <-b.slots }()
		b.answer(s.ctx, op, msg, arrived)
	}) {
		<-b.slots
	}
}

// mayReply reports whether a reply subject is one that may be answered.
func (b *Bridge) mayReply(subject string) bool {
	first, _, _ := strings.Cut(subject, ".")
	if subject == "" || first == "crm" || strings.HasPrefix(first, "$") {
		return false
	}
	for _, pattern := range b.options.ReplySubjects {
		if subjectMatches(pattern, subject) {
			return true
		}
	}
	return false
}

func subjectMatches(pattern, subject string) bool {
	wants, has := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, want := range wants {
		switch {
		case i >= len(has):
			return false
		case want == ">":
			return true
		case want != "*" && want != has[i]:
			return false
		}
	}
	return len(wants) == len(has)
}

// answer answers one request.
func (b *Bridge) answer(ctx context.Context, op messages.Operation, msg *nats.Msg, arrived time.Time) {
	c := &call{b: b, op: op, scope: messages.ConnectionFromSubject(msg.Subject), trace: traceOf(msg.Header)}
	deadline, fault := c.begin(msg.Header, arrived)
	c.budget = b.budget(c.requestID, c.trace)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	c.ctx = ctx
	r := &reply{call: c, to: msg.Reply}
	if _, verb, _ := op.Table(b.options.Tables); verb == messages.VerbSearch {
		r.numbered = true // until the body is read, as if it asked for a stream
	}
	c.reply = r
	if fault == nil {
		if fault = c.over(); fault == nil {
			fault = c.serve(msg.Data, r)
		}
	}
	switch {
	case fault == errLost && !r.numbered:
		return
	case fault != nil:
		r.fail(fault)
	case !r.ended:
		b.t.Errorf("messagestest: %s ended without an answer", op)
	}
}

// begin reads the headers of a request; the call can be answered either way.
func (c *call) begin(header nats.Header, arrived time.Time) (deadline time.Time, fault *messages.Error) {
	deadline = arrived.Add(messages.DefaultDeadline)
	c.requestID = newID()
	if c.scope != "" && !messages.ValidConnection(c.scope) {
		return deadline, badConnection()
	}
	c.connection = c.scope
	if id := header.Get(messages.HeaderRequestID); messages.ValidRequestID(id) {
		c.requestID = id
	} else if id != "" {
		return deadline, messages.Invalid(messages.HeaderRequestID,
			"must be 1 to %d printable ASCII characters without spaces", messages.MaxRequestID)
	}
	if text := header.Get(messages.HeaderDeadline); text != "" {
		at, err := time.Parse(time.RFC3339Nano, strings.ToUpper(text))
		if err != nil {
			return deadline, messages.Invalid(messages.HeaderDeadline,
				"must be an RFC 3339 time such as 2026-01-31T12:00:00Z")
		}
		if deadline = arrived.Add(messages.MaxDeadline); at.Before(deadline) {
			deadline = at
		}
	}
	return deadline, nil
}

func badConnection() *messages.Error {
	return messages.Invalid("connection", "is not a connection id: 1 to 64 letters, digits, _ and -")
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// traceOf is the W3C trace context, which is returned as it came.
func traceOf(header nats.Header) nats.Header {
	const longest = 512
	out := nats.Header{}
	for name, values := range header {
		for _, known := range []string{messages.HeaderTraceParent, messages.HeaderTraceState} {
			if strings.EqualFold(name, known) && len(values) > 0 && values[0] != "" && len(values[0]) <= longest {
				out[known] = values[:1]
			}
		}
	}
	return out
}

// budget is how many bytes the body of a reply may have, so that it fits with its headers.
func (b *Bridge) budget(requestID string, trace nats.Header) int {
	const room, least = 128, 256
	headers := room + len(messages.HeaderRequestID) + len(requestID)
	for name, values := range trace {
		headers += len(name) + len(values[0]) + len(": \r\n")
	}
	return max(int(b.nc.MaxPayload())-headers, least)
}

// A reply is the answer of a request, message by message.
type reply struct {
	*call
	to       string
	numbered bool // the messages carry their numbers
	pages    int
	ended    bool
}

// send publishes one message, or leaves it out where it is lost.
func (r *reply) send(p part, lost bool) *messages.Error {
	if p.header == nil && len(p.body) > r.budget {
		return messages.Errorf(messages.TooLarge, "the answer has %d bytes and the NATS server takes %d in one message; "+
			"ask for fewer fields or rows", len(p.body), r.budget)
	}
	header := nats.Header{}
	maps.Copy(header, p.header)
	r.head(header)
	r.number(header, p.last)
	r.ended = p.last
	if !lost {
		if err := r.b.replies.check(r.op, header, p.body); err != nil {
			r.b.t.Errorf("messagestest: the reply of %s is not one of crmbridge's: %v", r.op, err)
		}
		r.publish(header, p.body)
	}
	return nil
}

func (r *reply) head(header nats.Header) {
	maps.Copy(header, r.trace)
	header.Set(messages.HeaderRequestID, r.requestID)
}

func (r *reply) number(header nats.Header, last bool) {
	if !r.numbered {
		return
	}
	r.pages++
	header.Set(messages.HeaderPage, strconv.Itoa(r.pages))
	if last {
		header.Set(messages.HeaderLast, "true")
	}
}

// fail ends the answer with an error.
func (r *reply) fail(fault *messages.Error) {
	r.ended = true
	header := nats.Header{}
	r.head(header)
	r.number(header, true)
	body := r.call.errorMessage(header, fault)
	if err := r.b.replies.check(r.op, header, body); err != nil {
		r.b.t.Errorf("messagestest: the error of %s is not one of crmbridge's: %v", r.op, err)
	}
	r.publish(header, body)
}

func (r *reply) publish(header nats.Header, body []byte) {
	if err := r.b.nc.PublishMsg(&nats.Msg{Subject: r.to, Header: header, Data: body}); err != nil {
		r.b.t.Errorf("messagestest: publish a reply: %v", err)
	}
}

// errorMessage is the body of an error; it adds the headers that go with it.
func (c *call) errorMessage(header nats.Header, fault *messages.Error) []byte {
	const longest = 512
	if strings.TrimSpace(fault.Message) == "" {
		worded := *fault
		worded.Message = fault.Code.Sentence()
		fault = &worded
	}
	sentence := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, fault.Message)
	if len(sentence) > longest {
		sentence = strings.ToValidUTF8(sentence[:longest], "")
	}
	header.Set(messages.HeaderServiceErrorCode, strconv.Itoa(fault.Code.Number()))
	header.Set(messages.HeaderErrorCode, string(fault.Code))
	header.Set(messages.HeaderServiceError, sentence)
	body := messages.ErrorReply{Error: fault}
	body.SetHead(c.requestID, c.connection)
	text := wire(&body)
	if len(text) > int(c.b.nc.MaxPayload())-2*longest {
		short := *fault
		short.Details, short.Dynamics, short.Message = nil, nil, sentence
		body.Error = &short
		text = wire(&body)
	}
	return text
}
