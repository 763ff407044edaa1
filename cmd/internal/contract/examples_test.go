package contract_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/contract"
	"github.com/crmbridge/crmbridge/messages"
)

const root = "../../.."

// otherJSON are the objects in the repository's texts whose place does not say which message they
// are: which one it is, or why they are none.
var otherJSON = []struct{ file, text, message, why string }{
	{`messages/examples/.*/stream\.\w+$`, `^\{"mode": "stream"`, "accounts.search.request", ""},
	{`messages/examples/.*/(changes|job|search)\.\w+$`, `^\{"fields": `, "accounts.search.request", ""},
	{`messages/examples/shell/search\.sh$`, `^\{\s*"where": `, "accounts.search.request", ""},
	{`messages/examples/shell/errors\.sh$`, `"nobody answers"`, "", "what the script tells itself where there is no responder"},
	{`^messages/doc\.go$`, `^\{"where":`, "accounts.search.request", ""},
	{`^messages/doc\.go$`, `"code":"invalid_request"`, "error", ""},
	{`^messages/doc\.go$`, `^\{"id":"…"`, "", "a row of a reply that is shown in part"},
	{`^messages/README\.md$`, `^\{"name": "(Contoso|Fabrikam)"`, "", "rows that a program in Go gives messagestest"},
	{`^CONTRIBUTING\.md$`, `^\{"kind":"gateway"`, "", "a fault of the emulator"},
}

// texts are the repository's texts that people read, by file: documents, examples, and of Go what is
// said to people, in strings and comments.
func texts(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		name, _ := filepath.Rel(root, path)
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == "testdata" || entry.Name() == ".git"):
			return filepath.SkipDir
		case entry.IsDir() || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		text := ""
		switch filepath.Ext(name) {
		case ".md", ".sh", ".mjs", ".py":
			var read []byte
			read, err = os.ReadFile(path)
			text = string(read)
		case ".go":
			if !regexp.MustCompile(`^(messages|cmd/crmbridge|cmd/crmbridge-dev)/[^/]*$`).MatchString(name) {
				return nil // what is said to requesters
			}
			text, err = spoken(path)
		default:
			return nil
		}
		found[name] = text
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// spoken are the strings and comments of a Go file.
func spoken(path string) (string, error) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	if err != nil {
		return "", err
	}
	var all []string
	for _, comment := range file.Comments {
		all = append(all, comment.Text())
	}
	ast.Inspect(file, func(node ast.Node) bool {
		if literal, ok := node.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			if text, err := strconv.Unquote(literal.Value); err == nil {
				all = append(all, text)
			}
		}
		return true
	})
	return strings.Join(all, "\n"), nil
}

// Every JSON object that the repository shows to people is a message as the document has it, or a
// filter, or stands in the table above with the reason why it is neither.
func TestExamplesAreOfTheDocument(t *testing.T) {
	document, err := contract.Of()
	if err != nil {
		t.Fatal(err)
	}
	used := map[int]bool{}
	kinds := map[string]int{}
	all := texts(t)
	for _, file := range slices.Sorted(maps.Keys(all)) {
		for _, e := range contract.Examples(all[file]) {
			kind := e.Message[strings.LastIndexByte(e.Message, '.')+1:]
			if e.Where {
				kind = "where"
			}
			if kind == "" {
				known := slices.IndexFunc(otherJSON, func(o struct{ file, text, message, why string }) bool {
					return regexp.MustCompile(o.file).MatchString(file) && regexp.MustCompile(o.text).MatchString(e.JSON)
				})
				if known < 0 {
					t.Errorf("%s:%d: which message is it? %s", file, e.Line, e.JSON)
					continue
				}
				used[known] = true
				if e.Message, kind = otherJSON[known].message, "none"; e.Message != "" {
					kind = e.Message[strings.LastIndexByte(e.Message, '.')+1:]
				}
			}
			kinds[kind]++
			if kind == "none" {
				continue
			}
			if err := document.Shown(e); err != nil {
				t.Errorf("%s:%d: %s: %v\n%s", file, e.Line, e.Message, err, e.JSON)
			}
		}
	}
	for i, o := range otherJSON {
		if !used[i] {
			t.Errorf("no file has it any more: %s %s", o.file, o.text)
		}
	}
	t.Logf("%d texts: %v", len(all), kinds)
	for kind, least := range map[string]int{"request": 20, "reply": 10, "job": 3, "where": 2, "error": 1, "event": 1} {
		if kinds[kind] < least {
			t.Errorf("%d examples of %s were found, want %d and more", kinds[kind], kind, least)
		}
	}
}

// What the search for examples finds, and what it takes it for.
func TestExamples(t *testing.T) {
	text := "Text `{\"and\": […]}` and {}.\n\n```json accounts.search request\n{\"page_size\":\n 1}\n```\n\n```sh\n" +
		"nats req crm.accounts.count.request.acme '{\"where\": {\"field\": \"x\", \"op\": \"is_null\"}}' --raw\n" +
		"nats req crm.accounts.count.request \\\n  '{\"connection\": \"a\"}' --raw\n" +
		"nats req crm.accounts.get.job.acme.<id> '{\"a\": 1}'; ask users.get '{\"email\": \"e\"}'\n" +
		"x --where '{\"field\": \"x\", \"op\": \"is_null\"}' '{\"else\": true}'\n```\n\n```json error\n{\"error\": 1}\n```\n{\"last\": [1]}"
	want := []contract.Example{
		{4, "{\"page_size\":\n 1}", "accounts.search.request", false},
		{9, `{"where": {"field": "x", "op": "is_null"}}`, "accounts.count.request", false},
		{11, `{"connection": "a"}`, "accounts.count.plain.request", false},
		{12, `{"a": 1}`, "accounts.get.job", false},
		{12, `{"email": "e"}`, "users.get.request", false},
		{13, `{"field": "x", "op": "is_null"}`, "", true},
		{13, `{"else": true}`, "", false},
		{17, `{"error": 1}`, "error", false},
		{19, `{"last": [1]}`, "", false},
	}
	if found := contract.Examples(text); !slices.Equal(found, want) {
		t.Errorf("found %+v\nwant  %+v", found, want)
	}
}

// The committed document's own examples have no member and no header that it does not describe.
func TestTheDocumentsOwnExamples(t *testing.T) {
	document, err := contract.Of()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "messages/asyncapi.json"))
	if err != nil {
		t.Fatal(err)
	}
	var committed struct {
		Components struct {
			Messages map[string]struct {
				Examples []struct {
					Headers map[string]string `json:"headers"`
					Payload json.RawMessage   `json:"payload"`
				} `json:"examples"`
			} `json:"messages"`
		} `json:"components"`
	}
	if err := json.Unmarshal(text, &committed); err != nil {
		t.Fatal(err)
	}
	shown := 0
	for name, message := range committed.Components.Messages {
		for _, e := range message.Examples {
			shown++
			header := map[string][]string{}
			for key, value := range e.Headers {
				header[key] = []string{value}
			}
			if err := document.Said(name, header, e.Payload); err != nil {
				t.Errorf("%s: %v: %s", name, err, e.Payload)
			}
		}
	}
	if ops := len(messages.Operations(messages.Tables())); shown < 2*ops {
		t.Errorf("%d examples for %d operations", shown, ops)
	}
}
