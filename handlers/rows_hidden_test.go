package handlers

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/messages"
)

// Neither a filter nor an order takes a column that column-level security hides: Dataverse
// would answer as if no row had a value in it. Its values are null.
func TestAColumnThatIsHidden(t *testing.T) {
	for _, c := range []struct {
		of            messages.Table
		name, logical string
	}{
		{messages.Accounts, "phone", "telephone1"}, {messages.Contacts, "email", "emailaddress1"},
		{messages.Contacts, "cb_externalref", "cb_externalref"}, {widgets, "size", "new_size"},
	} {
		t.Run(c.of.Name+"."+c.name, func(t *testing.T) {
			e := emulateThree(t, 20)
			if !e.control.Table(c.of.Set).Secure(c.logical, true) {
				t.Fatal("the column is not secured")
			}
			e.connect(t)
			table := e.Table(c.of)
			for _, name := range slices.Compact([]string{c.name, c.logical}) {
				where := messages.All(messages.HasValue("id"), messages.Null(name))
				_, searched := table.Search(t.Context(), messages.SearchRequest{Target: acme, Where: &where})
				_, counted := table.Count(t.Context(), messages.CountRequest{Target: acme, Where: &where})
				_, ordered := table.Search(t.Context(), messages.SearchRequest{Target: acme, OrderBy: []string{"id", "-" + name}})
				for path, errs := range map[string][]error{"where.and[1].field": {searched, counted}, "order_by[1]": {ordered}} {
					for _, err := range errs {
						fault := as(t, err, messages.InvalidRequest)
						if len(fault.Details) != 1 || fault.Details[0].Path != path ||
							!strings.Contains(fault.Message, "may not read "+name+" (column-level security)") {
							t.Errorf("%+v", fault)
						}
					}
				}
			}
			page, err := table.Search(t.Context(), messages.SearchRequest{Target: acme, Fields: []string{"id", c.name}})
			if err != nil || len(page.Rows) != 20 {
				t.Fatalf("%+v, %v", page, err)
			}
			for _, row := range page.Rows {
				if string(row[c.name]) != "null" {
					t.Errorf("%s", row[c.name])
				}
			}
			if field := fieldOf(t, table, c.logical); field.Readable || field.Searchable {
				t.Errorf("%+v", field)
			}
			if field := fieldOf(t, table, "modifiedon"); !field.Readable {
				t.Errorf("%+v", field)
			}
			// Another table's column of this name is none of its business.
			for _, other := range testedTables() {
				if other.table.Name == c.of.Name || !slices.Contains(other.table.FieldNames(), c.name) {
					continue
				}
				where := messages.Null(c.name)
				if _, err := e.Table(other.table).Count(t.Context(), messages.CountRequest{Target: acme, Where: &where}); err != nil {
					t.Errorf("%s: %v", other.table.Name, err)
				}
			}
		})
	}
}

// What needs no column's name needs no metadata; a filter needs it once.
func TestWhenMetadataIsRead(t *testing.T) {
	d, client, _ := operated(t, rows(0, 10, 0))
	search := func(in messages.SearchRequest) {
		t.Helper()
		in.Target = acme
		if _, err := client.Accounts().Search(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	search(messages.SearchRequest{Fields: []string{"id", "name"}, IncludeTotal: true})
	if d.metadata != 0 {
		t.Errorf("metadata was read %d times for a search without a filter", d.metadata)
	}
	where := messages.HasValue("city")
	for range 5 {
		search(messages.SearchRequest{Fields: []string{"id"}, Where: &where, OrderBy: []string{"name"}})
	}
	if d.metadata != 1 {
		t.Errorf("metadata that is not served was asked for %d times", d.metadata)
	}
}

// Where an environment refuses its metadata nobody can know which columns it hides, and
// friendly fields go on; what passes by itself is an error.
func TestFiltersWithoutMetadata(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		code   messages.Code // "": the search goes on
	}{
		{403, `{"error":{"code":"0x80040220","message":"is missing prvReadAttribute privilege"}}`, ""},
		{404, `<html>no such page</html>`, ""},
		{400, `{"error":{"code":"0x0","message":"not here"}}`, ""},
		{501, `{"error":{"code":"","message":"not implemented"}}`, ""},
		{429, `{"error":{"code":"0x80072322","message":"too many"}}`, messages.Throttled},
		{503, ``, messages.Unavailable},
	} {
		d, client, _ := operated(t, rows(0, 10, 0))
		d.change(func() { d.described = func() (int, string) { return c.status, c.body } })
		where := messages.HasValue("city")
		for range 3 {
			_, err := client.Accounts().Search(t.Context(), messages.SearchRequest{Target: acme, Fields: []string{"id"},
				Where: &where})
			if c.code != "" {
				as(t, err, c.code)
				break
			}
			if err != nil {
				t.Errorf("%d: %v", c.status, err)
			}
		}
		if c.code == "" && d.metadata > 3 {
			t.Errorf("%d: metadata was asked for %d times", c.status, d.metadata)
		}
	}
}

// A description of the table that breaks off on its way is none: it says nothing of what
// is hidden, and the next one may say it.
func TestAFilterWhileMetadataBreaksOff(t *testing.T) {
	d, client, _ := operated(t, rows(0, 10, 0))
	broken := true
	d.change(func() {
		d.refuse = func(w http.ResponseWriter, r *http.Request) bool {
			if broken && strings.Contains(r.URL.Path, "EntityDefinitions") {
				w.Header().Set("Content-Length", "1000")
				_, _ = w.Write([]byte(`{"value":[`))
				return true
			}
			return false
		}
	})
	where := messages.HasValue("city")
	search := func() error {
		_, err := client.Accounts().Search(t.Context(), messages.SearchRequest{Target: acme, Fields: []string{"id"},
			Where: &where})
		return err
	}
	as(t, search(), messages.UpstreamError)
	d.change(func() { broken = false })
	if err := search(); err != nil {
		t.Error(err)
	}
}
