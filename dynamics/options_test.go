package dynamics_test

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/dynamics"
)

const (
	attributesPath = "EntityDefinitions(LogicalName='account')/Attributes"
	picklists      = attributesPath + "/Microsoft.Dynamics.CRM.PicklistAttributeMetadata"
)

// labelOf is a Label object: the user's text, and those in languages, "1033 Consulting".
func labelOf(user string, all ...string) string {
	var texts []string
	for _, one := range all {
		code, text, _ := strings.Cut(one, " ")
		texts = append(texts, fmt.Sprintf(`{"Label":%q,"LanguageCode":%s,"IsManaged":false}`, text, code))
	}
	if user == "" {
		user = "null"
	} else {
		user = fmt.Sprintf(`{"Label":%q,"LanguageCode":1031}`, user)
	}
	return `{"LocalizedLabels":[` + strings.Join(texts, ",") + `],"UserLocalizedLabel":` + user + `}`
}

func optionOf(value int, label string) string {
	return fmt.Sprintf(`{"Value":%d,"Color":null,"Label":%s,"Description":null}`, value, label)
}

// A choice has the options of its own set or of the global one, whichever is there,
// each labelled in the user's language, else in the base language, else in any.
func TestOptions(t *testing.T) {
	one, two := optionOf(1, labelOf("Eins", "1033 One", "1031 Eins")), optionOf(2, labelOf("", "1036 Deux", "1033 Two"))
	set := func(options ...string) string {
		return `{"MetadataId":"x","Options":[` + strings.Join(options, ",") + `]}`
	}
	both := dynamics.OptionSet{Options: []dynamics.Option{{Value: 1, Label: "Eins"}, {Value: 2, Label: "Two"}}, Count: 2}
	for name, c := range map[string]struct {
		column string // members beside the name
		want   dynamics.OptionSet
	}{
		"its own":             {`"OptionSet":` + set(one, two), both},
		"global":              {`"OptionSet":null,"GlobalOptionSet":` + set(one, two), both},
		"global, and no own":  {`"GlobalOptionSet":` + set(one, two), both},
		"both":                {`"GlobalOptionSet":` + set(one, two) + `,"OptionSet":` + set(one, two), both},
		"both, its own first": {`"OptionSet":` + set(one, two) + `,"GlobalOptionSet":` + set(one), both},
		"its own empty":       {`"OptionSet":` + set() + `,"GlobalOptionSet":` + set(one, two), both},
		"options null":        {`"OptionSet":{"Options":null},"GlobalOptionSet":` + set(one, two), both},
		"neither":             {`"OptionSet":null,"GlobalOptionSet":null`, dynamics.OptionSet{Options: []dynamics.Option{}}},
		"a language of its own": {`"OptionSet":` + set(optionOf(1, labelOf("", "1036 Un")), optionOf(2, labelOf("", "1031 Zwei", "1036 Deux"))),
			dynamics.OptionSet{Options: []dynamics.Option{{Value: 1, Label: "Un"}, {Value: 2, Label: "Deux"}}, Count: 2}}, // French is the base language
		"no text": {`"OptionSet":` + set(optionOf(1, labelOf("")), optionOf(2, labelOf("", "1033 "))),
			dynamics.OptionSet{Options: []dynamics.Option{{Value: 1}, {Value: 2}}, Count: 2}},
	} {
		r := newRig(t, script(map[string]string{picklists: `{"@odata.context":"x","value":[{"LogicalName":"new_tier",` +
			c.column + `}]}`}))
		got, err := r.open(t).Options(t.Context(), accounts, dynamics.Picklist)
		if err != nil || !reflect.DeepEqual(got, map[string]dynamics.OptionSet{"new_tier": c.want}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		for _, uri := range r.uris() {
			if strings.Contains(uri, "PicklistAttribute") &&
				!strings.HasSuffix(uri, "$select=LogicalName&$expand=OptionSet($select=Options),GlobalOptionSet($select=Options)") {
				t.Errorf("asked %s", uri)
			}
		}
	}
}

// What is no answer is an error and not a choice without options.
func TestUnusableOptions(t *testing.T) {
	for name, body := range map[string]string{
		"no value": `{}`, "a list": `[]`, "cut off": `{"value":[{"LogicalName":"a","OptionSet":{"Options":[`, "an error": `{"value":[],"error":{}}`,
		"twice": `{"value":[],"value":[]}`, "texts": `{"value":["x"]}`, "a set that is a list": `{"value":[{"LogicalName":"a","OptionSet":[]}]}`,
		"options that are none": `{"value":[{"LogicalName":"a","OptionSet":{"Options":{}}}]}`, "more behind": `{"value":[]} x`,
	} {
		r := newRig(t, script(map[string]string{picklists: body}))
		if _, err := r.open(t).Options(t.Context(), accounts, dynamics.Picklist); dynamics.KindOf(err) != dynamics.Upstream {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An answer with a very long choice is read, longer than other answers may be; its
// options are cut and counted, and other columns have theirs.
func TestManyOptions(t *testing.T) {
	const many = 100_000
	served := false
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		served = true
		_, _ = w.Write([]byte(`{"value":[{"LogicalName":"new_long","OptionSet":null,"GlobalOptionSet":{"Options":[`))
		for i := range many {
			if i > 0 {
				_, _ = w.Write([]byte(","))
			}
			_, _ = w.Write([]byte(optionOf(i, labelOf("", fmt.Sprintf("1033 Option %d", i)))))
		}
		_, _ = w.Write([]byte(`]}},{"LogicalName":"new_short","OptionSet":{"Options":[` + optionOf(1, labelOf("Eins")) +
			`]}}]}`))
	}, func(c *dynamics.Config) { c.MaxBody = 8 << 20 })
	got, err := r.open(t).Options(t.Context(), accounts, dynamics.Picklist)
	if err != nil || !served {
		t.Fatal(err)
	}
	long := got["new_long"]
	if long.Count != many || len(long.Options) != dynamics.MaxOptions ||
		long.Options[9_999] != (dynamics.Option{Value: 9_999, Label: "Option 9999"}) {
		t.Errorf("%d of %d options", len(long.Options), long.Count)
	}
	if short := got["new_short"]; short.Count != 1 || short.Options[0].Label != "Eins" {
		t.Errorf("%+v", short)
	}
}

// Texts that no label holds, and more options than can be kept, end or cut the
// answer instead of filling the memory.
func TestHostileOptions(t *testing.T) {
	one := func(label string) string { return optionOf(1, labelOf(label)) }
	huge := newRig(t, script(map[string]string{picklists: `{"value":[{"LogicalName":"a","OptionSet":{"Options":[` +
		one(strings.Repeat("x", 12<<20)) + `]}}]}`}))
	if _, err := huge.open(t).Options(t.Context(), accounts, dynamics.Picklist); dynamics.KindOf(err) != dynamics.Upstream {
		t.Errorf("a text of 12 MiB: %v", err)
	}
	var columns []string
	long := one(strings.Repeat("x", 100<<10))
	for i := range 200 {
		columns = append(columns, fmt.Sprintf(`{"LogicalName":"new_%d","OptionSet":{"Options":[%s]}}`, i, long))
	}
	many := newRig(t, script(map[string]string{picklists: `{"value":[` + strings.Join(columns, ",") + `]}`}))
	got, err := many.open(t).Options(t.Context(), accounts, dynamics.Picklist)
	if err != nil {
		t.Fatal(err)
	}
	kept := 0
	for _, set := range got {
		kept += len(set.Options)
		if set.Count != 1 {
			t.Errorf("%d options counted", set.Count)
		}
	}
	if kept < 50 || kept > 100 {
		t.Errorf("%d options of 100 KiB are kept", kept)
	}
}

// A column that the Web API has no property for is not listed. An environment that
// does not know the member that says so is asked without it.
func TestColumnsOutsideTheWebAPI(t *testing.T) {
	row := func(name, more string) string {
		return `{"LogicalName":"` + name + `","AttributeType":"String","AttributeTypeName":{"Value":"StringType"},"IsValidForRead":true,` + more +
			`"IsValidForAdvancedFind":{"Value":true},"DisplayName":` + labelOf("", "1033 Label of "+name) + `}`
	}
	body := `{"value":[` + strings.Join([]string{row("new_a", ""), row("new_b", `"IsValidODataAttribute":true,`),
		row("new_c", `"IsValidODataAttribute":false,`),
		row("new_d", `"IsValidODataAttributeValue":false,`), row("new_e", `"IsValidODataAttribute":null,`)}, ",") + `]}`
	for _, older := range []bool{false, true} {
		r := newRig(t, func(w http.ResponseWriter, req *http.Request) {
			switch {
			case strings.HasSuffix(req.URL.Path, "DateTimeAttributeMetadata"):
				_, _ = w.Write([]byte(`{"value":[]}`))
			case older && strings.Contains(req.URL.RawQuery, "IsValidODataAttribute"):
				w.WriteHeader(http.StatusBadRequest)
				_, _ = w.Write([]byte(`{"error":{"code":"0x80060888","message":"Could not find a property named 'IsValidODataAttribute' on type 'Microsoft.Dynamics.CRM.AttributeMetadata'."}}`))
			default:
				_, _ = w.Write([]byte(body))
			}
		})
		columns, err := r.open(t).Columns(t.Context(), accounts)
		var names []string
		for _, c := range columns {
			names = append(names, c.Logical+" "+c.Label)
		}
		if want := []string{"new_a Label of new_a", "new_b Label of new_b", "new_e Label of new_e"}; err != nil ||
			!reflect.DeepEqual(names, want) {
			t.Errorf("older %v: %q, %v", older, names, err)
		}
	}
}

// Several choices are read by their values, whatever their labels hold and whether
// their options are still there.
func TestSeveralChoicesByValue(t *testing.T) {
	labels := map[int]string{1: "A; B", 2: "C", 4: "D"} // 3 was deleted, 5 is newer than the metadata
	for _, c := range []struct{ values, joined, want string }{
		{"1,2", "A; B; C", `[{"value":1,"label":"A; B"},{"value":2,"label":"C"}]`},
		{"1,3,2", "A; B; C", `[{"value":1,"label":"A; B"},{"value":3,"label":""},{"value":2,"label":"C"}]`},
		{"3,2,4", "C; D", `[{"value":3,"label":""},{"value":2,"label":"C"},{"value":4,"label":"D"}]`},
		{"2,3,4", "C; ; D", `[{"value":2,"label":"C"},{"value":3,"label":""},{"value":4,"label":"D"}]`},
		{"2,5", "C; New", `[{"value":2,"label":"C"},{"value":5,"label":"New"}]`},
		{"5,3", "New; Old", `[{"value":5,"label":"New"},{"value":3,"label":"Old"}]`},
		{"2,4", "X; Y", `[{"value":2,"label":"X"},{"value":4,"label":"Y"}]`}, // they have new names
		{"1,2", "X; Y", `[{"value":1,"label":"A; B"},{"value":2,"label":"C"}]`},
		{"2,3", "X; Y", `[{"value":2,"label":"C"},{"value":3,"label":""}]`},
	} {
		row := fmt.Sprintf(`{"new_channels@OData.Community.Display.V1.FormattedValue":%q,"new_channels":%q,"accountid":%q}`,
			c.joined, c.values, someID)
		r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"value":[` + row + `]}`)) })
		page, err := firstPage(t.Context(), r.open(t),
			dynamics.Query{Select: []dynamics.Output{{Column: column("new_channels", dynamics.Choices), As: "c",
				Labels: labels}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := string(page.Row(0)); got != `{"c":`+c.want+`}` {
			t.Errorf("%s %q: %s", c.values, c.joined, got)
		}
	}
}
