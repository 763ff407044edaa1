package route

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/crmbridge/crmbridge/messages"
)

// A Header is that of a message, by name as it was sent.
type Header = map[string][]string

// NewRequestID makes the id of a request that came now without one: a UUID of version 7
// (RFC 9562, section 5.7) with 74 random bits. It is no secret: the requester and Microsoft
// get it, and nobody gains anything by it. So the runtime's generator will do, which
// needs no system call and no lock.
func NewRequestID(now time.Time) string {
	const (
		version = 7 << 12
		variant = 1 << 63 // the two highest bits are 10
	)
	var id uuid.UUID
	random := rand.Uint64()
	binary.BigEndian.PutUint64(id[:8], uint64(now.UnixMilli())<<16|version|random>>52)
	binary.BigEndian.PutUint64(id[8:], variant|rand.Uint64()>>2)
	return id.String()
}

// longestTrace is how long a header of a trace may be. W3C asks for room for 512
// characters of tracestate; what is longer is dropped.
const longestTrace = 512

// Trace keeps the W3C trace context of a request for its replies; nil where it has none.
func Trace(in Header) Header {
	if len(in) == 0 {
		return nil
	}
	var out Header
	for _, name := range [...]string{messages.HeaderTraceParent, messages.HeaderTraceState} {
		value := headerFold(in, name)
		if value != "" && len(value) <= longestTrace && !strings.ContainsAny(value, "\r\n") {
			if out == nil {
				out = Header{}
			}
			out[name] = []string{value}
		}
	}
	return out
}

// headerFold finds a header whatever its case: NATS keeps it as it was sent, and
// W3C names are lower-case while many libraries write Traceparent.
func headerFold(in Header, name string) string {
	for key, values := range in {
		if len(values) > 0 && strings.EqualFold(key, name) {
			return values[0]
		}
	}
	return ""
}

// HeaderSize is what a header takes on the wire.
func HeaderSize(header Header) int {
	size := len("NATS/1.0\r\n\r\n")
	for name, values := range header {
		for _, value := range values {
			size += len(name) + len(value) + len(": \r\n")
		}
	}
	return size
}

// HeaderText makes text fit for a header: one line of at most room bytes.
func HeaderText(text string, room int) string {
	text = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
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

const (
	// fullRoom is the room for an error's message at which nothing of it is left out.
	fullRoom = 512
	// leastSentence is what is left of an error's message, in bytes, however little room
	// there is.
	leastSentence = 16
)

// ErrorMessage writes an error as a message of at most most bytes: its body, and what an
// error adds to header. It is shortened until it fits: an error that is not delivered is no
// answer. Below full room what Dataverse said, the details and the trace context go before
// the code and the message do.
func ErrorMessage(c Call, header Header, fault *messages.Error, most int) (body []byte, err error) {
	if strings.TrimSpace(HeaderText(fault.Message, len(fault.Message))) == "" { // none leaves without a sentence
		worded := *fault
		worded.Message = fault.Code.Sentence()
		fault = &worded
	}
	for _, room := range []int{fullRoom, 128, 32, 0} {
		if room < fullRoom {
			delete(header, messages.HeaderTraceParent)
			delete(header, messages.HeaderTraceState)
		}
		ErrorHeader(header, fault, room)
		if body, err = errorBody(c, fault, room); err != nil {
			return nil, err
		}
		if HeaderSize(header)+len(body) <= most {
			break
		}
	}
	return body, nil
}

// ErrorHeader adds to a header what an error has there: its number, code and message, the
// latter in room bytes.
func ErrorHeader(header Header, fault *messages.Error, room int) {
	header[messages.HeaderServiceErrorCode] = []string{strconv.Itoa(fault.Code.Number())}
	header[messages.HeaderErrorCode] = []string{string(fault.Code)}
	header[messages.HeaderServiceError] = []string{HeaderText(fault.Message, max(room, leastSentence))}
}

func errorBody(c Call, fault *messages.Error, room int) ([]byte, error) {
	out := messages.ErrorReply{Error: fault}
	out.SetHead(c.RequestID, c.Connection)
	if room < fullRoom {
		short := *fault
		short.Details, short.Dynamics = nil, nil
		short.Message = HeaderText(fault.Message, max(room, leastSentence))
		out.Error = &short
	}
	body, err := json.Marshal(&out)
	if err != nil {
		return nil, fmt.Errorf("encode the error: %w", err)
	}
	return body, nil
}

// Level marks what an operator should look at, defects and set-up faults, in the log line of
// an answer.
func Level(fault *messages.Error) slog.Level {
	if fault == nil {
		return slog.LevelInfo
	}
	switch fault.Code {
	case messages.Internal, messages.ConfigurationError:
		return slog.LevelError
	case messages.UpstreamError, messages.Unavailable, messages.Overloaded:
		return slog.LevelWarn
	default:
		return slog.LevelInfo
	}
}

// CodeOf is the error's code in logs and metrics, ok for none.
func CodeOf(fault *messages.Error) string {
	if fault == nil {
		return "ok"
	}
	return string(fault.Code)
}
