package messages_test

import (
	"encoding/json"
	"fmt"
	gofmt "go/format"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/google/jsonschema-go/jsonschema"

	"github.com/crmbridge/crmbridge/messages"
)

// withExamples are the documents that show bodies.
var withExamples = []string{"README.md", "messages/README.md", "deploy/README.md"}

// The documents' JSON is what goes over the wire: a block is marked with its operation
// and request, job or reply, or as a where tree, an error, an event or a job's record.
func TestDocumentsShowBodiesOfTheSchemas(t *testing.T) {
	for _, name := range withExamples {
		for _, example := range blocks(t, name, "json") {
			kind := strings.TrimSpace(strings.TrimPrefix(example.info, "json"))
			var err error
			switch operation, body, ofOperation := strings.Cut(kind, " "); {
			case ofOperation:
				err = checkBody(messages.Operation(operation), body, example.text)
			case kind == "where":
				err = checkBody(messages.Accounts.Operation(messages.VerbSearch), "request", `{"where":`+example.text+`}`)
			case kind == "error":
				err = jsonv2.Unmarshal([]byte(example.text), new(messages.ErrorReply), jsonv2.RejectUnknownMembers(true))
			case kind == "record":
				err = jsonv2.Unmarshal([]byte(example.text), new(messages.JobRecord), jsonv2.RejectUnknownMembers(true))
			case kind == "event":
				err = jsonv2.Unmarshal([]byte(example.text), new(messages.ConnectionEvent), jsonv2.RejectUnknownMembers(true))
			default:
				err = fmt.Errorf("the block is marked %q; write the operation and request or reply", kind)
			}
			if err != nil {
				t.Errorf("%s: %v\n%s", name, err, example.text)
			}
		}
	}
}

// checkBody holds a body against the schema of its operation. Schemas of replies are
// open, but a document shows no member that there is not.
func checkBody(op messages.Operation, body, text string) error {
	schemas, err := op.Schemas(messages.Tables())
	if err != nil {
		return err
	}
	schema := schemas.Request
	switch body {
	case "request":
	case "job":
		if schema, err = op.JobSchema(messages.Tables()); err != nil {
			return err
		}
	case "reply":
		schema = schemas.Reply
	default:
		return fmt.Errorf("%q is neither request, job nor reply", body)
	}
	var parsed jsonschema.Schema
	var shape map[string]any
	var instance any
	for text, into := range map[string]any{schema: &parsed, text: &instance} {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			return err
		}
	}
	if err := json.Unmarshal([]byte(schema), &shape); err != nil {
		return err
	}
	if unknown := unknownMembers(shape, instance); len(unknown) > 0 {
		return fmt.Errorf("%s has no members %v", op, unknown)
	}
	resolved, err := parsed.Resolve(nil)
	if err != nil {
		return err
	}
	return resolved.Validate(instance)
}

// unknownMembers are the members of a value that its schema does not name. A schema
// that names none, as that of a row, has any.
func unknownMembers(schema map[string]any, value any) []string {
	if forms, ok := schema["anyOf"].([]any); ok {
		schema = forms[len(forms)-1].(map[string]any)
	}
	switch value := value.(type) {
	case map[string]any:
		properties, named := schema["properties"].(map[string]any)
		if !named {
			return nil
		}
		var unknown []string
		for _, name := range slices.Sorted(maps.Keys(value)) {
			property, known := properties[name].(map[string]any)
			if !known {
				unknown = append(unknown, name)
			}
			unknown = append(unknown, unknownMembers(property, value[name])...)
		}
		return unknown
	case []any:
		items, _ := schema["items"].(map[string]any)
		var unknown []string
		for _, item := range value {
			unknown = append(unknown, unknownMembers(items, item)...)
		}
		return unknown
	}
	return nil
}

// The documents' Go compiles, each block by itself as a package of this module. The compiler is told of the blocks by an overlay: nothing is
// written into the repository.
func TestDocumentsShowGoThatCompiles(t *testing.T) {
	if raced {
		t.Skip("not with the race detector: the compiler is another program")
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	overlay := map[string]string{}
	args := []string{"build", "-o", os.DevNull, "-overlay", filepath.Join(folder, "overlay.json")}
	for _, name := range []string{"README.md", "messages/README.md"} {
		for _, example := range blocks(t, name, "go") {
			n := len(overlay)
			written := filepath.Join(folder, fmt.Sprintf("example%d.go", n))
			if err := os.WriteFile(written, []byte(example.text), 0o600); err != nil {
				t.Fatal(err)
			}
			overlay[filepath.Join(root, fmt.Sprintf("example%d", n), "example.go")] = written
			args = append(args, fmt.Sprintf("./example%d", n))
			if formatted, err := gofmt.Source([]byte(example.text)); err != nil || string(formatted) != example.text {
				t.Errorf("%s: gofmt would change a block (%v):\n%s", name, err, example.text)
			}
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": overlay})
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, "overlay.json"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "go", args...)
	command.Dir = root
	if said, err := command.CombinedOutput(); err != nil {
		t.Errorf("go %s: %v\n%s", strings.Join(args, " "), err, said)
	}
}

// The documents' commands and JavaScript parse, where there is a program that says so.
func TestDocumentsShowScriptsThatParse(t *testing.T) {
	for _, c := range []struct {
		language, ending string
		program          []string
		documents        []string
	}{
		{"sh", ".sh", []string{"sh", "-n"}, []string{"README.md", "messages/README.md", "deploy/README.md", "cmd/crmbridge/README.md"}},
		{"js", ".mjs", []string{"node", "--check"}, []string{"messages/README.md"}},
	} {
		t.Run(c.language, func(t *testing.T) {
			if _, err := exec.LookPath(c.program[0]); err != nil {
				t.Skip(err)
			}
			for _, name := range c.documents {
				for _, example := range blocks(t, name, c.language) {
					written := filepath.Join(t.TempDir(), "example"+c.ending)
					if err := os.WriteFile(written, []byte(example.text), 0o600); err != nil {
						t.Fatal(err)
					}
					if said, err := exec.CommandContext(t.Context(), c.program[0], c.program[1], written).CombinedOutput(); err != nil {
						t.Errorf("%s: %v\n%s", name, err, said)
					}
				}
			}
		})
	}
}
