package interactive

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"

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
	span     trace.Span // of the request; nil where none is made
	numbered bool       // parts carry their number; until the body is read, as if it asked for that
	pages    int
	rows     int
	ended    bool
	passed   *messages.Error // the error of a part that was written elsewhere, as the results of a job

	// What is done once, right before the message that ends the answer is published.
	counts  *counts  // so that whoever has the answer finds it there; nil in tests
	request *request // whose slot is free before its requester asks again; nil where it has none
	arrived time.Time
	took    time.Duration // until then

	form *answerHeader // of whoever works on the request; one of its own where that is nil
}

// An answerHeader is the memory in which the headers of answers are written, one after the
// other: the NATS client has copied each when publishing returns.
type answerHeader struct {
	header         nats.Header
	id, page, last [1]string
}

// begin makes it the header of an answer with an id, and nothing of the one before.
func (h *answerHeader) begin(id string) nats.Header {
	if h.header == nil {
		h.header = nats.Header{}
	}
	clear(h.header)
	h.id[0] = id
	h.header[messages.HeaderRequestID] = h.id[:]
	return h.header
}

// number adds the number of a part of an answer to its header, which may be another.
func (h *answerHeader) number(header nats.Header, page int, last bool) {
	h.page[0], h.last[0] = strconv.Itoa(page), "true"
	header[messages.HeaderPage] = h.page[:]
	if last {
		header[messages.HeaderLast] = h.last[:]
	}
}

// forget leaves nothing of the last answer in it.
func (h *answerHeader) forget() {
	clear(h.header)
	h.id, h.page = [1]string{}, [1]string{}
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
		r.pages++
		r.form.number(header, r.pages, p.Last)
	}
	if p.Last {
		r.end(r.passed, r.rows+p.Rows, true)
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
// a failed publish there is no connection for another one. alive says that the request's
// environment is.
func (r *reply) end(fault *messages.Error, rows int, alive bool) {
	r.ended = true
	now := time.Now()
	r.took = now.Sub(r.arrived)
	if r.counts != nil {
		r.counts.count(fault, r, rows)
	}
	if r.request != nil {
		r.request.slots.answers(r.request, alive, now)
	}
}

// alive reports whether a request's environment answers: not where the request ended because
// no answer came.
func alive(fault *messages.Error) bool {
	return fault.Code != messages.DeadlineExceeded && fault.Code != messages.Unavailable
}

// fail ends the answer with an error, shortened until it fits the server's
// max_payload: an error that is not delivered is no answer.
func (r *reply) fail(fault *messages.Error) error {
	r.end(fault, r.rows, alive(fault))
	header := r.header()
	if r.numbered {
		r.pages++
		r.form.number(header, r.pages, true)
	}
	body, err := route.ErrorMessage(r.call, header, fault, int(r.nc.MaxPayload()))
	if err != nil {
		return err
	}
	return r.publish(header, body)
}

// header is that of the next message of the answer, until it is asked for again.
func (r *reply) header() nats.Header {
	if r.form == nil {
		r.form = &answerHeader{}
	}
	header := r.form.begin(r.call.RequestID)
	for name, values := range r.trace {
		header[name] = values
	}
	return header
}

func (r *reply) publish(header nats.Header, body []byte) error {
	err := r.nc.PublishMsg(&nats.Msg{Subject: r.to, Header: header, Data: body})
	if err != nil {
		return messages.Errorf(messages.Unavailable, "the answer could not be published").Because(err)
	}
	return nil
}
