package interactive

import (
	"log/slog"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/messages"
)

// deny answers a request that is refused. All of a flood is answered, so this makes the
// message that an error of an operation would be in much less time.
func (c *Consumer) deny(d denial) {
	defer c.survive(d.e.operation)
	defer c.work.Done()
	fault := d.why.fault()
	c.metrics.refuse(string(d.why.code))
	call, _ := newCall(d.e.operation, d.msg, d.arrived)
	if call.Connection == "" {
		call.Connection = strings.TrimPrefix(d.queue.name, queueName(d.e, ""))
	}
	var reply reply
	c.begins(&reply, d.e, d.msg, &call, d.arrived)
	c.form.publish(&reply, fault) // where it does not, finish does
	c.finish(&reply, fault)
}

// undeniable counts a request that could not even be refused: NATS takes the refusals
// more slowly than the flood arrives.
func (c *Consumer) undeniable(d denial) {
	defer c.work.Done()
	c.metrics.unanswered.Inc()
	c.metrics.refuse(string(d.why.code))
	c.journal.note(slog.LevelWarn, "requests not answered: refusals come faster than NATS takes them",
		d.e.operation, messages.ConnectionFromSubject(d.msg.Subject), unanswered)
}

// fault is the error that the requester gets.
func (v verdict) fault() *messages.Error {
	switch v.code {
	case messages.DeadlineExceeded:
		return messages.Errorf(v.code, "the request's deadline passed before it could be begun")
	case messages.Unavailable:
		return messages.Errorf(v.code, "this process is stopping; send the request again").After(v.retryAfter)
	default:
		return messages.Errorf(v.code, "this process has too many requests in flight, or too many of this "+
			"connection; try again").After(v.retryAfter)
	}
}

// A denialForm is the memory in which refusals are written: one goroutine writes them one
// after the other, and the NATS client has copied each when publishing returns.
type denialForm struct {
	header nats.Header
	body   []byte
}

// mostOfDenial is more than such a message can take, headers included: a request id, a
// trace context, a connection and a sentence.
const mostOfDenial = 4 << 10

// publish ends an answer with an error without details. It does nothing where the
// message has to be shortened for the server's max_payload.
func (f *denialForm) publish(reply *reply, fault *messages.Error) {
	if reply.nc.MaxPayload() < mostOfDenial {
		return
	}
	f.fill(reply, fault)
	reply.end(fault, 0, false)
	_ = reply.publish(f.header, f.body) // a connection that is gone has nobody to tell
}

func (f *denialForm) set(name, value string) {
	if values := f.header[name]; values != nil {
		values[0] = value
		return
	}
	f.header[name] = []string{value}
}

func (f *denialForm) fill(reply *reply, fault *messages.Error) {
	if f.header == nil {
		f.header = nats.Header{}
	}
	f.set(messages.HeaderRequestID, reply.call.RequestID)
	f.set(messages.HeaderErrorCode, string(fault.Code))
	f.set(messages.HeaderServiceErrorCode, strconv.Itoa(fault.Code.Number()))
	f.set(messages.HeaderServiceError, fault.Message)
	for _, name := range []string{messages.HeaderTraceParent, messages.HeaderTraceState} {
		if values := reply.trace[name]; values != nil {
			f.set(name, values[0])
		} else {
			delete(f.header, name)
		}
	}
	if reply.numbered {
		f.set(messages.HeaderPage, "1")
		f.set(messages.HeaderLast, "true")
	} else {
		delete(f.header, messages.HeaderPage)
		delete(f.header, messages.HeaderLast)
	}

	body := append(f.body[:0], `{"request_id":`...)
	body, _ = jsontext.AppendQuote(body, reply.call.RequestID) // what is not UTF-8 is no request id
	if reply.call.Connection != "" {
		body = append(body, `,"connection":"`...)
		body = append(body, reply.call.Connection...)
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
