package interactive

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// An answer is what is said to one requester: some parts and an end, or an error
// as the end. It knows whether it has ended, so that it ends once.
type answer struct {
	nc       *nats.Conn
	to       string
	call     route.Call
	trace    nats.Header
	numbered bool // also until it is known that the requester asked for no numbers
	pages    int
	rows     int
	ended    bool

	// account is called once, right before the message that ends the answer is
	// published, so that whoever has the answer finds it in the counts.
	account func(fault *messages.Error, rows int)
}

// headerRoom is what crmbridge's own headers of a reply can take beside the
// request id and the trace context, in bytes.
const headerRoom = 128

// leastSentence is what is left of an error's message, in bytes, however little room
// there is.
const leastSentence = 16

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
func (a *answer) send(p route.Part) error {
	if len(p.Body) > a.call.Budget {
		return messages.Errorf(messages.TooLarge,
			"the answer has %d bytes and the NATS server takes %d in one message; ask for fewer fields or rows", len(p.Body), a.call.Budget)
	}
	header := a.header()
	if a.numbered {
		a.number(header, p.Last)
	}
	if p.Last {
		a.end(nil, a.rows+p.Rows)
	}
	if err := a.publish(header, p.Body); err != nil {
		return err
	}
	a.rows += p.Rows
	return nil
}

// end marks the answer as ended, whether or not its last message goes out: after
// a failed publish there is no connection to say more on.
func (a *answer) end(fault *messages.Error, rows int) {
	a.ended = true
	a.account(fault, rows)
}

// fail ends the answer with an error, shortened until it fits the server's
// max_payload: an error that is not delivered is no answer.
func (a *answer) fail(fault *messages.Error) error {
	a.end(fault, a.rows)
	if a.numbered {
		a.pages++
	}
	if strings.TrimSpace(headerText(fault.Message, len(fault.Message))) == "" { // no answer leaves without a sentence
		said := *fault
		said.Message = fault.Code.Sentence()
		fault = &said
	}
	var header nats.Header
	var body []byte
	for _, room := range []int{512, 128, 32, 0} {
		var err error
		header = a.errorHeader(fault, room)
		if body, err = errorBody(a.call, fault, room); err != nil {
			return err
		}
		if int64(headerSize(header)+len(body)) <= a.nc.MaxPayload() {
			break
		}
	}
	return a.publish(header, body)
}

// errorHeader is the header of an error; room is how much of its message and of
// the trace context there is room for.
func (a *answer) errorHeader(fault *messages.Error, room int) nats.Header {
	header := a.header()
	if room < 512 {
		header.Del(messages.HeaderTraceParent)
		header.Del(messages.HeaderTraceState)
	}
	header.Set(messages.HeaderServiceErrorCode, strconv.Itoa(fault.Code.Number()))
	header.Set(messages.HeaderErrorCode, string(fault.Code))
	header.Set(messages.HeaderServiceError, headerText(fault.Message, max(room, leastSentence)))
	if a.numbered {
		header.Set(messages.HeaderPage, strconv.Itoa(a.pages))
		header.Set(messages.HeaderLast, "true")
	}
	return header
}

// headerSize is what a header takes on the wire.
func headerSize(header nats.Header) int {
	size := len("NATS/1.0\r\n\r\n")
	for name, values := range header {
		for _, value := range values {
			size += len(name) + len(value) + len(": \r\n")
		}
	}
	return size
}

func (a *answer) header() nats.Header {
	header := nats.Header{}
	for name, values := range a.trace {
		header[name] = values
	}
	header.Set(messages.HeaderRequestID, a.call.RequestID)
	return header
}

func (a *answer) number(header nats.Header, last bool) {
	a.pages++
	header.Set(messages.HeaderPage, strconv.Itoa(a.pages))
	if last {
		header.Set(messages.HeaderLast, "true")
	}
}

func (a *answer) publish(header nats.Header, body []byte) error {
	err := a.nc.PublishMsg(&nats.Msg{Subject: a.to, Header: header, Data: body})
	if err != nil {
		return messages.Errorf(messages.Unavailable, "the answer could not be published").Because(err)
	}
	return nil
}

// errorBody encodes an error; below full room what Dataverse said and the details
// go before the code and the message do.
func errorBody(c route.Call, fault *messages.Error, room int) ([]byte, error) {
	reply := messages.ErrorReply{Error: fault}
	reply.SetHead(c.RequestID, c.Connection)
	if room < 512 {
		short := *fault
		short.Details, short.Dynamics = nil, nil
		short.Message = headerText(fault.Message, max(room, leastSentence))
		reply.Error = &short
	}
	body, err := json.Marshal(&reply)
	if err != nil {
		return nil, fmt.Errorf("encode the error: %w", err)
	}
	return body, nil
}

// headerText makes text fit for a header: one line of at most room bytes.
func headerText(text string, room int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
	if room = max(room, 0); len(text) <= room {
		return text
	}
	text = text[:room]
	for len(text) > 0 && !utf8.ValidString(text) {
		text = text[:len(text)-1]
	}
	return text
}
