package messages_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/messages"
)

// secret stands for a filter value in bodies that are wrong somewhere else.
const secret = "Zq7Xsecret"

func TestDecodeRefuses(t *testing.T) {
	const q = `"` + secret + `"`
	for _, test := range []struct{ name, body, path, message string }{
		{"unknown member", `{"conection":` + q + `}`, "conection", "did you mean connection?"},
		{"member in another case", `{"Connection":` + q + `}`, "Connection", "did you mean connection?"},
		{"unknown member of a leaf", `{"where":{"and":[{"field":"name","opp":` + q + `}]}}`, "where.and[0].opp", "did you mean op?"},
		{"unknown member far from any", `{"where":{"xxxxxxxx":` + q + `}}`, "where.xxxxxxxx", "the members here are and, or, not, field, op, value"},
		{"member twice", `{"cursor":` + q + `,"cursor":` + q + `}`, "cursor", "given twice"},
		{"member twice, nested", `{"where":{"not":{"op":"eq","op":` + q + `}}}`, "where.not.op", "given twice"},
		{"member twice within a value", `{"where":{"field":"name","op":"eq","value":{` + q + `:1,` + q + `:2}}}`, "where.value", "has a member twice"},
		{"member twice deep in a value", `{"where":{"field":"name","op":"eq","value":[{"a":{` + q + `:1,` + q + `:2}}]}}`, "where.value", "has a member twice"},
		{"string for a number", `{"page_size":` + q + `}`, "page_size", "must be a whole number from 1 on"},
		{"fraction for a whole number", `{"page_size":8351.25}`, "page_size", "must be a whole number from 1 on"},
		{"zero", `{"page_size":0}`, "page_size", "must be a whole number from 1 on"},
		{"number out of range", `{"page_size":98765432109876543210}`, "page_size", "must be a whole number from 1 on"},
		{"number in a list of names", `{"fields":["name",8351]}`, "fields[1]", "must be a string, not a number"},
		{"string for a list", `{"fields":` + q + `}`, "fields", "must be an array, not a string"},
		{"string for a yes", `{"include_total":` + q + `}`, "include_total", "must be true or false, not a string"},
		{"list for a node", `{"where":[` + q + `]}`, "where", "must be an object, not an array"},
		{"node for a list", `{"where":{"and":{"field":` + q + `}}}`, "where.and", "must be an array, not an object"},
		{"list for a field", `{"where":{"or":[{"not":{"field":[` + q + `]}}]}}`, "where.or[0].not.field", "must be a string, not an array"},
		{"truncated", `{"where":{"field":"name","value":"` + secret, "", "ends in the middle"},
		{"trailing object", `{"cursor":` + q + `}{"cursor":` + q + `}`, "", "after the JSON object, at byte 23"},
		{"trailing word", `{} ` + secret, "", "after the JSON object, at byte 3"},
		{"invalid UTF-8", "{\"cursor\":\"" + secret + "\xff\"}", "", "not valid JSON in UTF-8"},
		{"lone surrogate", `{"cursor":"` + secret + `\ud800"}`, "", "not valid JSON in UTF-8"},
		{"bare word", `{"cursor":` + secret + `}`, "", "not valid JSON in UTF-8, at byte 10"},
		{"missing comma", `{"cursor":` + q + ` "mode":"page"}`, "", "not valid JSON in UTF-8"},
		{"null", `null`, "", "not a JSON object"},
		{"array", `[{"cursor":` + q + `}]`, "", "not a JSON object"},
		{"string", q, "", "not a JSON object"},
		{"byte order mark", "\ufeff{}", "", "not a JSON object"},
		{"huge nesting of nodes", `{"where":` + strings.Repeat(`{"not":`, 20_000) + q, "", "nested deeper than 1000 levels"},
		{"huge nesting in a value", `{"where":{"value":` + strings.Repeat(`[`, 20_000) + q, "", "nested deeper"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := messages.Decode[messages.SearchRequest]([]byte(test.body))
			if err == nil {
				t.Fatalf("decoded %+v", got)
			}
			if err.Code != messages.InvalidRequest || err.Retryable {
				t.Errorf("code %s, retryable %v", err.Code, err.Retryable)
			}
			if !strings.Contains(err.Message, test.message) {
				t.Errorf("message %q lacks %q", err.Message, test.message)
			}
			if len(err.Details) != 1 || err.Details[0].Path != test.path {
				t.Errorf("details %+v, want the path %q", err.Details, test.path)
			}
			if text := everything(t, err); strings.Contains(text, secret) || strings.Contains(text, "8351") || strings.Contains(text, "98765") {
				t.Errorf("the error repeats a value: %s", text)
			}
			if got.Where != nil || got.Cursor != "" || got.Fields != nil {
				t.Errorf("half a request came with the error: %+v", got)
			}
		})
	}
}

// everything is all that an error can show: text, JSON, and its causes.
func everything(t *testing.T, err *messages.Error) string {
	t.Helper()
	encoded, fault := json.Marshal(err)
	if fault != nil {
		t.Fatal(fault)
	}
	text := err.Error() + string(encoded)
	if cause := err.Unwrap(); cause != nil {
		text += cause.Error()
	}
	return text
}

func TestDecodeTruncatedAnywhere(t *testing.T) {
	const body = `{"connection":"acme","where":{"and":[{"field":"name","op":"in","value":["Zq7X",1.5e3,true]}]},"page_size":10}`
	for end := 1; end < len(body); end++ {
		_, err := messages.Decode[messages.SearchRequest]([]byte(body[:end]))
		if err == nil || !strings.Contains(err.Message, "ends in the middle") || strings.Contains(everything(t, err), "Zq7X") {
			t.Fatalf("%s: %v", body[:end], err)
		}
	}
}

func TestDecode(t *testing.T) {
	for _, empty := range []string{"", " \r\n\t", "{}", " {} \n"} {
		if got, err := messages.Decode[messages.ConnectionRequest]([]byte(empty)); err != nil || got.Connection != "" {
			t.Errorf("%q: %+v, %v", empty, got, err)
		}
	}
	got, err := messages.Decode[messages.SearchRequest]([]byte(
		` {"connection":"acme","where":{"not":{"field":"revenue","op":"gt","value":1234567890123456789.10}},"page_size":7} `))
	if err != nil {
		t.Fatal(err)
	}
	if got.Connection != "acme" || got.PageSize != 7 || string(got.Where.Not.Value) != "1234567890123456789.10" {
		t.Errorf("decoded %+v", got)
	}
}

func TestPath(t *testing.T) {
	for _, test := range []struct {
		pointer jsontext.Pointer
		want    string
	}{
		{"", ""},
		{"/where/and/0/op", "where.and[0].op"},
		{"/fields/12", "fields[12]"},
		{"/a~1b/c~0d", "a/b.c~d"},
		{"/007", "007"}, // no index has leading zeros
		{"/a\x1b[2J\nb", "a?[2J?b"},
		{"/\u202eevil\u0085\u009b", "?evil??"},
		{"/a\xffb", "a?b"},
		{jsontext.Pointer("/" + strings.Repeat("ä", 65)), strings.Repeat("ä", 64) + "…"},
	} {
		if got := messages.Path(test.pointer); got != test.want {
			t.Errorf("Path(%q) = %q, want %q", test.pointer, got, test.want)
		}
	}
	if long := messages.Path(jsontext.Pointer(strings.Repeat("/not", 9000))); len(long) > 600 || !strings.HasSuffix(long, "…") {
		t.Errorf("a deep path has %d bytes", len(long))
	}
}

func TestNearest(t *testing.T) {
	names := []string{"id", "name", "website", "industry", "industrycode", "modified_at", "city"}
	for _, test := range []struct {
		name string
		most int
		want string
	}{
		{"industr", 3, "industry industrycode"},
		{"industri", 1, "industry"},
		{"NAME", 3, "name"},
		{"modified", 3, "modified_at"},
		{"citty", 3, "city"},
		{"ctiy", 3, "city"},
		{"nmae", 3, "name"},
		{"di", 3, "id"},
		{"nmea", 3, ""},
		{"zzzzzz", 3, ""},
		{"日本語", 3, ""},
		{"", 3, ""},
		{"name", 0, ""},
		{"name", -1, ""},
		{strings.Repeat("name", 100), 3, ""},
	} {
		if got := strings.Join(messages.Nearest(test.name, names, test.most), " "); got != test.want {
			t.Errorf("Nearest(%q, %d) = %q, want %q", test.name, test.most, got, test.want)
		}
	}
}

// FuzzDecode puts a value where none belongs and where one belongs: whatever is
// wrong, no error shows it.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{"connection":"VALUE"}`, `{"page_size":"VALUE"}`, `{"where":{"value":{"VALUE":1,"VALUE":2}}}`,
		`{"where":{"and":[{"field":"name","op":"eq","value":"VALUE"},{"x":0}]}}`, `{"fields":["VALUE",1]}`, `{"cursor":"VALUE`, `{"cursor":VALUE}`, `null`, `{"x`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		const token = "Qj6wZ9kVt3"
		body = []byte(strings.ReplaceAll(string(body), "VALUE", token))
		_, err := messages.Decode[messages.SearchRequest](body)
		if err == nil {
			return
		}
		text := everything(t, err)
		if !utf8.ValidString(text) || len(text) > 10_000 {
			t.Fatalf("error of %d bytes", len(text))
		}
		// An unknown member's name is told; nothing else of the body is.
		if strings.Contains(text, token) && !strings.Contains(err.Message, "there is no such member") {
			t.Fatalf("%s\nrepeats a value of\n%s", text, body)
		}
	})
}

func FuzzPath(f *testing.F) {
	for _, seed := range []string{"", "/a/0", "/~0~1", "/\x1b\u202e", "no pointer", strings.Repeat("/x", 3000)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, pointer string) {
		path := messages.Path(jsontext.Pointer(pointer))
		if !utf8.ValidString(path) || len(path) > 1024 {
			t.Fatalf("path of %d bytes: %q", len(path), path)
		}
		for _, r := range path {
			if !unicode.IsPrint(r) {
				t.Fatalf("%q holds %U", path, r)
			}
		}
	})
}
