package emulator_test

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

func TestWhatCannotBeChangedInTheSchema(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: -1})
	c := g.s.Control()
	english := map[int]string{1033: "x"}
	for name, done := range map[string]bool{
		"an option of no column":     c.RelabelOption("nix", 1, english),
		"no such option":             c.RelabelOption("industrycode", 34, english),
		"a language of nobody":       c.RelabelOption("industrycode", 1, map[int]string{1034: "x"}),
		"an empty label":             c.RelabelOption("industrycode", 1, map[int]string{1033: ""}),
		"no label":                   c.RelabelOption("industrycode", 1, nil),
		"a value that is taken":      c.AddOption("industrycode", 7, english),
		"an option of a text":        c.AddOption("name", 7, english),
		"an option of a state":       c.AddOption("statecode", 7, english),
		"no label of the base":       c.AddOption("industrycode", 34, map[int]string{1031: "x"}),
		"removing no option":         c.RemoveOption("industrycode", 34),
		"removing a state":           c.RemoveOption("statecode", 1),
		"a name of no column":        c.RelabelColumn("nix", english),
		"removing a standard column": c.RemoveColumn("name"),
		"removing no column":         c.RemoveColumn("cb_nix"),
	} {
		if done {
			t.Errorf("%s: done", name)
		}
	}
	for want, d := range map[string]emulator.Column{
		"a custom column's name is like cb_region": {Name: "region", Label: "x", Type: "String"},
		"it must be one of Boolean, DateTime":      {Name: "cb_region", Label: "x", Type: "Lookup"},
		"has no label":                             {Name: "cb_region", Type: "String"},
		"of type String has no options":            {Name: "cb_region", Label: "x", Type: "String", Options: english},
		"there is a column cb_channels":            {Name: "cb_channels", Label: "x", Type: "String"},
	} {
		if err := c.AddColumn(d); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", d, err, want)
		}
	}
	for path, want := range map[string]string{
		"option": "value must be the integer of an option",
		"option?column=industrycode&value=x&label=y":        "value must be the integer of an option",
		"option?column=industrycode&value=7":                "column must be a choice, label not empty",
		"option?column=name&value=7&label=y":                "column must be a choice",
		"option?column=industrycode&value=7&label=y&lcid=1": "lcid one of 1033 (English), 1031 (German), 1036 (French)",
		"option?column=industrycode&value=77&off=1":         "column and value must be those of an option",
		"column?column=name&off=1":                          "column must be the logical name of a custom column",
		"column?column=cb_region&label=Region":              `column cb_region: type is ""; it must be one of Boolean`,
	} {
		if r := g.do("POST", "/_emulator/"+path, "", nil); r.status != 400 ||
			!strings.Contains(r.body, strings.ReplaceAll(want, `"`, `\"`)) {
			t.Errorf("%s: %d %s, want %s", path, r.status, r.body, want)
		}
	}
	if r := g.api(g.signIn("").AccessToken, "accounts?$select=name", "Prefer", `odata.include-annotations="*"`); !strings.Contains(r.body, `globalmetadataversion":"6012567"`) {
		t.Errorf("what was refused changed the schema: %s", r.body)
	}
}

func TestOptionsChange(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: -1})
	c := g.s.Control()
	id := c.PutAccount(emulator.Account{Name: "x", Industry: ptr(int32(7)), Channels: []int32{100000000, 100000001}})
	english, german := g.signIn("").AccessToken, g.signIn(emulator.GermanUser).AccessToken
	post := func(path string, values ...string) {
		t.Helper()
		q := url.Values{}
		for i := 0; i < len(values); i += 2 {
			q.Set(values[i], values[i+1])
		}
		if r := g.do("POST", "/_emulator/"+path+"?"+q.Encode(), "", nil); r.status != 200 {
			t.Fatalf("%s %q: %d %s", path, values, r.status, r.body)
		}
	}
	check := func(name, inEnglish, inGerman, channels string) {
		t.Helper()
		for token, want := range map[string]string{english: inEnglish, german: inGerman} {
			r := g.api(token, "accounts("+id+")?$select=industrycode,cb_channels", "Prefer", formattedOnly)
			text := `"industrycode@OData.Community.Display.V1.FormattedValue":"` + want + `",`
			if want == "" {
				text = `$entity","@odata.etag":"W/\"` // and no annotation
			}
			if !strings.Contains(r.body, text) || token == english && !strings.Contains(r.body, channels) || want == "" &&
				strings.Contains(r.body, "industrycode@") {
				t.Errorf("%s: %s, want %q", name, r.body, want)
			}
		}
	}
	check("at first", "Consulting", "Beratung", `"Email; Phone"`)
	post("option", "column", "industrycode", "value", "7", "label", "Advice")
	check("a new label in the base language has no translation", "Advice", "Advice", `"Email; Phone"`)
	post("option", "column", "industrycode", "value", "7", "label", "Rat", "lcid", "1031")
	check("until it gets one", "Advice", "Rat", `"Email; Phone"`)
	c.RelabelOption("industrycode", 7, map[int]string{1033: "Accounting", 1031: "Buchhaltung"})
	if set := g.optionSet(english, "industrycode"); set[1].user().Label != "Accounting" ||
		set[7].user().Label != "Accounting" || len(set) != 33 {
		t.Errorf("two options of one label: %+v", set)
	}
	post("option", "column", "industrycode", "value", "100000000", "label", "Space Travel")
	if set := g.optionSet(german, "industrycode"); fmt.Sprint(set[100000000].LocalizedLabels) != "[{Space Travel 1033}]" || set[100000000].UserLocalizedLabel != nil || len(set) != 34 {
		t.Errorf("a new option: %+v", set)
	}
	post("option", "column", "industrycode", "value", "7", "off", "1")
	check("without its option the integer stays", "", "", `"Email; Phone"`)
	if r := g.api(english, "accounts("+id+")?$select=industrycode"); !strings.Contains(r.body, `"industrycode":7`) {
		t.Error(r.body)
	}
	c.RelabelOption("cb_channels", 100000001, map[int]string{1033: "Call"})
	check("several choices", "", "", `"Email; Call"`)
	for _, x := range []struct{ column, kind, want string }{
		{"donotemail", "Boolean", `"FalseOption":{"Value":0`}, {"statecode", "State", `"Label":{"LocalizedLabels":[{"Label":"Closed"`},
	} {
		c.RelabelOption(x.column, 1, map[int]string{1033: "Closed"})
		if r := g.api(english, attributes+"(LogicalName='"+x.column+"')/Microsoft.Dynamics.CRM."+x.kind+"AttributeMetadata?$expand=OptionSet"); !strings.Contains(r.body, x.want) || !strings.Contains(r.body, `"UserLocalizedLabel":{"Label":"Closed"`) {
			t.Errorf("%s: %s", x.column, r.body)
		}
	}
}

func TestColumnsComeAndGo(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: -1})
	c := g.s.Control()
	for _, d := range []emulator.Column{
		{Name: "cb_region", Label: "Region", Type: "Picklist", Options: map[int]string{1: "North", 2: "South"}},
		{Name: "cb_motto", Label: "Motto", Type: "String"}, {Name: "cb_seats", Label: "Seats", Type: "Integer"}, {Name: "cb_fair", Label: "Fair", Type: "Boolean"},
		{Name: "cb_budget", Label: "Budget", Type: "Decimal"}, {Name: "cb_visit", Label: "Visit", Type: "DateTime"},
		{Name: "cb_tags", Label: "Tags", Type: "MultiSelectPicklist", Options: map[int]string{1: "A", 2: "B"}},
	} {
		if err := c.AddColumn(d); err != nil {
			t.Error(err)
		}
	}
	id := c.PutAccount(emulator.Account{Name: "x", More: map[string]any{"cb_region": 2, "cb_motto": "go",
		"cb_seats": 1200, "cb_fair": true, "cb_budget": 15000,
		"cb_visit": time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), "cb_tags": []int32{1, 2}}})
	c.PutAccount(emulator.Account{Name: "y", More: map[string]any{"cb_region": "of another type"}})
	tok := g.signIn("").AccessToken
	r := g.api(tok, "accounts("+id+")?$select=cb_region,cb_motto,cb_seats,cb_fair,cb_budget,cb_visit,cb_tags", "Prefer",
		formattedOnly)
	want := `"cb_region@OData.Community.Display.V1.FormattedValue":"South","cb_region":2,"cb_motto":"go","cb_seats@OData.Community.Display.V1.FormattedValue":"1,200","cb_seats":1200,` +
		`"cb_fair@OData.Community.Display.V1.FormattedValue":"Yes","cb_fair":true,"cb_budget@OData.Community.Display.V1.FormattedValue":"1.50","cb_budget":1.5000000000,` +
		`"cb_visit@OData.Community.Display.V1.FormattedValue":"1/1/2026 8:04 PM","cb_visit":"2026-01-02T03:04:05Z","cb_tags@OData.Community.Display.V1.FormattedValue":"A; B","cb_tags":"1,2",`
	if !strings.Contains(r.body, want) {
		t.Errorf("got  %s\nwant %s", r.body, want)
	}
	if got := g.names(tok, "cb_region eq null"); fmt.Sprint(got) != "[y]" {
		t.Errorf("null: %q", got)
	}
	if got := g.names(tok, "cb_region eq 2 and contains(cb_motto,'g')"); fmt.Sprint(got) != "[x]" {
		t.Errorf("a filter: %q", got)
	}
	if r := g.api(tok, attributes+"?$select=LogicalName&$filter=LogicalName%20eq%20'cb_region'"); !strings.Contains(r.body, `"@odata.type":"#Microsoft.Dynamics.CRM.PicklistAttributeMetadata"`) {
		t.Error(r.body)
	}
	if r := g.do("POST", "/_emulator/column?column=cb_region&label=Gebiet&lcid=1031", "", nil); r.status != 200 {
		t.Error(r.body)
	}
	if r := g.api(g.signIn(emulator.GermanUser).AccessToken, attributes+"(LogicalName='cb_region')?$select=DisplayName"); !strings.Contains(r.body, `"UserLocalizedLabel":{"Label":"Gebiet","LanguageCode":1031`) {
		t.Error(r.body)
	}
	if r := g.do("POST", "/_emulator/column?column=cb_region&off=1", "", nil); r.status != 200 {
		t.Error(r.body)
	}
	if r := g.api(tok, "accounts?$select=cb_region"); r.status != 400 ||
		!strings.Contains(r.body, "Could not find a property named 'cb_region' on type 'Microsoft.Dynamics.CRM.account'.") {
		t.Errorf("a column that is gone: %d %s", r.status, r.body)
	}
	if r := g.do("POST", "/_emulator/column?column=cb_region&label=Region&type=Integer", "", nil); r.status != 200 ||
		g.api(tok, "accounts?$select=cb_region").status != 200 {
		t.Errorf("again, of another type: %s", r.body)
	}
}

// Requests that are under way see one state of the schema; the race detector watches.
func TestTheSchemaChangesUnderReaders(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: 200})
	tok, c := g.signIn("").AccessToken, g.s.Control()
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 50 {
			c.RelabelOption("industrycode", 7, map[int]string{1033: fmt.Sprint("Label ", i)})
		}
	})
	wg.Go(func() {
		for range 10 {
			r := g.api(tok, "accounts?$select=industrycode&$filter=industrycode%20eq%207", "Prefer", formattedOnly)
			first := strings.Index(r.body, `FormattedValue":"`)
			label, _, _ := strings.Cut(r.body[first+len(`FormattedValue":"`):], `"`)
			if first < 0 || strings.Count(r.body, `FormattedValue":"`) != strings.Count(r.body, `FormattedValue":"`+label+`"`) {
				t.Errorf("two labels in one answer: %s", r.body)
			}
		}
	})
	wg.Wait()
}
