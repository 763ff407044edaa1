package messages_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/crmbridge/crmbridge/messages"
)

// In this order: the types are made of the document.
//go:generate go test -run ^(TestTheCommittedDocument|TestTablesAreDocumented|TestTypesAreMadeOfTheDocument)$ -update .

// documentFile is the document with all tables, for who has no crmbridge to ask.
const documentFile = "asyncapi.json"

// asyncDocument is the AsyncAPI document of these tables.
func asyncDocument(t *testing.T, tables []messages.Table, of ...messages.Operation) (text []byte,
	parsed map[string]any) {
	t.Helper()
	text, err := messages.AsyncAPI(tables, "unreleased", of...)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &parsed); err != nil {
		t.Fatal(err)
	}
	return text, parsed
}

func TestTheCommittedDocument(t *testing.T) {
	text, _ := asyncDocument(t, messages.Tables())
	text = append(text, '\n')
	if *update {
		if err := os.WriteFile(documentFile, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile(documentFile); err != nil || !bytes.Equal(have, text) {
		t.Errorf("%s is stale (%v): go generate ./messages", documentFile, err)
	}
}

// member follows a path through objects.
func member(t *testing.T, value any, path ...string) any {
	t.Helper()
	for i, name := range path {
		within, ok := value.(map[string]any)
		if !ok || within[name] == nil {
			t.Fatalf("there is no %s", strings.Join(path[:i+1], "/"))
		}
		value = within[name]
	}
	return value
}

// Every operation can be asked on both of its subjects, its reply has no address, and what may be
// a job has a channel with results.
func TestOperationsOfTheDocument(t *testing.T) {
	tables := []messages.Table{messages.Accounts, messages.Leads}
	_, doc := asyncDocument(t, tables)
	addresses := map[string]bool{}
	for name, channel := range member(t, doc, "channels").(map[string]any) {
		address, has := channel.(map[string]any)["address"]
		if !has {
			t.Errorf("channel %s says nothing of its address", name)
		}
		text, _ := address.(string)
		if addresses[text] = true; (address == nil) != strings.HasSuffix(name, ".reply") {
			t.Errorf("channel %s has the address %v", name, address)
		}
	}
	for _, op := range messages.Operations(tables) {
		wanted := []string{op.Subject(), op.ScopedSubject("{connection}")}
		if op.MayBeJob(tables) {
			wanted = append(wanted, op.JobSubject("{connection}", "{job_id}"))
		}
		for _, address := range wanted {
			if !addresses[address] {
				t.Errorf("%s: nothing is at %s", op, address)
			}
		}
		for _, name := range []string{string(op), string(op) + ".scoped"} {
			operation := member(t, doc, "operations", name).(map[string]any)
			if to := member(t, operation, "reply", "channel", "$ref"); to != "#/channels/"+string(op)+".reply" {
				t.Errorf("%s is answered on %v", name, to)
			}
			if reply := member(t, operation, "reply").(map[string]any); reply["address"] != nil {
				t.Errorf("%s: a reply's address is in no header and no body: %v", name, reply["address"])
			}
			if queue := member(t, operation, "bindings", "nats", "queue"); queue != messages.QueueGroup {
				t.Errorf("%s: queue group %v", name, queue)
			}
		}
	}
	for _, address := range []string{"crm.results.{connection}.{job_id}", "crm.state.{connection}.{job_id}",
		"crm.dead.{connection}.{job_id}", "crm.events.connections.{kind}.{connection}"} {
		if !addresses[address] {
			t.Errorf("nothing is at %s", address)
		}
	}
	if addresses["crm.contacts.search.request"] {
		t.Error("a table is described that is not served")
	}
}

// walk visits every object of a document, with its path.
func walk(value any, path string, visit func(path string, value map[string]any)) {
	switch value := value.(type) {
	case map[string]any:
		visit(path, value)
		for name, inner := range value {
			walk(inner, path+"/"+name, visit)
		}
	case []any:
		for i, inner := range value {
			walk(inner, fmt.Sprintf("%s/%d", path, i), visit)
		}
	}
}

// References lead somewhere, schemas have titles and no ids, and closed sets are enumerations.
func TestSchemasOfTheDocument(t *testing.T) {
	text, doc := asyncDocument(t, messages.Tables())
	walk(doc, "#", func(path string, value map[string]any) {
		if to, ok := value["$ref"].(string); ok {
			member(t, doc, strings.Split(strings.TrimPrefix(to, "#/"), "/")...)
		}
		if value["$id"] != nil {
			t.Errorf("%s has an $id", path)
		}
	})
	schemas := member(t, doc, "components", "schemas").(map[string]any)
	for name, schema := range schemas {
		if title, _ := schema.(map[string]any)["title"].(string); title == "" {
			t.Errorf("schema %s has no title", name)
		}
		walk(schema, name, func(path string, value map[string]any) {
			for _, inner := range []string{"items", "not", "additionalProperties"} {
				if value[inner] == true {
					t.Errorf("%s/%s is a bare true", path, inner)
				}
			}
			properties, _ := value["properties"].(map[string]any)
			for property, schema := range properties {
				if schema == true {
					t.Errorf("%s: %s is a bare true", path, property)
				}
			}
		})
	}
	for _, closed := range [][]string{{"Error", "code"}, {"AccountsSearchRequest", "mode"}, {"AuthorizeRequest", "grant"},
		{"LimitsReply", "breaker"}, {"LimitsReply", "blocked_by"},
		{"Connection", "status"}, {"ConnectionEvent", "kind"}, {"Job", "state"}, {"Field", "type"}} {
		if values := member(t, schemas, closed[0], "properties", closed[1], "enum").([]any); len(values) < 2 {
			t.Errorf("%v: %v", closed, values)
		}
	}
	nodes := member(t, schemas, "Where", "oneOf").([]any)
	leaf := nodes[len(nodes)-1].(map[string]any)
	if ops, _ := member(t, leaf, "properties", "op").(map[string]any)["enum"].([]any); len(ops) != len(messages.Ops()) {
		t.Errorf("op of a filter has %d values, want %d", len(ops), len(messages.Ops()))
	}
	if n := strings.Count(string(text), `"retry_after_ms": {`); n != 1 {
		t.Errorf("an error is described %d times", n)
	}
}

// compiled are the schemas of a document's messages, by the reading of AsyncAPI: draft 7.
type compiled struct {
	t        *testing.T
	compiler *jsonschema.Compiler
}

func compile(t *testing.T, doc map[string]any) compiled {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7)
	c.AssertFormat()
	if err := c.AddResource("mem:///"+documentFile, doc); err != nil {
		t.Fatal(err)
	}
	return compiled{t, c}
}

func (c compiled) validate(path string, value any) error {
	c.t.Helper()
	schema, err := c.compiler.Compile("mem:///" + documentFile + "#" + path)
	if err != nil {
		c.t.Fatal(err)
	}
	return schema.Validate(value)
}

// Every message but the body of a dead letter, which is a job's, has an example, and what it shows
// is valid.
func TestExamplesOfTheDocument(t *testing.T) {
	_, doc := asyncDocument(t, messages.Tables())
	schemas := compile(t, doc)
	shown := 0
	all := member(t, doc, "components", "messages").(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		message := all[name].(map[string]any)
		examples, _ := message["examples"].([]any)
		if len(examples) == 0 && name != "dead-letter" {
			t.Errorf("message %s has no example", name)
		}
		for _, one := range examples {
			shown++
			example := one.(map[string]any)
			for _, part := range []string{"payload", "headers"} {
				if value, there := example[part]; there {
					if err := schemas.validate("/components/messages/"+name+"/"+part, value); err != nil {
						t.Errorf("%s: %s: %v", name, part, err)
					}
				} else if part == "payload" {
					t.Errorf("%s: an example without a body", name)
				}
			}
		}
	}
	if ops := len(messages.Operations(messages.Tables())); shown < 2*ops {
		t.Errorf("%d examples for %d operations", shown, ops)
	}
}

// The document of one operation has what belongs to it, and nothing else.
func TestTheDocumentOfAnOperation(t *testing.T) {
	_, doc := asyncDocument(t, messages.Tables(), messages.ConnectionsGet)
	schemas := member(t, doc, "components", "schemas").(map[string]any)
	for _, wanted := range []string{"ConnectionGetRequest", "ConnectionGetReply", "Connection", "ErrorReply", "ConnectionEvent"} {
		if schemas[wanted] == nil {
			t.Errorf("there is no %s", wanted)
		}
	}
	for _, other := range []string{"Where", "Job", "AccountsPage", "JobHeaders"} {
		if schemas[other] != nil {
			t.Errorf("%s is of no use to it", other)
		}
	}
	if text, err := messages.AsyncAPI(messages.Tables(), "", "accounts.export"); err == nil ||
		!strings.Contains(err.Error(), "accounts.export") {
		t.Errorf("%v, %.100s", err, text)
	}
}
