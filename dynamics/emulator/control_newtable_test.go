package emulator_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

var visits = emulator.Table{Set: "cb_visits", Logical: "cb_visit", Key: "cb_visitid", Label: "Visit",
	Primary: "cb_subject", Privilege: "prvReadcb_visit",
	Columns: []emulator.Column{
		{Name: "cb_subject", Label: "Subject", Type: "String"},
		{Name: "cb_account", Label: "Account", Type: "Lookup", Targets: []string{"account"}},
		{Name: "cb_result", Label: "Result", Type: "Picklist", Options: map[int]string{1: "Sold", 2: "Not sold"}},
		{Name: "cb_topics", Label: "Topics", Type: "MultiSelectPicklist", Options: map[int]string{1: "Prices", 2: "Service"}},
		{Name: "cb_value", Label: "Value", Type: "Decimal"},
		{Name: "cb_day", Label: "Day", Type: "DateOnly"},
	}}

// A table that a test adds is there as the built-in ones are.
func TestAnAddedTable(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 20})
	tok, c := g.signIn("").AccessToken, g.s.Control()
	if r := g.api(tok, "cb_visits"); r.status != 404 ||
		!strings.Contains(r.body, "Resource not found for the segment 'cb_visits'.") {
		t.Fatalf("before it is there: %d %s", r.status, r.body)
	}
	var account emulator.Account
	for a := range c.Accounts() {
		account = a
		break
	}
	d := visits
	for i := range 30 {
		d.Rows = append(d.Rows, emulator.Row{"cb_subject": fmt.Sprintf("visit %02d", i), "cb_account": account.ID,
			"cb_result": 1 + i%2,
			"cb_topics": []int32{1, 2}, "cb_value": i * 10_000, "cb_day": "2026-02-03"})
	}
	if err := c.AddTable(d); err != nil {
		t.Fatal(err)
	}
	const all = `odata.include-annotations="*"`
	rows := g.query(tok, "cb_visits?$select=cb_subject,_cb_account_value,cb_result,cb_topics,cb_value,cb_day,statecode&$orderby=cb_subject&$top=1", "Prefer", all)
	want := map[string]any{"cb_subject": "visit 00", "_cb_account_value": account.ID, "cb_result": 1.0,
		"cb_topics": "1,2", "cb_value": 0.0, "cb_day": "2026-02-03", "statecode": 0.0,
		"cb_result@OData.Community.Display.V1.FormattedValue": "Sold", "cb_topics@OData.Community.Display.V1.FormattedValue": "Prices; Service",
		"_cb_account_value@Microsoft.Dynamics.CRM.lookuplogicalname": "account", "_cb_account_value@OData.Community.Display.V1.FormattedValue": account.Name}
	for name, v := range want {
		if rows[0][name] != v {
			t.Errorf("%s is %v, want %v", name, rows[0][name], v)
		}
	}
	g.everyRowOnce(tok, "cb_visits", "cb_visitid", "cb_value desc", 30)
	for path, want := range map[string]string{
		"cb_visits/$count?$filter=" + url.QueryEscape("cb_result eq 1"): "15",
		"cb_visits?$apply=aggregate($count%20as%20n)":                   `"n":30`,
		"EntityDefinitions(LogicalName='cb_visit')":                     `"EntitySetName":"cb_visits","LogicalCollectionName":"cb_visits","PrimaryIdAttribute":"cb_visitid","PrimaryNameAttribute":"cb_subject"`,
		"EntityDefinitions(LogicalName='cb_visit')/Attributes(LogicalName='cb_account')/Microsoft.Dynamics.CRM.LookupAttributeMetadata": `"Targets":["account"]`,
		"$metadata":                 `<EntitySet Name="cb_visits" EntityType="Microsoft.Dynamics.CRM.cb_visit">`,
		"":                          `{"name":"cb_visits","kind":"EntitySet","url":"cb_visits"}`,
		"cb_visits?$select=nothing": "Could not find a property named 'nothing' on type 'Microsoft.Dynamics.CRM.cb_visit'.",
	} {
		if r := g.api(tok, path); !strings.Contains(r.body, want) {
			t.Errorf("%s: %.300s", path, r.body)
		}
	}
	first, _ := g.delta(tok, "/api/data/v9.2/cb_visits?$select=cb_subject", track)
	id, err := c.Table("cb_visits").Put(emulator.Row{"cb_subject": "another"})
	if err != nil {
		t.Fatal(err)
	}
	if d, _ := g.delta(tok, strings.TrimPrefix(first.DeltaLink, g.url), track); len(d.Value) != 1 {
		t.Errorf("one change: %+v", d)
	}
	if !c.Table("cb_visits").Delete(id) || c.Table("cb_visits").Delete(id) {
		t.Error("a row can be deleted once")
	}
	if !c.Withhold(emulator.DefaultUser, "prvReadcb_visit") {
		t.Error("its privilege is not known")
	}
	if r := g.api(tok, "cb_visits"); r.status != 403 || !strings.Contains(r.body, "is missing prvReadcb_visit privilege") {
		t.Errorf("without the privilege: %d %s", r.status, r.body)
	}
	if !c.RemoveTable("cb_visits") || c.RemoveTable("accounts") || c.RemoveTable("cb_visits") {
		t.Error("only an added table can be removed, once")
	}
	if r := g.api(tok, "EntityDefinitions(LogicalName='cb_visit')"); r.status != 404 ||
		!strings.Contains(r.body, "0x80041102") {
		t.Errorf("after its removal: %d %s", r.status, r.body)
	}
}

// The control endpoint adds tables and rows too.
func TestAnAddedTableOverHTTP(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: -1})
	control := func(path string, body any) string {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		return g.do("POST", "/_emulator/"+path, "", strings.NewReader(string(b))).body
	}
	d := visits
	d.Rows = []emulator.Row{{"cb_subject": "first", "cb_value": json.Number("12.5")}}
	if got := control("table", d); !strings.Contains(got, `"ok":true`) {
		t.Fatal(got)
	}
	if got := control("row?table=cb_visits", map[string]any{"cb_subject": "second", "cb_value": 0.25, "cb_topics": []int{2}}); !strings.Contains(got, `"id":"`) {
		t.Fatal(got)
	}
	rows := g.query(g.signIn("").AccessToken, "cb_visits?$orderby=cb_subject")
	if len(rows) != 2 || rows[0]["cb_value"] != 12.5 || rows[1]["cb_value"] != 0.25 || rows[1]["cb_topics"] != "2" {
		t.Errorf("%v", rows)
	}
	for path, want := range map[string]string{
		"row?table=cb_visits":        "table cb_visit has no column nothing",
		"row?table=nothing":          `no entity set \"nothing\"`,
		"table?off=1&name=accounts":  "name must be the entity set of an added table",
		"row?table=cb_visits&off=1":  "id must be that of a row",
		"table":                      "unknown field",
		"tracking?table=cb_nothings": "table must be an entity set",
	} {
		if got := control(path, map[string]any{"nothing": 1}); !strings.Contains(got, want) {
			t.Errorf("%s: %s", path, got)
		}
	}
}

// What makes no sense is refused, and says why.
func TestTablesThatCannotBeAdded(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 1})
	for want, edit := range map[string]func(*emulator.Table){
		"Set is":                    func(d *emulator.Table) { d.Set = "No" },
		"no Label":                  func(d *emulator.Table) { d.Label = "" },
		"must begin with prvRead":   func(d *emulator.Table) { d.Privilege = "prvWriteX" },
		"primary column is":         func(d *emulator.Table) { d.Primary = "cb_value" },
		"there is a table":          func(d *emulator.Table) { d.Logical = "account" },
		"there is a table accounts": func(d *emulator.Table) { d.Set = "accounts" },
		"cb_subject is there twice": func(d *emulator.Table) { d.Columns = append(d.Columns, d.Columns[0]) },
		"a lookup has Targets": func(d *emulator.Table) {
			d.Columns = append(d.Columns, emulator.Column{Name: "cb_x", Label: "x", Type: "Lookup"})
		},
		"row 0: column cb_value":              func(d *emulator.Table) { d.Rows = []emulator.Row{{"cb_value": "much"}} },
		"row 0: table cb_visit has no column": func(d *emulator.Table) { d.Rows = []emulator.Row{{"cb_nothing": 1}} },
		"column cb_account: x (string)":       func(d *emulator.Table) { d.Rows = []emulator.Row{{"cb_account": "x"}} },
	} {
		d := visits
		d.Columns = append([]emulator.Column(nil), visits.Columns...)
		edit(&d)
		if err := g.s.Control().AddTable(d); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}
