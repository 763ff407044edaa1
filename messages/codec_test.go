package messages_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/messages"
)

// widgets is a table that crmbridge does not know.
var widgets = messages.Table{
	Name: "widgets", One: "widget", Set: "new_widgets", Logical: "new_widget", Key: "new_widgetid", Display: "Widget",
	ReadPrivilege: "prvReadnew_widget", Consent: "widgets",
	Fields:        []messages.TableField{{"id", "new_widgetid", messages.FieldGUID}, {"label", "new_label", messages.FieldText}},
	DefaultFields: []string{"id", "label"},
}

// A request that names a row does it by the member of its own table.
func TestDecodeOfATable(t *testing.T) {
	const id = "11111111-2222-3333-4444-555555555555"
	for _, table := range append(messages.Tables(), widgets) {
		codec := messages.CodecFor[messages.GetRequest](table)
		got, fault := codec.Decode([]byte(`{"connection":"acme","` + table.IDMember() + `":"` + id + `","fields":["id"]}`))
		if fault != nil || got.ID != id || got.Connection != "acme" || len(got.Fields) != 1 {
			t.Errorf("%s: %+v, %v", table.Name, got, fault)
		}
		if got, fault := codec.Decode(nil); fault != nil || got.ID != "" {
			t.Errorf("%s, an empty body: %+v, %v", table.Name, got, fault)
		}
		wrong := map[string][2]string{ // body: path, words
			`{"id":"` + id + `"}`:                                         {"id", "there is no such member; did you mean " + table.IDMember() + "?"},
			`{"row":"` + id + `"}`:                                        {"row", "there is no such member"},
			`{"` + table.One + `":"` + id + `"}`:                          {table.One, "did you mean " + table.IDMember()},
			`{"` + table.One + `id":"` + id + `"}`:                        {table.One + "id", "did you mean " + table.IDMember()},
			`{"xxxxxxxx":1}`:                                              {"xxxxxxxx", "the members here are connection, " + table.IDMember() + ", fields"},
			`{"` + table.IDMember() + `":["` + secret + `"]}`:             {table.IDMember(), "must be a string, not an array"},
			`{"` + table.IDMember() + `":1,"` + table.IDMember() + `":1}`: {table.IDMember(), ""},
			`{"` + table.IDMember() + `":"` + id + `"} 1`:                 {"", "after the JSON object"},
		}
		for _, other := range append(messages.Tables(), widgets) {
			if other.Name != table.Name {
				wrong[`{"`+other.IDMember()+`":"`+id+`"}`] = [2]string{other.IDMember(), "there is no such member"}
			}
		}
		for body, want := range wrong {
			got, fault := codec.Decode([]byte(body))
			if fault == nil {
				t.Errorf("%s %s: decoded %+v", table.Name, body, got)
				continue
			}
			if fault.Code != messages.InvalidRequest || fault.Details[0].Path != want[0] || !strings.Contains(fault.Message, want[1]) || got.ID != "" {
				t.Errorf("%s %s: %+v with %+v, want %q", table.Name, body, fault, fault.Details, want)
			}
		}
	}
}

// Replies are written and read under the names of their table.
func TestRepliesOfATable(t *testing.T) {
	row := messages.Row{"id": jsontext.Value(`"1"`)}
	head := messages.Head{RequestID: "r", Connection: "acme"}
	for table, want := range map[*messages.Table][3]string{
		&messages.Accounts: {`"accounts":[{"id":"1"}]`, `"account":{"id":"1"}`, `"account_id":"1"`},
		&messages.Contacts: {`"contacts":[{"id":"1"}]`, `"contact":{"id":"1"}`, `"contact_id":"1"`},
		&widgets:           {`"widgets":[{"id":"1"}]`, `"widget":{"id":"1"}`, `"widget_id":"1"`},
	} {
		roundTrip(t, *table, messages.Page{Head: head, Rows: []messages.Row{row}, NextCursor: "c"},
			`{"request_id":"r","connection":"acme",`+want[0]+`,"next_cursor":"c"}`)
		roundTrip(t, *table, messages.RowReply{Head: head, Row: row}, `{"request_id":"r","connection":"acme",`+want[1]+`}`)
		roundTrip(t, *table, messages.ChangesReply{Head: head, Rows: []messages.Row{row}, Deleted: []string{"2"}, NextCursor: "c"},
			`{"request_id":"r","connection":"acme",`+want[0]+`,"deleted":["2"],"next_cursor":"c","has_more":false}`)
		roundTrip(t, *table, messages.GetRequest{ID: "1"}, `{`+want[2]+`}`)
		roundTrip(t, *table, messages.SearchRequest{Limit: 3}, `{"limit":3}`)
	}
}

func roundTrip[T any](t *testing.T, table messages.Table, body T, want string) {
	t.Helper()
	codec := messages.CodecFor[T](table)
	text, err := codec.Encode(&body)
	if err != nil || string(text) != want {
		t.Errorf("%s: %s, %v; want %s", table.Name, text, err, want)
	}
	var back T
	if err := codec.Read([]byte(`{"newer":1,`+strings.TrimPrefix(want, "{")), &back); err != nil {
		t.Error(err)
	}
	if again, err := codec.Encode(&back); err != nil || string(again) != want {
		t.Errorf("%s: read back as %s, %v", table.Name, again, err)
	}
}

func TestCodecWithoutItsTable(t *testing.T) {
	defer func() {
		if text, _ := recover().(string); !strings.Contains(text, "CodecFor") {
			t.Errorf("a get without a table: %q", text)
		}
	}()
	messages.NewCodec[messages.GetRequest]()
}

// The schemas of a table speak its words alone.
func TestSchemasOfATable(t *testing.T) {
	tables := append(messages.Tables(), widgets)
	for _, table := range tables {
		for _, verb := range messages.Verbs() {
			both := schemas(t, table.Operation(verb), tables)
			for _, text := range []string{both.Request, both.Reply} {
				if strings.Contains(text, "{rows}") || strings.Contains(text, "{defaults}") || strings.Contains(text, "{fields}") || strings.Contains(text, "{key}") || strings.Contains(text, "{row}") {
					t.Errorf("%s %s: a word was not filled in: %s", table.Name, verb, text)
				}
				for _, other := range tables {
					if other.Name != table.Name && (strings.Contains(text, other.Name) || strings.Contains(text, other.IDMember())) {
						t.Errorf("%s %s names %s: %s", table.Name, verb, other.Name, text)
					}
				}
			}
		}
		search := parsed(t, schemas(t, table.Operation(messages.VerbSearch), tables).Request)
		for _, want := range []string{"default " + strings.Join(table.DefaultFields, ", "), strings.Join(table.FieldNames(), ", ")} {
			if got := search.Properties["fields"].Description; !strings.Contains(got, want) {
				t.Errorf("%s: %q lacks %q", table.Name, got, want)
			}
		}
		get := parsed(t, schemas(t, table.Operation(messages.VerbGet), tables).Request)
		member := get.Properties[table.IDMember()]
		if member == nil || member.Pattern == "" || member.Description != table.Key || len(get.Required) != 1 || get.Required[0] != table.IDMember() {
			text, _ := json.Marshal(get)
			t.Errorf("%s: %s", table.Name, text)
		}
		page := parsed(t, schemas(t, table.Operation(messages.VerbChanges), tables).Reply)
		if page.Properties[table.Name] == nil || page.Properties["rows"] != nil {
			t.Errorf("%s: %v", table.Name, page.Properties)
		}
	}
}

// A table's codec is made for each client; reading and writing by it is what requests pay.
func BenchmarkCodec(b *testing.B) {
	body := []byte(`{"connection":"acme","contact_id":"11111111-2222-3333-4444-555555555555","fields":["name","email"]}`)
	b.Run("make", func(b *testing.B) {
		for b.Loop() {
			messages.CodecFor[messages.GetRequest](messages.Contacts)
		}
	})
	b.Run("decode", func(b *testing.B) {
		codec := messages.CodecFor[messages.GetRequest](messages.Contacts)
		b.ReportAllocs()
		for b.Loop() {
			if _, fault := codec.Decode(body); fault != nil {
				b.Fatal(fault)
			}
		}
	})
}
