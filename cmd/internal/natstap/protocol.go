package natstap

import (
	"bytes"
	"encoding/json"
	"net/textproto"
	"strconv"
	"strings"
)

// maxLine is the longest line of the protocol that is read: what a client says of itself may have a
// token in it. Beyond it, as in a connection with TLS, the rest is relayed unread.
const maxLine = 64 << 10

// A reader reads what one client sends: lines, of which PUB and HPUB have a message behind them.
type reader struct {
	hear   func(Message)
	client string

	line    []byte // what has come of one
	message Message
	header  int    // bytes of the header that begin the body
	want    int    // bytes of the message that have not come, with the line end behind it
	body    []byte // header and body, as far as they have come
	blind   bool   // this is no NATS, or is encrypted
}

func (r *reader) read(part []byte) {
	for len(part) > 0 && !r.blind {
		if r.want > 0 {
			n := min(r.want, len(part))
			r.body = append(r.body, part[:n]...)
			if r.want -= n; r.want == 0 {
				r.published()
			}
			part = part[n:]
			continue
		}
		end := bytes.IndexByte(part, '\n')
		if end < 0 {
			r.line = append(r.line, part...)
			r.blind = len(r.line) > maxLine
			return
		}
		r.line = append(r.line, part[:end]...)
		r.begin(strings.TrimSuffix(string(r.line), "\r"))
		r.line, part = r.line[:0], part[end+1:]
	}
}

// begin reads a line.
func (r *reader) begin(line string) {
	verb, rest, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "CONNECT":
		var said struct {
			Name string `json:"name"`
			TLS  bool   `json:"tls_required"`
		}
		r.blind = json.Unmarshal([]byte(rest), &said) != nil
		r.client = said.Name
	case "PUB":
		r.publishes(strings.Fields(rest), 1)
	case "HPUB":
		r.publishes(strings.Fields(rest), 2)
	case "SUB", "UNSUB", "PING", "PONG", "":
	default:
		r.blind = true
	}
}

// publishes reads "subject [reply] [bytes of the header] bytes".
func (r *reader) publishes(words []string, sizes int) {
	if len(words) != 1+sizes && len(words) != 2+sizes {
		r.blind = true
		return
	}
	total, err := strconv.Atoi(words[len(words)-1])
	header := 0
	if err == nil && sizes == 2 {
		header, err = strconv.Atoi(words[len(words)-2])
	}
	if r.blind = err != nil || header < 0 || header > total; r.blind {
		return
	}
	r.message = Message{Client: r.client, Subject: words[0]}
	if len(words) == 2+sizes {
		r.message.Reply = words[1]
	}
	r.header, r.want, r.body = header, total+len("\r\n"), make([]byte, 0, total+len("\r\n"))
}

// published hands a whole message on.
func (r *reader) published() {
	message := r.message
	message.Body = r.body[r.header : len(r.body)-len("\r\n")]
	if r.header > 0 {
		message.Header = headerOf(string(r.body[:r.header]))
	}
	r.body = nil
	r.hear(message)
}

// headerOf reads a NATS header: a line with the version, and lines of names and values.
func headerOf(text string) map[string][]string {
	header := map[string][]string{}
	lines := strings.Split(text, "\r\n")
	for _, line := range lines[1:] {
		if name, value, found := strings.Cut(line, ":"); found {
			header[name] = append(header[name], textproto.TrimString(value))
		}
	}
	return header
}
