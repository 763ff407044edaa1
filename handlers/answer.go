package handlers

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/messages"
)

// A part is one message of an answer. Most answers have one.
type part struct {
	body []byte
	rows int
	last bool
}

// An answer is what is said to one requester: some parts and an end, or an error
// as the end. It knows whether it has ended, so that it ends once.
type answer struct {
	nc    *nats.Conn
	to    string
	call  *call
	pages int
	rows  int
	ended bool

	// account is called once, right before the message that ends the answer is
	// published, so that whoever has the answer finds it in the counts.
	account func(fault *messages.Error, rows int)
}

// headerRoom is what crmbridge's own headers of a reply can take beside the
// request id and the trace context, in bytes.
const headerRoom = 128

// minBudget keeps room for an error on servers with a tiny max_payload.
const minBudget = 256

// replyBudget is how many bytes the body of a reply to c may have, so that with
// its headers it fits the server's max_payload.
func replyBudget(maxPayload int64, c *call) int {
	headers := headerRoom + len(messages.HeaderRequestID) + len(c.requestID)
	for name, values := range c.trace {
		headers += len(name) + len(values[0]) + len(": \r\n")
	}
	return max(int(maxPayload)-headers, minBudget)
}

// send publishes one part.
func (a *answer) send(p part) error {
	if len(p.body) > a.call.budget {
		return messages.Errorf(messages.TooLarge,
			"the answer has %d bytes and the NATS server takes %d in one message; ask for fewer fields or rows", len(p.body), a.call.budget)
	}
	header := a.header()
	if a.call.streams {
		a.number(header, p.last)
	}
	a.rows += p.rows
	if p.last {
		a.end(nil)
	}
	return a.publish(header, p.body)
}

// end marks the answer as ended, whether or not its last message goes out: after
// a failed publish there is no connection to say more on.
func (a *answer) end(fault *messages.Error) {
	a.ended = true
	a.account(fault, a.rows)
}

// fail ends the answer with an error.
func (a *answer) fail(fault *messages.Error) error {
	header := a.header()
	header.Set(messages.HeaderServiceErrorCode, strconv.Itoa(fault.Code.Number()))
	header.Set(messages.HeaderErrorCode, string(fault.Code))
	if a.call.streams {
		a.number(header, true)
	}
	body, err := errorBody(a.call, fault)
	if err != nil {
		return err
	}
	room := a.call.budget + headerRoom - len(body) - 64
	header.Set(messages.HeaderServiceError, headerText(fault.Message, min(room, 512)))
	a.end(fault)
	return a.publish(header, body)
}

func (a *answer) header() nats.Header {
	header := nats.Header{}
	for name, values := range a.call.trace {
		header[name] = values
	}
	header.Set(messages.HeaderRequestID, a.call.requestID)
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
		return fmt.Errorf("publish the answer: %w", err)
	}
	return nil
}

// errorBody encodes an error so that it fits: what Dataverse said and the
// details go before the code and the message do.
func errorBody(c *call, fault *messages.Error) ([]byte, error) {
	reply := messages.ErrorReply{Error: fault}
	reply.SetHead(c.requestID, c.connection)
	body, err := json.Marshal(&reply)
	room := c.budget - 512 // the message stands in a header too
	if err == nil && len(body) > max(room, minBudget) {
		short := *fault
		short.Details, short.Dynamics = nil, nil
		short.Message = headerText(fault.Message, 200)
		reply.Error = &short
		body, err = json.Marshal(&reply)
	}
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
