package interactive

import (
	"maps"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// A reply publishes the answer to one request: parts, of which the last or an error is the
// end. It ends once.
type reply struct {
	nc       *nats.Conn
	to       string
	call     route.Call
	trace    nats.Header
	numbered bool // parts carry their number; until the body is read, as if it asked for that
	pages    int
	rows     int
	ended    bool
	passed   *messages.Error // the error of a part that was written elsewhere, as the results of a job

	// count is called once, right before the message that ends the answer is published, so
	// that whoever has the answer finds it in the counts.
	count func(fault *messages.Error, rows int)
}

// headerRoom is how many bytes crmbridge's own headers of a reply can take, without the
// request id and the trace context.
const headerRoom = 128

// minBudget keeps room for an error on servers with a tiny max_payload.
const minBudget = 256

// replyBudget is how many bytes the body of a reply may have, so that with
// its headers it fits the server's max_payload.
func replyBudget(maxPayload int64, requestID string, trace nats.Header) int {
	headers := headerRoom + len(messages.HeaderRequestID) + len(requestID)
	for name, values := range trace {
		headers += len(name) + len(values[0]) + len(": \r\n")
	}
	return max(int(maxPayload)-headers, minBudget)
}

// send publishes one part. Parts are numbered where the request asked for a
// sequence of them.
func (r *reply) send(p route.Part) error {
	header, err := r.partHeader(p)
	if err != nil {
		return err
	}
	if r.numbered {
		r.number(header, p.Last)
	}
	if p.Last {
		r.end(r.passed, r.rows+p.Rows)
	}
	if err := r.publish(header, p.Body); err != nil {
		return err
	}
	r.rows += p.Rows
	return nil
}

// partHeader is the header of a part that fits into one message with it.
func (r *reply) partHeader(p route.Part) (nats.Header, error) {
	if p.Header == nil {
		if len(p.Body) > r.call.Budget {
			return nil, messages.Errorf(messages.TooLarge,
				"the answer has %d bytes and the NATS server takes %d in one message; ask for fewer fields or rows",
				len(p.Body), r.call.Budget)
		}
		return r.header(), nil
	}
	header := nats.Header{}
	maps.Copy(header, p.Header)
	maps.Copy(header, r.header())
	if code := messages.Code(header.Get(messages.HeaderErrorCode)); code != "" {
		if !slices.Contains(messages.Codes(), code) { // whoever wrote it: counts have a closed list of codes
			code = messages.Internal
		}
		r.passed = messages.Errorf(code, "%s", header.Get(messages.HeaderServiceError))
	}
	if int64(route.HeaderSize(header)+len(p.Body)) > r.nc.MaxPayload() {
		header.Del(messages.HeaderTraceParent)
		header.Del(messages.HeaderTraceState)
	}
	if size := int64(route.HeaderSize(header) + len(p.Body)); size > r.nc.MaxPayload() {
		r.passed = nil
		return nil, messages.Errorf(messages.TooLarge,
			"the stored message has %d bytes with its headers and the NATS server takes %d in one message; read it "+
				"from the stream", size, r.nc.MaxPayload())
	}
	return header, nil
}

// end marks the answer as ended, whether or not its last message goes out: after
// a failed publish there is no connection for another one.
func (r *reply) end(fault *messages.Error, rows int) {
	r.ended = true
	r.count(fault, rows)
}

// fail ends the answer with an error, shortened until it fits the server's
// max_payload: an error that is not delivered is no answer.
func (r *reply) fail(fault *messages.Error) error {
	r.end(fault, r.rows)
	if r.numbered {
		r.pages++
	}
	header := r.header()
	if r.numbered {
		header.Set(messages.HeaderPage, strconv.Itoa(r.pages))
		header.Set(messages.HeaderLast, "true")
	}
	body, err := route.ErrorMessage(r.call, header, fault, int(r.nc.MaxPayload()))
	if err != nil {
		return err
	}
	return r.publish(header, body)
}

func (r *reply) header() nats.Header {
	header := nats.Header{}
	for name, values := range r.trace {
		header[name] = values
	}
	header.Set(messages.HeaderRequestID, r.call.RequestID)
	return header
}

func (r *reply) number(header nats.Header, last bool) {
	r.pages++
	header.Set(messages.HeaderPage, strconv.Itoa(r.pages))
	if last {
		header.Set(messages.HeaderLast, "true")
	}
}

func (r *reply) publish(header nats.Header, body []byte) error {
	err := r.nc.PublishMsg(&nats.Msg{Subject: r.to, Header: header, Data: body})
	if err != nil {
		return messages.Errorf(messages.Unavailable, "the answer could not be published").Because(err)
	}
	return nil
}
