package messages_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/crmbridge/crmbridge/messages"
)

// Where a string ends is known although it holds escaped quotes and backslashes: what
// stands in a text neither nests nor counts.
func TestEscapesInBodies(t *testing.T) {
	deep := strings.Repeat("[", 2000)
	commas := strings.Repeat(",", 5000)
	for _, text := range []string{`\"`, `\\`, `\\\"`, `\\\\`, `\"\"`, `a\"b`, `\"` + deep, `\\\"` + deep, `\"` + commas, deep, commas, `}]`, `\"}]`} {
		for _, body := range []string{
			`{"connection":"` + text + `","page_size":7}`,
			`{"where":{"field":"name","op":"in","value":["` + text + `","b"]},"page_size":7}`,
			`{"where":{"field":"name","op":"eq","value":"` + text + `"},"page_size":7}`,
		} {
			got, err := messages.Decode[messages.SearchRequest]([]byte(body))
			if err != nil || got.PageSize != 7 {
				t.Errorf("%.60s: %v", body, err)
			} else if got.Where != nil {
				if fault := got.Where.Check("where"); fault != nil {
					t.Errorf("%.60s: %v", body, fault)
				}
			}
		}
	}
	for _, body := range []string{ // what stands behind such a text counts
		`{"connection":"\\","where":{"value":` + deep,
		`{"connection":"\"","where":{"value":` + deep,
	} {
		if _, err := messages.Decode[messages.SearchRequest]([]byte(body)); err == nil || !strings.Contains(err.Message, "nested deeper than 1000") {
			t.Errorf("%.60s: %v", body, err)
		}
	}
}

// One at the bound is read, one beyond it refused.
func TestEdgesOfBodies(t *testing.T) {
	nest := func(n int) string { // n levels in all
		return `{"where":{"value":` + strings.Repeat("[", n-2) + strings.Repeat("]", n-2) + `,"field":"a","op":"eq"}}`
	}
	and := func(n int) string {
		return `{"where":` + strings.Repeat(`{"and":[`, n-1) + `{"field":"a","op":"is_null"}` + strings.Repeat(`]}`, n-1) + `}`
	}
	nodes := func(n int) string {
		return `{"where":{"or":[` + strings.TrimSuffix(strings.Repeat("{},", n-1), ",") + `]}}`
	}
	twice := func(a, b int) string {
		list := func(n int) string { return `[` + strings.TrimSuffix(strings.Repeat("1,", n), ",") + `]` }
		return `{"where":{"or":[{"field":"a","op":"in","value":` + list(a) + `},{"field":"a","op":"in","value":` + list(b) + `}]}}`
	}
	for name, c := range map[string]struct{ body, says string }{
		"1000 levels":                 {nest(1000), ""},
		"1001 levels":                 {nest(1001), "nested deeper than 1000 levels"},
		"8 levels of and":             {and(8), ""},
		"9 levels of and":             {and(9), "nested deeper than 8 levels"},
		"800 nodes":                   {nodes(800), ""},
		"801 nodes":                   {nodes(801), "more than 800 nodes"},
		"500 values in two leaves":    {twice(250, 250), ""},
		"501 values in two leaves":    {twice(250, 251), "more than 500 values in all"},
		"10 to order by":              {`{"order_by":["a"` + strings.Repeat(`,"a"`, 9) + `]}`, ""},
		"11 to order by":              {`{"order_by":["a"` + strings.Repeat(`,"a"`, 10) + `]}`, "order_by: must not be more than 10"},
		"a text of 64 KiB":            {`{"mode":"` + strings.Repeat("x", 64<<10) + `"}`, ""},
		"a longer text":               {`{"mode":"` + strings.Repeat("x", 64<<10+1) + `"}`, "mode: is longer than 65536 bytes"},
		"a name of 1024 bytes":        {`{"` + strings.Repeat("x", 1022) + `":1}`, "no such member"},
		"a name of 1025 bytes":        {`{"` + strings.Repeat("x", 1023) + `" :1}`, "name is longer than 1024 bytes"},
		"a long text that is no name": {`{"mode":"` + strings.Repeat("x", 2000) + `"}`, ""},
		"4001 members, then no end":   {`{"where":{"value":[` + strings.Repeat("{},", 4000) + `1`, "more than"},
		"lists beside each other":     {`{"where":{"value":[` + strings.TrimSuffix(strings.Repeat("[[]],", 400), ",") + `],"field":"a","op":"in"}}`, ""},
		"a count of 1":                {`{"limit":1}`, ""},
		"a count of 0":                {`{"limit":0}`, "limit: must be a whole number from 1 on"},
		"a fault of the 101st leaf":   {`{"where":{"or":[` + strings.Repeat(`{"field":"a","op":"is_null"},`, 100) + `{"field":"a","op":"is_null"}]}}`, "where.or[100]: the filter has more than 100 leaves"},
	} {
		in, err := messages.Decode[messages.SearchRequest]([]byte(c.body))
		if err == nil && in.Where != nil && !strings.Contains(name, "nodes") {
			err = in.Where.Check("where")
		}
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Message, c.says) {
			t.Errorf("%s: %.200v", name, err)
		}
	}
	// That much is found while the body is read, before the tree is made.
	for _, c := range [][2]string{{and(12), "nested deeper than 8 levels"}, {twice(250, 251), "more than 500 values in all"}} {
		if _, err := messages.Decode[messages.SearchRequest]([]byte(c[0])); err == nil || !strings.Contains(err.Message, c[1]) {
			t.Errorf("%.60s: %v", c[0], err)
		}
	}
	where := messages.Null("a")
	for range 8 {
		where = messages.All(where)
	}
	if err := where.Check("where"); err == nil || !strings.Contains(err.Message, "deeper than 8 levels") {
		t.Errorf("lists count no level: %v", err)
	}
}

// A name is shown whole up to 64 characters.
func TestPrintable(t *testing.T) {
	for name, want := range map[string]string{
		strings.Repeat("ä", 64):  strings.Repeat("ä", 64),
		strings.Repeat("x", 65):  strings.Repeat("x", 64) + "…",
		strings.Repeat("x", 999): strings.Repeat("x", 64) + "…",
	} {
		if got := messages.Printable(name); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Schemas are as strict as the server on bounds, lists and words.
func TestSchemasAreAsStrictAsTheServer(t *testing.T) {
	search, list := messages.Accounts.Operation(messages.VerbSearch), messages.ConnectionsList
	many := func(n int) string { return `["a"` + strings.Repeat(`,"a"`, n-1) + `]` }
	for _, c := range []struct {
		op   messages.Operation
		text string
		ok   bool
	}{
		{search, `{"page_size":1}`, true}, {search, `{"page_size":0}`, false}, {search, `{"page_size":5000}`, true}, {search, `{"page_size":5001}`, false},
		{search, `{"limit":1}`, true}, {search, `{"limit":0}`, false},
		{list, `{"page_size":1000000}`, false}, {list, `{"page_size":1}`, true},
		{search, `{"fields":[]}`, false}, {search, `{"fields":` + many(100) + `}`, true}, {search, `{"fields":` + many(101) + `}`, false},
		{search, `{"order_by":` + many(10) + `}`, true}, {search, `{"order_by":` + many(11) + `}`, false},
		{search, `{"mode":"page"}`, true}, {search, `{"mode":"stream"}`, true}, {search, `{"mode":"all"}`, false},
		{search, `{"connection":"a b"}`, false},
		{search, `{"where":{"or":[]}}`, false}, {search, `{"where":{"field":"a","op":"eq","more":1}}`, false},
	} {
		if err := validate(t, request(t, c.op), c.text); (err == nil) != c.ok {
			t.Errorf("%s %.60s: %v", c.op, c.text, err)
		}
	}
	for size, ok := range map[int]bool{messages.MaxConnectionsPageSize: true, messages.MaxConnectionsPageSize + 1: false} {
		text, _ := json.Marshal(map[string]int{"page_size": size})
		if err := validate(t, request(t, list), string(text)); (err == nil) != ok {
			t.Errorf("connections.list: %s: %v", text, err)
		}
	}
}

// Replies are open at every depth, and what they hold has the words of README.md; what
// Dataverse said has its own.
func TestSchemasOfReplies(t *testing.T) {
	errorText, err := messages.NewCodec[messages.ErrorReply]().Schema()
	if err != nil {
		t.Fatal(err)
	}
	errors := resolved(t, errorText)
	for _, c := range []struct {
		schema *jsonschema.Resolved
		text   string
		ok     bool
	}{
		{reply(t, messages.ConnectionsCheck), `{"request_id":"r","checks":[{"name":"token","ok":true,"newer":1}]}`, true},
		{reply(t, messages.ConnectionsCheck), `{"request_id":"r","checks":[{"name":"token","ok":true,"depth":"all"}]}`, false},
		{errors, `{"request_id":"r","error":{"code":"throttled","message":"m","retryable":true,"dynamics":{"status":429,"code":"0x80072322","message":"m","request_id":"x"}}}`, true},
		{errors, `{"request_id":"r","error":{"code":"0x1","message":"m","retryable":true}}`, false},
	} {
		if err := validate(t, c.schema, c.text); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.text, err)
		}
	}
	for status, ok := range map[string]bool{messages.StatusActive: true, "asleep": false} { // also of those in lists
		list, err := json.Marshal(messages.ConnectionsListReply{Connections: []messages.Connection{{Status: status, Scopes: []string{}, Tables: []string{}}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(t, reply(t, messages.ConnectionsList), string(list)); (err == nil) != ok {
			t.Errorf("%s: %v", status, err)
		}
	}
	if text := schemas(t, messages.UsersWhoAmI, nil).Reply; !strings.Contains(text, `"Who am i reply"`) {
		t.Errorf("no title: %s", text)
	}
	schema := parsed(t, schemas(t, messages.Accounts.Operation(messages.VerbSearch), messages.Tables()).Request)
	if schema.Title != "Accounts search request" || schema.Properties["page_size"].Title != "Page size" {
		t.Errorf("titles %q and %q", schema.Title, schema.Properties["page_size"].Title)
	}
}

// A connection's id has up to 64 bytes, a request's 128, and neither a space.
func TestEdgesOfIDs(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	if !messages.ValidConnection(x(64)) || messages.ValidConnection(x(65)) {
		t.Error("connections")
	}
	if !messages.ValidRequestID(x(128)) || messages.ValidRequestID(x(129)) || messages.ValidRequestID("a b") || messages.ValidRequestID("a\x7f") {
		t.Error("request ids")
	}
	subjects := messages.RequestSubjects(nil)
	for _, want := range []string{"crm.accounts.*.request", "crm.accounts.*.request.*", "crm.users.*.request", "crm.connections.*.request.*"} {
		if !slices.Contains(subjects, want) {
			t.Errorf("%s is not among %q", want, subjects)
		}
	}
	if n := len(subjects); n != len(slices.Compact(slices.Sorted(slices.Values(subjects)))) {
		t.Errorf("some come twice: %q", subjects)
	}
}
