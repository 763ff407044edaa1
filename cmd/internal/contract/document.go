// Package contract holds messages against the document that crmbridge publishes, AsyncAPI with JSON
// Schemas: [Document] one message, and [Ledger] what the requesters and crmbridges of a test send
// each other. It reads the document with a library that the document is not made with.
package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/klauspost/compress/zstd"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/crmbridge/crmbridge/messages"
)

// A Document is the AsyncAPI document of the tables that it is made for.
type Document struct {
	tables   []messages.Table
	open     func(pointer string) (*jsonschema.Schema, error) // as it is published
	closed   func(pointer string) (*jsonschema.Schema, error) // for what this version sends
	messages map[string]bool
}

// documents are kept: to make one takes longer than most tests.
var documents sync.Map

// Of is the document of all tables, which is the one that is committed, and more.
func Of(more ...messages.Table) (*Document, error) {
	tables := messages.Tables()
	for _, table := range more { // once, however often a test adds it
		if !slices.Contains(messages.TableNames(tables), table.Name) {
			tables = append(tables, table)
		}
	}
	build := sync.OnceValues(func() (*Document, error) {
		text, err := messages.AsyncAPI(tables, "")
		if err != nil {
			return nil, err
		}
		return read(text, tables)
	})
	made, _ := documents.LoadOrStore(strings.Join(messages.TableNames(tables), ","), build)
	return made.(func() (*Document, error))()
}

func read(text []byte, tables []messages.Table) (*Document, error) {
	d := &Document{tables: tables, messages: map[string]bool{}}
	for _, way := range []struct {
		into   *func(string) (*jsonschema.Schema, error)
		change func(map[string]any)
	}{
		{&d.open, func(map[string]any) {}}, {&d.closed, shut},
	} {
		form, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			return nil, err
		}
		components := form.(map[string]any)["components"].(map[string]any)
		way.change(components["schemas"].(map[string]any))
		for name := range components["messages"].(map[string]any) {
			d.messages[name] = true
		}
		const name = "mem:///asyncapi.json"
		compiler := jsonschema.NewCompiler()
		compiler.DefaultDraft(jsonschema.Draft7) // AsyncAPI's schemas are a superset of it
		compiler.AssertFormat()
		if err := compiler.AddResource(name, form); err != nil {
			return nil, err
		}
		var mu sync.Mutex
		*way.into = func(pointer string) (*jsonschema.Schema, error) {
			mu.Lock()
			defer mu.Unlock()
			return compiler.Compile(name + "#" + pointer) // which keeps what it has compiled
		}
	}
	return d, nil
}

// shut closes schemas: what is published lets a newer version add members, and this version adds
// none that is not described. The results of all operations have nothing else in common than what
// the reply of jobs.results describes.
func shut(schemas map[string]any) {
	var walk func(value any)
	walk = func(value any) {
		switch value := value.(type) {
		case map[string]any:
			_, decided := value["additionalProperties"]
			if _, described := value["properties"].(map[string]any); described && !decided && value["type"] == "object" {
				value["additionalProperties"] = false
			}
			for _, inner := range value {
				walk(inner)
			}
		case []any:
			for _, inner := range value {
				walk(inner)
			}
		}
	}
	for name, schema := range schemas {
		if name != "JobResultsReply" {
			walk(schema)
		}
	}
}

// Messages are the names of the document's messages, in order.
func (d *Document) Messages() []string { return slices.Sorted(maps.Keys(d.messages)) }

// Asked holds what a requester sends against a message of the document, accounts.search.request:
// an empty body is an empty object, of several values of a header the first one counts, and an empty
// one is as good as absent. The error says what is not as described.
func (d *Document) Asked(message string, header map[string][]string, body []byte) error {
	given := map[string][]string{}
	for name, values := range header {
		if len(values) > 0 && values[0] != "" {
			given[name] = values[:1]
		}
	}
	if len(bytes.TrimSpace(body)) == 0 {
		body = []byte("{}")
	}
	if bytes.Count(body, []byte(",")) > mostMembers {
		return fmt.Errorf("body: it has more than %d members and elements", mostMembers)
	}
	return d.hold(d.open, message, given, body)
}

// Bounds of what is read, for what a validator makes of it: its errors have the path of each place,
// which in a hostile body take the square of its depth. No message is nearly as deep, and no request
// has nearly as many members: README.md, Bounds.
const (
	mostDepth   = 64
	mostMembers = 5000
)

// Said holds what crmbridge sends against a message of the document, accounts.search.reply.
func (d *Document) Said(message string, header map[string][]string, body []byte) error {
	if encoding := header[messages.HeaderContentEncoding]; slices.Equal(encoding, []string{messages.EncodingZstd}) {
		plain, err := unzip(body)
		if err != nil {
			return fmt.Errorf("body: %w", err)
		}
		body = plain
	}
	return d.hold(d.closed, message, header, body)
}

var decoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
})

func unzip(body []byte) ([]byte, error) {
	reader, err := decoder()
	if err != nil {
		return nil, err
	}
	return reader.DecodeAll(body, nil)
}

func (d *Document) hold(schema func(string) (*jsonschema.Schema, error), message string, header map[string][]string,
	body []byte) error {
	if !d.messages[message] {
		return fmt.Errorf("the document has no message %s", message)
	}
	at := "/components/messages/" + message
	headers, err := headerValues(header)
	if err == nil {
		err = against(schema, at+"/headers", headers)
	}
	if err != nil {
		return fmt.Errorf("headers: %w", err)
	}
	value, err := parse(body)
	if err == nil {
		err = against(schema, at+"/payload", value)
	}
	if err != nil {
		return fmt.Errorf("body: %w", err)
	}
	return nil
}

// parse reads a body as strictly as the contract has it: one JSON value in UTF-8, no member twice.
func parse(body []byte) (any, error) {
	decoder := jsontext.NewDecoder(bytes.NewReader(body))
	for {
		_, err := decoder.ReadToken()
		if err == io.EOF {
			break
		} else if err != nil {
			return nil, errors.New("is no JSON, has a member twice or is not UTF-8")
		}
		if decoder.StackDepth() > mostDepth {
			return nil, fmt.Errorf("is nested deeper than %d levels", mostDepth)
		}
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(body))
}

func against(schema func(string) (*jsonschema.Schema, error), pointer string, value any) error {
	compiled, err := schema(pointer)
	if err != nil {
		return err
	}
	return brief(compiled.Validate(value))
}

// headerValues are the headers that the document speaks of, as an object: those that tell
// JetStream how to store a message are the broker's.
func headerValues(header map[string][]string) (map[string]any, error) {
	values := map[string]any{}
	for name, all := range header {
		switch {
		case brokers[name]:
		case len(all) != 1:
			return nil, fmt.Errorf("%s comes %d times", name, len(all))
		default:
			values[name] = all[0]
		}
	}
	return values, nil
}

// brokers are the headers by which crmbridge tells JetStream how to store a message.
var brokers = map[string]bool{
	"Nats-Expected-Last-Subject-Sequence": true, "Nats-Expected-Stream": true,
	"Nats-Batch-Id": true, "Nats-Batch-Sequence": true, "Nats-Batch-Commit": true,
}

// brief is a validation error in a few lines, with the places in the value and no values.
func brief(err error) error {
	invalid, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return err
	}
	var leaves []string
	var walk func(e *jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		for _, cause := range e.Causes {
			walk(cause)
		}
		if len(e.Causes) == 0 {
			kind, _ := json.Marshal(e.ErrorKind.KeywordPath())
			leaves = append(leaves, fmt.Sprintf("/%s %s", strings.Join(e.InstanceLocation, "/"), kind))
		}
	}
	walk(invalid)
	slices.Sort(leaves)
	leaves = slices.Compact(leaves)
	if len(leaves) > 8 {
		leaves = append(leaves[:8], "…")
	}
	return &Invalid{strings.Join(leaves, "; ")}
}

// Invalid says where a message is not as its schema wants it.
type Invalid struct{ Places string }

func (e *Invalid) Error() string { return "not as the schema has it: " + e.Places }
