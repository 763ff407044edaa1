package interactive

import (
	"log/slog"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/messages"
)

// deny answers a request that is not worked on. A flood is answered in full, so this
// makes the same message as an error of an operation has in much less time.
func (c *Consumer) deny(d denial) {
	defer c.survive(d.e.operation)
	defer c.work.Done()
	fault := d.why.fault()
	call, _ := newCall(d.e.operation, d.msg, d.arrived)
	if call.Connection == "" {
		call.Connection = strings.TrimPrefix(d.line.name, lineName(d.e, ""))
	}
	say := c.say(d.e, d.msg, call, d.arrived)
	c.form.publish(say, fault) // what it cannot is left to finish
	c.finish(d.e, say, fault, d.arrived)
}

// undeniable counts a request that could not even be refused: NATS takes the answers
// more slowly than the flood comes.
func (c *Consumer) undeniable(d denial) {
	defer c.work.Done()
	c.metrics.unanswered.Inc()
	c.journal.note(slog.LevelWarn, "requests not answered: refusals come faster than NATS takes them",
		d.e.operation, messages.ConnectionFromSubject(d.msg.Subject), unanswered)
}

// fault is what the requester is told.
func (v verdict) fault() *messages.Error {
	switch v.code {
	case messages.DeadlineExceeded:
		return messages.Errorf(v.code, "the request's deadline passed before it could be begun")
	case messages.Unavailable:
		return messages.Errorf(v.code, "this process is stopping; send the request again").After(v.patience)
	default:
		return messages.Errorf(v.code, "this process has too many requests in hand, or too many of this connection; try again").After(v.patience)
	}
}

// A denialForm is the memory of messages that refuse: one goroutine writes them one
// after the other, and NATS has copied each when its publishing returns.
type denialForm struct {
	header nats.Header
	body   []byte
}

// mostOfDenial is more than such a message can take, headers included: a request id, a
// trace context, a connection and a sentence.
const mostOfDenial = 4 << 10

// publish ends an answer with an error without details. It does nothing where the
// message has to be shortened for the server's max_payload.
func (f *denialForm) publish(say *answer, fault *messages.Error) {
	if say.nc.MaxPayload() < mostOfDenial {
		return
	}
	f.fill(say, fault)
	say.end(fault, 0)
	_ = say.publish(f.header, f.body) // a connection that is gone has nobody to tell
}

func (f *denialForm) set(name, value string) {
	if values := f.header[name]; values != nil {
		values[0] = value
		return
	}
	f.header[name] = []string{value}
}

func (f *denialForm) fill(say *answer, fault *messages.Error) {
	if f.header == nil {
		f.header = nats.Header{}
	}
	f.set(messages.HeaderRequestID, say.call.RequestID)
	f.set(messages.HeaderErrorCode, string(fault.Code))
	f.set(messages.HeaderServiceErrorCode, strconv.Itoa(fault.Code.Number()))
	f.set(messages.HeaderServiceError, fault.Message)
	for _, name := range []string{messages.HeaderTraceParent, messages.HeaderTraceState} {
		if values := say.trace[name]; values != nil {
			f.set(name, values[0])
		} else {
			delete(f.header, name)
		}
	}
	if say.numbered {
		f.set(messages.HeaderPage, "1")
		f.set(messages.HeaderLast, "true")
	} else {
		delete(f.header, messages.HeaderPage)
		delete(f.header, messages.HeaderLast)
	}

	body := append(f.body[:0], `{"request_id":`...)
	body, _ = jsontext.AppendQuote(body, say.call.RequestID) // what is not UTF-8 is no request id
	if say.call.Connection != "" {
		body = append(body, `,"connection":"`...)
		body = append(body, say.call.Connection...)
		body = append(body, '"')
	}
	body = append(body, `,"error":{"code":"`...)
	body = append(body, fault.Code...)
	body = append(body, `","message":`...)
	body, _ = jsontext.AppendQuote(body, fault.Message)
	body = append(body, `,"retryable":`...)
	body = strconv.AppendBool(body, fault.Retryable)
	if fault.RetryAfterMS != 0 {
		body = append(body, `,"retry_after_ms":`...)
		body = strconv.AppendInt(body, fault.RetryAfterMS, 10)
	}
	f.body = append(body, "}}"...)
}
