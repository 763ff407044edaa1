package contract

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// An Example is a JSON object in a text that people read: a document, a script, a help text.
type Example struct {
	Line int
	JSON string
	// Message is the message of the document that the text says it is the body of, "" where it says
	// none. Where is true for a filter.
	Message string
	Where   bool
}

var (
	// fence begins or ends a block of a document. A block of JSON says what it is: an operation with
	// request, job or reply, or where, error, event or record.
	fence = regexp.MustCompile("^```(?:json ([a-z_.]+)(?: ([a-z]+))?)?")
	// subject is where a command sends what stands behind it.
	subject = regexp.MustCompile(`crm\.([a-z_]+\.[a-z_]+)\.(request|job)((?:\.[A-Za-z0-9_$*<>-]+)*)`)
	// operation is how a program of the examples names what it asks for.
	operation = regexp.MustCompile(`\bask(?: |\(nc, ")([a-z_]+\.[a-z_]+)(?:"| )`)
)

// Examples finds the objects in a text that are JSON, with one member or more, from the outside in.
// What is code in another language with braces is none.
func Examples(text string) (found []Example) {
	kind, where := "", false
	context := ""
	for at := 0; at < len(text); {
		end := strings.IndexByte(text[at:], '\n') + 1
		if end == 0 {
			end = len(text) - at
		}
		now := text[at : at+end]
		if m := fence.FindStringSubmatch(now); m != nil {
			kind, where = "", m[1] == "where"
			switch {
			case m[2] != "":
				kind = m[1] + "." + m[2]
			case !where:
				kind = m[1]
			}
		}
		if !strings.HasSuffix(strings.TrimSpace(context), `\`) {
			context = ""
		}
		context += now
		next := at + end
		for from := 0; from < end; from++ {
			if text[at+from] != '{' {
				continue
			}
			length := object(text[at+from:])
			if length == 0 {
				continue
			}
			line := 1 + strings.Count(text[:at+from], "\n")
			e := Example{Line: line, JSON: text[at+from : at+from+length], Message: kind, Where: where}
			if kind == "" && !where {
				before := context[:len(context)-len(now)] + now[:from]
				e.Message = said(before)
				e.Where = e.Message == "" && isWhere.MatchString(e.JSON)
			}
			found = append(found, e)
			if from += length - 1; from >= end { // it ends on another line
				next = at + from + 1
			}
		}
		at = next
	}
	return found
}

// said is the message that the last subject or operation before an object stands for.
func said(before string) string {
	message, at := "", -1
	for _, m := range subject.FindAllStringSubmatchIndex(before, -1) {
		op, lane, scope := before[m[2]:m[3]], before[m[4]:m[5]], before[m[6]:m[7]]
		switch at = m[0]; {
		case lane == "job":
			message = op + ".job"
		case scope == "":
			message = op + ".plain.request"
		default:
			message = op + ".request"
		}
	}
	for _, m := range operation.FindAllStringSubmatchIndex(before, -1) {
		if m[0] > at {
			message = before[m[2]:m[3]] + ".request"
		}
	}
	return message
}

// isWhere is how a node of a filter begins.
var isWhere = regexp.MustCompile(`^\{\s*"(and|or|not|field)":`)

// object is how long the JSON object is that text begins with, 0 where that is none or an empty one.
func object(text string) int {
	decoder := jsontext.NewDecoder(bytes.NewReader([]byte(text)))
	value, err := decoder.ReadValue()
	if err != nil || len(bytes.TrimSpace(value[1:len(value)-1])) == 0 {
		return 0
	}
	return int(decoder.InputOffset())
}

// Shown holds an example against the document: replies with no members that there are not. An
// operation without a message for its plain subject has one for both.
func (d *Document) Shown(e Example) error {
	message, body := e.Message, e.JSON
	if e.Where {
		message, body = "accounts.search.request", `{"where":`+e.JSON+`}`
	}
	if plain, found := strings.CutSuffix(message, ".plain.request"); found && !d.messages[message] {
		message = plain + ".request"
	}
	if !d.messages[message] {
		return fmt.Errorf("the document has no message %q", message)
	}
	value, err := parse([]byte(body))
	if err != nil {
		return err
	}
	return against(d.closed, "/components/messages/"+message+"/payload", value)
}
