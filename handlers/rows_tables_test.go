package handlers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// widgets is a table that only this test describes: of crmbridge's own code nothing knows
// it.
var widgets = messages.Table{
	Name: "widgets", One: "widget", Set: "new_widgets", Logical: "new_widget", Key: "new_widgetid", Display: "Widget",
	ReadPrivilege: "prvReadnew_widget", Consent: "widgets",
	Fields: []messages.TableField{
		{Name: "id", Logical: "new_widgetid", Type: messages.FieldGUID},
		{Name: "name", Logical: "new_label", Type: messages.FieldText},
		{Name: "size", Logical: "new_size", Type: messages.FieldWholeNumber},
		{Name: "colour", Logical: "new_colour", Type: messages.FieldChoice},
		{Name: "status", Logical: "statecode", Type: messages.FieldChoice},
		{Name: "modified_at", Logical: "modifiedon", Type: messages.FieldDateTime},
	},
	DefaultFields: []string{"id", "name", "size", "colour"},
	Options:       map[string][]messages.Choice{"new_colour": {{Value: 1, Label: "Red"}, {Value: 2, Label: "Blue"}}},
}

// newWidgets is the table in an environment, with so many rows.
func newWidgets(rows int) emulator.Table {
	t := emulator.Table{Set: "new_widgets", Logical: "new_widget", Key: "new_widgetid", Label: "Widget",
		Primary:   "new_label",
		Privilege: "prvReadnew_widget", Columns: []emulator.Column{
			{Name: "new_label", Label: "Label", Type: "String"},
			{Name: "new_size", Label: "Size", Type: "Integer"},
			{Name: "new_colour", Label: "Colour", Type: "Picklist", Options: map[int]string{1: "Red", 2: "Blue"}},
			{Name: "cb_tags", Label: "Tags", Type: "MultiSelectPicklist", Options: map[int]string{1: "New", 2: "Used"}},
			{Name: "cb_lastcampaign", Label: "Last campaign", Type: "DateOnly"},
		}}
	for i := range rows {
		t.Rows = append(t.Rows, emulator.Row{"new_label": fmt.Sprintf("widget %03d", i), "new_size": i, "new_colour": 1 + i%2,
			"cb_tags": []int32{1 + int32(i%2)}, "cb_lastcampaign": "2026-02-03"})
	}
	return t
}

// A tested table has a column of several choices that the customer added, one of its
// labels, and a choice of crmbridge's own.
type tested struct {
	table                  messages.Table
	choices, label, choice string
}

func testedTables() []tested {
	return []tested{
		{messages.Accounts, "cb_channels", "email", "industrycode"},
		{messages.Contacts, "cb_interests", "", "statecode"},
		{widgets, "cb_tags", "used", "new_colour"},
	}
}

// eachTable runs a test for each table in an environment with so many rows of each.
func eachTable(t *testing.T, rows int, test func(t *testing.T, e *emulated, of tested, table *messages.TableClient)) {
	t.Helper()
	for _, of := range testedTables() {
		t.Run(of.table.Name, func(t *testing.T) {
			e := emulateThree(t, rows).connect(t)
			if of.label == "" {
				of.label = labelOf(t, e.Table(of.table), of.choices)
			}
			test(t, e, of, e.Table(of.table))
		})
	}
}

// emulateThree starts an environment with accounts, contacts and widgets.
func emulateThree(t *testing.T, rows int) *emulated {
	t.Helper()
	e := emulateTables(t, emulator.Options{Accounts: rows, Contacts: rows}, messages.Accounts, messages.Contacts, widgets)
	if err := e.control.AddTable(newWidgets(rows)); err != nil {
		t.Fatal(err)
	}
	return e
}

// labelOf is the first label of a choice.
func labelOf(t *testing.T, table *messages.TableClient, column string) string {
	t.Helper()
	return strings.ToUpper(fieldOf(t, table, column).Options[0].Label)
}

// fieldOf is the description of a column.
func fieldOf(t *testing.T, table *messages.TableClient, column string) messages.Field {
	t.Helper()
	for _, field := range listed(t, table, messages.FieldsRequest{}) {
		if field.LogicalName == column {
			return field
		}
	}
	t.Fatalf("%s is not listed", column)
	return messages.Field{}
}

// listed follows the cursors of a listing of fields.
func listed(t *testing.T, table *messages.TableClient, in messages.FieldsRequest) (fields []messages.Field) {
	t.Helper()
	in.Target = acme
	for range 100 {
		reply, err := table.Fields(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		fields = append(fields, reply.Fields...)
		if in = (messages.FieldsRequest{Target: acme, Cursor: reply.NextCursor}); in.Cursor == "" {
			return fields
		}
	}
	t.Fatal("the fields have no end")
	return nil
}

func logicalNames(fields []messages.Field) (names []string) {
	for _, field := range fields {
		names = append(names, field.LogicalName)
	}
	return names
}

// Rows are read by id, counted, and found by columns that only the metadata knows.
func TestRows(t *testing.T) {
	eachTable(t, 300, func(t *testing.T, _ *emulated, of tested, table *messages.TableClient) {
		page, err := table.Search(t.Context(), messages.SearchRequest{Target: acme, PageSize: 3, OrderBy: []string{"name"},
			IncludeTotal: true})
		if err != nil || len(page.Rows) != 3 || page.Total == nil || *page.Total != 300 || page.NextCursor == "" {
			t.Fatalf("%+v, %v", page, err)
		}
		if n, err := table.Count(t.Context(), messages.CountRequest{Target: acme}); err != nil || n != 300 {
			t.Errorf("%d, %v", n, err)
		}
		id, name := idsOf(t, page.Rows)[0], string(page.Rows[0]["name"])
		row, err := table.Get(t.Context(), messages.GetRequest{Target: acme, ID: strings.ToUpper(id)})
		if err != nil || string(row["name"]) != name || len(row) != len(of.table.DefaultFields) {
			t.Errorf("%+v, %v", row, err)
		}
		for _, c := range []struct {
			in   messages.GetRequest
			code messages.Code
			path string
		}{
			{messages.GetRequest{}, messages.InvalidRequest, of.table.IDMember()},
			{messages.GetRequest{ID: "7"}, messages.InvalidRequest, of.table.IDMember()},
			{messages.GetRequest{ID: id, Fields: []string{"nmae"}}, messages.InvalidRequest, "fields[0]"},
			{messages.GetRequest{ID: nobody}, messages.NotFound, ""},
		} {
			c.in.Target = acme
			_, err := table.Get(t.Context(), c.in)
			if fault := as(t, err, c.code); c.path != "" && fault.Details[0].Path != c.path {
				t.Errorf("%+v", fault)
			}
		}
		// A column of the customer's, with a label, in a filter, an order and the fields.
		where := messages.Where{Field: of.choices, Op: messages.ContainsAny, Value: []byte(fmt.Sprintf("[%q]", of.label))}
		custom, err := table.Search(t.Context(), messages.SearchRequest{Target: acme, Where: &where,
			Fields:  []string{"id", of.choices, "cb_lastcampaign"},
			OrderBy: []string{"-cb_lastcampaign"}})
		if err != nil {
			t.Fatal(err)
		}
		n, err := table.Count(t.Context(), messages.CountRequest{Target: acme, Where: &where})
		if err != nil || n == 0 || n == 300 || int64(len(custom.Rows)) != min(n, messages.DefaultPageSize) {
			t.Errorf("%d rows of %d, %v", len(custom.Rows), n, err)
		}
		_, err = table.Count(t.Context(), messages.CountRequest{Target: acme, Where: &messages.Where{}})
		as(t, err, messages.InvalidRequest)
		none := messages.Where{Field: "name", Op: messages.Eq, Value: []byte("null")}
		_, err = table.Count(t.Context(), messages.CountRequest{Target: acme, Where: &none})
		if fault := as(t, err, messages.InvalidRequest); !strings.Contains(fault.Message, "to find "+of.table.Name+" without a value") {
			t.Errorf("%+v", fault)
		}
	})
}

// Pages, streams and changes bring each row once, and later changes what came after.
func TestEveryRowOnce(t *testing.T) {
	eachTable(t, 120, func(t *testing.T, e *emulated, of tested, table *messages.TableClient) {
		var paged, streamed, changed []string
		for page, err := range table.Pages(t.Context(), messages.SearchRequest{Target: acme, PageSize: 50, OrderBy: []string{"-name"}}) {
			if err != nil {
				t.Fatal(err)
			}
			paged = append(paged, idsOf(t, page.Rows)...)
		}
		for part, err := range table.Stream(t.Context(), messages.SearchRequest{Target: acme, PageSize: 50, OrderBy: []string{"-name"}}) {
			if err != nil {
				t.Fatal(err)
			}
			streamed = append(streamed, idsOf(t, part.Rows)...)
		}
		if len(paged) != 120 || !slices.Equal(paged, streamed) {
			t.Errorf("%d rows in pages, %d in a stream", len(paged), len(streamed))
		}
		in := messages.ChangesRequest{Target: acme, PageSize: 50}
		for more := true; more; {
			page, err := table.Changes(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			changed = append(changed, idsOf(t, page.Rows)...)
			in, more = messages.ChangesRequest{Target: acme, Cursor: page.NextCursor}, page.HasMore
		}
		slices.Sort(changed)
		slices.Sort(paged)
		if !slices.Equal(changed, paged) {
			t.Errorf("%d rows changed", len(changed))
		}
		if !e.control.Table(of.table.Set).Delete(paged[0]) {
			t.Fatal("nothing was deleted")
		}
		later, err := table.Changes(t.Context(), in)
		if err != nil || len(later.Rows) != 0 || !slices.Equal(later.Deleted, paged[:1]) {
			t.Errorf("%+v, %v", later, err)
		}
	})
}

// The fields of the table come in messages that fit, each once, and the cursor goes on
// where the last one ended.
func TestFields(t *testing.T) {
	eachTable(t, 1, func(t *testing.T, e *emulated, of tested, table *messages.TableClient) {
		all := logicalNames(listed(t, table, messages.FieldsRequest{}))
		custom := logicalNames(listed(t, table, messages.FieldsRequest{CustomOnly: true}))
		if !slices.IsSorted(all) || !slices.Contains(all, of.table.Key) ||
			len(slices.Compact(slices.Clone(all))) != len(all) {
			t.Errorf("%q", all)
		}
		if !slices.Contains(custom, of.choices) || slices.Contains(custom, "statecode") || len(custom) >= len(all) {
			t.Errorf("%q", custom)
		}
		for _, field := range of.table.Fields {
			if got := fieldOf(t, table, field.Logical); got.Name != field.Name || got.Type != field.Type || !got.Readable {
				t.Errorf("%+v, want %+v", got, field)
			}
		}
		if got := fieldOf(t, table, of.choice); len(got.Options) < 2 {
			t.Errorf("%+v", got)
		}
		// A choice whose options take more than a message is cut, and the rest follows.
		for value := range 2000 {
			if !e.control.Table(of.table.Set).AddOption(of.choices, 1_000_000+value, map[int]string{1033: strings.Repeat("x", 50)}) {
				t.Fatal("no option was added")
			}
		}
		if _, err := e.DeleteIfThere(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
		e.connect(t)
		first, err := table.Fields(t.Context(), messages.FieldsRequest{Target: acme})
		if err != nil || first.NextCursor == "" {
			t.Errorf("%d fields, %v: they come in one message", len(first.Fields), err)
		}
		if again := logicalNames(listed(t, table, messages.FieldsRequest{})); !slices.Equal(again, all) {
			t.Errorf("%d fields, want %d", len(again), len(all))
		}
		_, err = table.Fields(t.Context(), messages.FieldsRequest{Target: acme, Cursor: "x"})
		as(t, err, messages.InvalidRequest)
	})
}

// A column that the environment loses is known soon, and a filter that Dataverse no longer
// knows is planned anew.
func TestColumnsThatComeAndGo(t *testing.T) {
	eachTable(t, 10, func(t *testing.T, e *emulated, of tested, table *messages.TableClient) {
		where := messages.HasValue("cb_lastcampaign")
		search := func() error {
			_, err := table.Search(t.Context(), messages.SearchRequest{Target: acme, Fields: []string{"id"}, Where: &where})
			return err
		}
		if err := search(); err != nil {
			t.Fatal(err)
		}
		if !e.control.Table(of.table.Set).RemoveColumn("cb_lastcampaign") {
			t.Fatal("nothing was removed")
		}
		fault := as(t, search(), messages.InvalidRequest)
		if len(fault.Details) != 1 || fault.Details[0].Path != "where.field" {
			t.Errorf("%+v", fault)
		}
	})
}

// Each table goes on from its own cursors only, whatever they are of.
func TestCursorsOfAnotherTable(t *testing.T) {
	e := emulateThree(t, 10).connect(t)
	goOn := map[string]func(context.Context, *messages.TableClient, string) (string, error){
		"search": func(ctx context.Context, table *messages.TableClient, cursor string) (string, error) {
			in := messages.SearchRequest{Target: acme, Cursor: cursor}
			if cursor == "" {
				in.PageSize = 3
			}
			page, err := table.Search(ctx, in)
			if err != nil {
				return "", err
			}
			return page.NextCursor, nil
		},
		"changes": func(ctx context.Context, table *messages.TableClient, cursor string) (string, error) {
			page, err := table.Changes(ctx, messages.ChangesRequest{Target: acme, Cursor: cursor, PageSize: 3})
			if err != nil {
				return "", err
			}
			return page.NextCursor, nil
		},
	}
	for verb, next := range goOn {
		for _, of := range testedTables() {
			cursor, err := next(t.Context(), e.Table(of.table), "")
			if err != nil || cursor == "" {
				t.Fatalf("%q, %v", cursor, err)
			}
			for _, other := range testedTables() {
				_, err := next(t.Context(), e.Table(other.table), cursor)
				if other.table.Name == of.table.Name {
					if err != nil {
						t.Errorf("%s of %s: %v", verb, of.table.Name, err)
					}
					continue
				}
				want := fmt.Sprintf("is a cursor of %s.%s, and %s.%s", of.table.Name, verb, other.table.Name, verb)
				if fault := as(t, err, messages.InvalidRequest); !strings.Contains(fault.Message, want) {
					t.Errorf("%q, want %q", fault.Message, want)
				}
			}
		}
	}
}

// The schema of an operation has the table's words.
func TestSchemasOfATable(t *testing.T) {
	e := emulateThree(t, 1)
	routes := routesOf(t, e.operations)
	for _, of := range testedTables() {
		for _, verb := range messages.Verbs() {
			r, known := routes[of.table.Operation(verb)]
			if !known {
				t.Fatalf("%s is not served", of.table.Operation(verb))
			}
			schemas, err := r.Schemas()
			if err != nil || schemas.Request == "" || schemas.Reply == "" {
				t.Errorf("%s has the schemas %+v: %v", of.table.Operation(verb), schemas, err)
			}
			if verb == messages.VerbGet && !strings.Contains(schemas.Request, of.table.IDMember()) {
				t.Errorf("%s", schemas.Request)
			}
		}
	}
}

// A description with a fault is found when the process starts.
func TestRoutesOfAFaultyTable(t *testing.T) {
	spoilt := widgets
	spoilt.Options = map[string][]messages.Choice{"new_label": {{Value: 1, Label: "Red"}}}
	for says, tables := range map[string][]messages.Table{"no friendly field of choices": {spoilt}, "there twice": {widgets, widgets}, "Name and One": {{}}} {
		if _, err := (&Operations{Tables: tables}).Routes(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}

// Whoever connects again may do so for fewer tables. Then nothing of the others is
// answered, also not what was read and kept before.
func TestATableThatIsNoLongerPermitted(t *testing.T) {
	e := emulateThree(t, 3).connect(t)
	for _, table := range []messages.Table{messages.Contacts, widgets} {
		e.access.only.Store(nil)
		client := e.Table(table)
		listed(t, client, messages.FieldsRequest{})
		page, err := client.Search(t.Context(), messages.SearchRequest{Target: acme, PageSize: 1})
		if err != nil {
			t.Fatal(err)
		}
		e.access.only.Store(&[]string{"accounts"})
		where := messages.HasValue("no_such_field")
		for name, ask := range map[string]func() error{
			"search": func() error {
				_, err := client.Search(t.Context(), messages.SearchRequest{Target: acme, Where: &where})
				return err
			},
			"cursor": func() error {
				_, err := client.Search(t.Context(), messages.SearchRequest{Target: acme, Cursor: page.NextCursor})
				return err
			},
			"get": func() error {
				_, err := client.Get(t.Context(), messages.GetRequest{Target: acme, ID: page.Rows[0].Text("id"),
					Fields: []string{"no_such_field"}})
				return err
			},
			"count": func() error {
				_, err := client.Count(t.Context(), messages.CountRequest{Target: acme, Where: &where})
				return err
			},
			"fields": func() error { _, err := client.Fields(t.Context(), messages.FieldsRequest{Target: acme}); return err },
			"changes": func() error {
				_, err := client.Changes(t.Context(), messages.ChangesRequest{Target: acme, Fields: []string{"no_such_field"}})
				return err
			},
		} {
			t.Run(table.Name+"."+name, func(t *testing.T) { as(t, ask(), messages.ConsentRequired) })
		}
	}
}

// An application that sends people to Microsoft itself is told which tables they agree
// to; where people see the connect page the page tells them.
func TestAnApplicationThatOwnsTheRedirectKnowsTheTables(t *testing.T) {
	for _, bus := range []bool{true, false} {
		e := emulateThree(t, 1)
		e.operations.BusCompletion = bus
		reply, err := e.Authorize(t.Context(), messages.AuthorizeRequest{Target: acme, EnvironmentURL: e.url})
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		if bus {
			want = []string{"accounts", "contacts", "widgets"}
		}
		if !slices.Equal(reply.Tables, want) || (reply.AuthorizationURL != "") != bus {
			t.Errorf("%t: %+v", bus, reply)
		}
	}
}
