package messages_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/messages"
)

func TestTables(t *testing.T) {
	seen := map[string]bool{}
	for _, table := range append(messages.Tables(), widgets) {
		if err := table.Check(); err != nil {
			t.Error(err)
		}
		if seen[table.Name] || seen[table.One] {
			t.Errorf("two tables have the name %s or %s", table.Name, table.One)
		}
		seen[table.Name], seen[table.One] = true, true
		logical := map[string]string{}
		for _, field := range table.Fields {
			logical[field.Logical] = field.Type
		}
		for column := range table.Options {
			if logical[column] != messages.FieldChoice {
				t.Errorf("%s has options for %s, which is %q", table.Name, column, logical[column])
			}
		}
	}
}

// Each fault of a description is found.
func TestTableCheck(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*messages.Table)
		says  string
	}{
		"no name":           {func(t *messages.Table) { t.Name = "" }, "lower-case words"},
		"two tokens":        {func(t *messages.Table) { t.Name = "a.b" }, "lower-case words"},
		"a wildcard":        {func(t *messages.Table) { t.Name = "*" }, "lower-case words"},
		"upper case":        {func(t *messages.Table) { t.One = "Widget" }, "lower-case words"},
		"one as many":       {func(t *messages.Table) { t.One = t.Name }, "taken"},
		"another entity":    {func(t *messages.Table) { t.Name = "users" }, "taken"},
		"events":            {func(t *messages.Table) { t.Name = "events" }, "taken"},
		"a member of pages": {func(t *messages.Table) { t.Name = "total" }, "same name"},
		"a member of all":   {func(t *messages.Table) { t.One = "connection" }, "same name"},
		"a member of gets":  {func(t *messages.Table) { t.Name = "deleted" }, "same name"},
		"no set":            {func(t *messages.Table) { t.Set = "" }, "Set is missing"},
		"a long name":       {func(t *messages.Table) { t.Name = strings.Repeat("a", 49) }, "at most 48"},
		"a set with a path": {func(t *messages.Table) { t.Set = "widgets?$top=1" }, "Set is"},
		"a quoted table":    {func(t *messages.Table) { t.Logical = "widget')/x" }, "Logical is"},
		"a path as key":     {func(t *messages.Table) { t.Key = "Widget Id" }, "Key is"},
		"no privilege":      {func(t *messages.Table) { t.ReadPrivilege = `prv"x` }, "ReadPrivilege is"},
		"two lines":         {func(t *messages.Table) { t.Consent = "widgets\nand all" }, "one line"},
		"a path as column":  {func(t *messages.Table) { t.Fields[1].Logical = "owner/name" }, `Logical is "owner/name"`},
		"no consent":        {func(t *messages.Table) { t.Consent = "" }, "Consent is missing"},
		"no fields":         {func(t *messages.Table) { t.Fields = nil }, "field id"},
		"an id of its own":  {func(t *messages.Table) { t.Fields[0].Logical = "x" }, "field id"},
		"a field twice":     {func(t *messages.Table) { t.Fields[1].Name = "id" }, `field "id"`},
		"a field's column":  {func(t *messages.Table) { t.Fields[1].Logical = "" }, "Logical is missing"},
		"a field's type":    {func(t *messages.Table) { t.Fields[1].Type = "blob" }, `no type "blob"`},
		"no defaults":       {func(t *messages.Table) { t.DefaultFields = nil }, "DefaultFields"},
		"another default":   {func(t *messages.Table) { t.DefaultFields = []string{"x"} }, `default field "x"`},
	} {
		table := widgets
		table.Fields = slices.Clone(widgets.Fields)
		c.spoil(&table)
		if err := table.Check(); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

func TestOperationsOfTables(t *testing.T) {
	tables := []messages.Table{messages.Accounts, widgets}
	ops := messages.Operations(tables)
	for _, want := range []messages.Operation{"connections.check", "users.get", "accounts.search", "widgets.search", "widgets.get",
		"widgets.count", "widgets.fields", "widgets.changes"} {
		if !slices.Contains(ops, want) {
			t.Errorf("%s is not among %s", want, ops)
		}
	}
	if slices.Contains(ops, "contacts.search") {
		t.Error("an operation of a table that is not served")
	}
	for _, op := range ops {
		table, verb, found := op.Table(tables)
		if fixed := slices.Contains([]string{"connections", "users", "jobs"}, op.Entity()); found == fixed {
			t.Errorf("%s belongs to table %q: %v", op, table.Name, found)
		}
		if found && table.Operation(verb) != op {
			t.Errorf("%s is %s of %s", op, verb, table.Name)
		}
		if both := schemas(t, op, tables); both.Request == "" || both.Reply == "" {
			t.Errorf("%s has no schemas", op)
		}
		if text, err := op.JobSchema(tables); op.MayBeJob(tables) != (err == nil) || (text == "") != (err != nil) {
			t.Errorf("%s as a job: %s, %v", op, text, err)
		}
	}
	for _, op := range []messages.Operation{"contacts.search", "widgets.export", "widgets", "", "accounts.search.request"} {
		if table, _, found := op.Table(tables); found {
			t.Errorf("%q is an operation of %s", op, table.Name)
		}
	}
	subjects := messages.RequestSubjects(tables)
	for _, want := range []string{"crm.contacts.*.request", "crm.widgets.*.request", "crm.widgets.*.request.*", "crm.users.*.request.*"} {
		if !slices.Contains(subjects, want) {
			t.Errorf("%s is not among %s", want, subjects)
		}
	}
}

func TestChecks(t *testing.T) {
	want := []string{"token", "whoami", "systemusers.read", "roles.read", "teams.read", "accounts.read", "metadata.read", "accounts.changes",
		"widgets.read", "widgets.changes"}
	served := []messages.Table{messages.Accounts, widgets}
	if got := messages.Checks(served); !slices.Equal(got, want) {
		t.Errorf("checks %q, want %q", got, want)
	}
	for asked, want := range map[string]string{"": "", "widgets": "widgets", "widgets,accounts,widgets": "accounts,widgets"} {
		var in messages.CheckRequest
		if asked != "" {
			in.Tables = strings.Split(asked, ",")
		}
		got, fault := in.Chosen(served)
		if fault != nil || strings.Join(messages.TableNames(got), ",") != want {
			t.Errorf("%q: %v, %v", asked, messages.TableNames(got), fault)
		}
	}
	for path, names := range map[string][]string{"tables": {}, "tables[1]": {"accounts", "contacts"}} {
		if _, fault := (messages.CheckRequest{Tables: names}).Chosen(served); fault == nil || fault.Details[0].Path != path {
			t.Errorf("%q: %v", names, fault)
		}
	}
}
