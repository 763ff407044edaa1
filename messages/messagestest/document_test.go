package messagestest_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/messages/messagestest"
)

// What is published on subjects of crmbridge's own (events, results, records, dead letters) is
// what the AsyncAPI document says: body and headers.
func TestMessagesAreThoseOfTheDocument(t *testing.T) {
	text, err := messages.AsyncAPI(messages.Tables(), "test")
	if err != nil {
		t.Fatal(err)
	}
	var document map[string]any
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft7)
	if err := compiler.AddResource("mem:///asyncapi.json", document); err != nil {
		t.Fatal(err)
	}

	bridge := messagestest.New(t)
	nc := bridge.Conn()
	heard, err := nc.SubscribeSync("crm.*.*.>")
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	client := bridge.Client()
	connection := bridge.Connect("acme", companies(12))
	bridge.Fail(messagestest.Fault{JobID: "failed", Skip: 1, Error: messagestest.Code(messages.TooLarge, 0)})
	bridge.Fail(messagestest.Fault{JobID: "waited", Skip: 1,
		Error: messagestest.Code(messages.Throttled, time.Millisecond)})
	for _, id := range []string{"done", "failed", "waited"} {
		publish(t, client, id, messages.JobPublication{})
		_, _ = read(t, client, id, messages.ResultsOptions{}) // one of them fails
	}
	connection.Revoke()
	if err := client.Delete(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	met := map[string]int{}
	for met["events deleted"] == 0 {
		msg, err := heard.NextMsg(time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		kind := described(msg)
		if kind == "" {
			continue
		}
		met[kind]++
		if strings.HasPrefix(kind, "events") {
			kind = "event"
		}
		if err := valid(compiler, document, kind, msg); err != nil {
			t.Errorf("%s: %s is no %s: %v\n%v", msg.Subject, msg.Data, kind, err, msg.Header)
		}
	}
	for kind, least := range map[string]int{"events connected": 1, "events reauthorization_required": 1, "record": 6,
		"accounts.search.result": 5, "dead-letter": 1, "job-error": 1} {
		if met[kind] < least {
			t.Errorf("%d of %s came, want %d: %v", met[kind], kind, least, met)
		}
	}
}

// described is the message that the document has for one, "" for requests and jobs.
func described(msg *nats.Msg) string {
	parts := strings.Split(msg.Subject, ".")
	switch parts[1] {
	case "events":
		return "events " + parts[3]
	case "state":
		return "record"
	case "dead":
		return "dead-letter"
	case "results":
		if msg.Header.Get(messages.HeaderErrorCode) != "" {
			return "job-error"
		}
		return "accounts.search.result"
	}
	return ""
}

func valid(compiler *jsonschema.Compiler, document map[string]any, name string, msg *nats.Msg) error {
	all := document["components"].(map[string]any)["messages"].(map[string]any)
	message, there := all[name].(map[string]any)
	if !there {
		return fmt.Errorf("the document has no message of this name, but %q", slices.Sorted(maps.Keys(all)))
	}
	headers := map[string]any{}
	for header := range msg.Header {
		headers[header] = msg.Header.Get(header)
	}
	for part, value := range map[string]any{"headers": headers, "payload": nil} {
		if message[part] == nil {
			continue
		}
		if part == "payload" {
			if err := json.Unmarshal(msg.Data, &value); err != nil {
				return err
			}
		}
		schema, err := compiler.Compile("mem:///asyncapi.json#/components/messages/" + name + "/" + part)
		if err != nil {
			return err
		}
		if err := schema.Validate(value); err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
	}
	return nil
}
