package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
	"github.com/crmbridge/crmbridge/messages"
)

func allFields(t *testing.T, client *messages.TableClient, customOnly bool) (fields []messages.Field, pages int) {
	t.Helper()
	in := messages.FieldsRequest{Target: messages.Target{Connection: "acme"}, CustomOnly: customOnly}
	for {
		reply, err := client.Fields(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		fields, pages = append(fields, reply.Fields...), pages+1
		if reply.NextCursor == "" {
			return fields, pages
		}
		in = messages.FieldsRequest{Target: in.Target, Cursor: reply.NextCursor}
	}
}

// The operation fields says of every column what a form needs, and what it names can
// be asked for.
func TestFields(t *testing.T) { forTables(t, testFields) }

func testFields(t *testing.T, table *testedTable) {
	w := table.world(t, table.options(50))
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	fields, _ := allFields(t, table.of(client), false)
	if !slices.IsSortedFunc(fields, func(a, b messages.Field) int { return strings.Compare(a.LogicalName, b.LogicalName) }) {
		t.Error("not in the order of the logical names")
	}
	byName, types := map[string]messages.Field{}, map[string]bool{}
	for _, field := range fields {
		byName[field.Name] = field
		types[field.Type] = true
		if choice := field.Type == messages.FieldChoice ||
			field.Type == messages.FieldChoices; choice != (len(field.Options) > 0) {
			t.Errorf("%s of type %s has %d options", field.Name, field.Type, len(field.Options))
		}
	}
	for _, kind := range table.kinds() {
		if !types[kind] {
			t.Errorf("no field of type %s", kind)
		}
	}
	for kind := range types {
		if operators[kind] == "" {
			t.Errorf("a type that is not in messages/README.md: %s", kind)
		}
	}
	for _, column := range table.columns {
		field := byName[column.names[0]]
		options := map[int32]string{}
		for _, option := range field.Options {
			options[int32(option.Value)] = option.Label
		}
		if field.LogicalName != column.logical || field.Type != column.kind || !field.Searchable || !field.Readable ||
			field.Label == "" ||
			field.Custom != strings.HasPrefix(column.logical, "cb_") || !maps.Equal(options, column.options) {
			t.Errorf("%s: %+v", column.names[0], field)
		}
	}
	if choice := byName[table.words.choice]; choice.Label != table.words.english.field {
		t.Errorf("%s: %+v", table.words.choice, choice)
	}
	in := messages.SearchRequest{Target: messages.Target{Connection: "acme"}, PageSize: 1}
	for _, field := range fields {
		in.Fields = append(in.Fields, field.Name)
	}
	if page, err := table.of(client).Search(t.Context(), in); err != nil || len(page.Rows[0]) != len(fields) {
		t.Errorf("asking for all of them: %v", err)
	}
	custom, _ := allFields(t, table.of(client), true)
	all := slices.DeleteFunc(slices.Clone(fields), func(f messages.Field) bool { return !f.Custom })
	if len(custom) == 0 || len(custom) != len(all) {
		t.Errorf("%d custom fields, want %d", len(custom), len(all))
	}
	t.Logf("%d fields, %d of them custom", len(fields), len(custom))
}

// Where a message holds few fields, the cursors bring the others, each once.
func TestFieldsInSmallMessages(t *testing.T) { forTables(t, testFieldsInSmallMessages) }

func testFieldsInSmallMessages(t *testing.T, table *testedTable) {
	w := table.world(t, table.options(50))
	whole := func(payload int32) ([]messages.Field, int, *messages.Client) {
		nc := streamstest.Run(t, &server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, MaxPayload: payload})
		w.NATSURL = w.Overheard(nc.ClientURL())
		w.Bridge(w.Settings(payload == 0), nil)
		client, _ := w.Client()
		if payload == 0 {
			w.Connect("acme")
			w.Connect("other")
		}
		fields, pages := allFields(t, table.of(client), false)
		return fields, pages, client
	}
	want, pages, _ := whole(0)
	if pages != 1 {
		t.Errorf("%d pages in messages of a megabyte", pages)
	}
	got, pages, client := whole(4 << 10)
	if diff := cmp.Diff(want, got); diff != "" || pages < 3 {
		t.Errorf("in %d pages (-whole +small): %s", pages, diff)
	}
	t.Logf("%d fields in %d pages of 4 KiB", len(got), pages)

	first, err := table.of(client).Fields(t.Context(), messages.FieldsRequest{Target: messages.Target{Connection: "acme"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, in := range map[string]messages.FieldsRequest{
		"another connection's": {Target: messages.Target{Connection: "other"}, Cursor: first.NextCursor},
		"changed":              {Target: messages.Target{Connection: "acme"}, Cursor: first.NextCursor[:len(first.NextCursor)-3] + "AAA"},
		"of another request":   {Target: messages.Target{Connection: "acme"}, Cursor: first.NextCursor, CustomOnly: true},
	} {
		_, err := table.of(client).Fields(t.Context(), in)
		if fault, ok := errors.AsType[*messages.Error](err); !ok || fault.Code != messages.InvalidRequest ||
			len(fault.Details) == 0 || fault.Details[0].Path != "cursor" {
			t.Errorf("a cursor that is %s: %v", name, err)
		}
	}
	_, err = table.of(client).Search(t.Context(), messages.SearchRequest{Target: messages.Target{Connection: "acme"},
		Cursor: first.NextCursor})
	if fault, ok := errors.AsType[*messages.Error](err); !ok || fault.Code != messages.InvalidRequest {
		t.Errorf("search takes it: %v", err)
	}
}

// A column with very many options comes with those that fit, marked and counted;
// the other columns are listed as ever.
func TestAFieldWithManyOptions(t *testing.T) {
	bridgetest.Long(t, "its answers are tens of MiB large")
	const many = 30_000
	w := bridgetest.New(t, emulator.Options{Accounts: 10})
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	before, _ := allFields(t, client.Accounts(), false)
	options := make(map[int]string, many)
	for i := range many {
		options[i] = fmt.Sprintf("Segment %d %s", i, strings.Repeat("x", 150))
	}
	if err := w.Emulator.Control().AddColumn(emulator.Column{Name: "cb_long", Label: "Long", Type: "Picklist", Options: options}); err != nil {
		t.Fatal(err)
	}
	w.Connect("later") // with no copy of the metadata
	in := messages.FieldsRequest{Target: messages.Target{Connection: "later"}}
	ctx, cancel := context.WithTimeout(t.Context(), messages.MaxDeadline)
	defer cancel()
	var names []string
	var long messages.Field
	for {
		reply, err := client.Accounts().Fields(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		for _, field := range reply.Fields {
			if field.Name == "cb_long" {
				long = field
				continue
			}
			names = append(names, field.Name)
			if field.OptionsTruncated || field.OptionsCount != 0 {
				t.Errorf("%s is truncated", field.Name)
			}
		}
		if in.Cursor = reply.NextCursor; in.Cursor == "" {
			break
		}
	}
	if len(names) != len(before) {
		t.Errorf("%d other fields, want %d", len(names), len(before))
	}
	if n := len(long.Options); !long.OptionsTruncated || long.OptionsCount != many || n < 4000 || n > 10_000 ||
		long.Options[n-1].Value != int64(n-1) {
		t.Errorf("%d options of %d, truncated %v", len(long.Options), long.OptionsCount, long.OptionsTruncated)
	}
	for label, fault := range map[string]string{options[9_999]: "", options[10_000]: "more options than crmbridge knows by label"} {
		where := messages.Leaf("cb_long", messages.Eq, label)
		_, err := client.Accounts().Count(t.Context(), messages.CountRequest{Target: in.Target, Where: &where})
		if fault == "" && err != nil || fault != "" && (err == nil || !strings.Contains(err.Error(), fault)) {
			t.Errorf("%.20s: %v", label, err)
		}
	}
}
