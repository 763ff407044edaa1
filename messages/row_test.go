package messages_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/messages"
)

func TestRowText(t *testing.T) {
	for raw, want := range map[string]string{
		``:                                 "",
		`null`:                             "",
		`"A. Datum \u00fc"`:                "A. Datum ü",
		`""`:                               "",
		`12345678901234.5600`:              "12345678901234.5600",
		`true`:                             "true",
		`{"value":7,"label":"Consulting"}`: "Consulting",
		`{"value":7,"label":""}`:           "7",
		`{"value":7,"label":null}`:         "7",
		`{"id":"0199","name":"Ann","entity":"systemuser"}`: "Ann",
		`{"id":"0199","name":"","entity":"systemuser"}`:    "0199",
		`{"odd":1}`: `{"odd":1}`,
		`[{"value":1,"label":"Gold"},{"value":2,"label":"Silver"}]`:         "Gold; Silver",
		`[{"value":1,"label":""},null]`:                                     "1; ",
		`[{"id":"1","name":"Ann","entity":"contact"},{"id":"2","name":""}]`: "Ann; 2",
		`["a","b"]`: "a; b",
		`[]`:        "",
	} {
		if got := (messages.Row{"f": jsontext.Value(raw)}).Text("f"); got != want {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
	if got := (messages.Row{}).Text("f"); got != "" {
		t.Errorf("a field that is not there: %q", got)
	}
}

func TestRowDecode(t *testing.T) {
	account := messages.Row{
		"name": jsontext.Value(`"Zq7X"`), "revenue": jsontext.Value(`90071992547409930.10`), "phone": jsontext.Value(`null`),
		"industry": jsontext.Value(`{"value":7,"label":"Consulting"}`), "owner": jsontext.Value(`{"id":"1","name":"Ann","entity":"systemuser"}`),
	}
	var text string
	var digits json.Number
	var choice messages.Choice
	var lookup messages.Lookup
	for field, into := range map[string]any{"name": &text, "revenue": &digits, "industry": &choice, "owner": &lookup} {
		if err := account.Decode(field, into); err != nil {
			t.Errorf("%s: %v", field, err)
		}
	}
	if text != "Zq7X" || digits != "90071992547409930.10" || choice != (messages.Choice{Value: 7, Label: "Consulting"}) || lookup.Entity != "systemuser" {
		t.Errorf("decoded %q %s %+v %+v", text, digits, choice, lookup)
	}
	if err := account.Decode("phone", &digits); err != nil || digits != "" {
		t.Errorf("null: %q, %v", digits, err)
	}
	if err := account.Decode("fax", &text); err == nil || !strings.Contains(err.Error(), `no field "fax"`) {
		t.Errorf("a field that is not there: %v", err)
	}
	var number int
	for _, into := range []any{&number, &digits, &choice} {
		err := account.Decode("name", into)
		if err == nil || strings.Contains(err.Error(), "Zq7X") || !strings.Contains(err.Error(), `"name"`) {
			t.Errorf("a string into %T: %v", into, err)
		}
	}
}
