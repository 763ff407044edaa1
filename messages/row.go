package messages

import (
	"cmp"
	encoding "encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Row is one row of a table: the requested fields under the names they were asked
// by, each as it was sent, so that money and decimals keep every digit. A column
// without a value is null.
type Row map[string]jsontext.Value

// Choice is the value of a choice column.
type Choice struct {
	Value int64  `json:"value"`
	Label string `json:"label"`
}

// Lookup is the value of a lookup column.
type Lookup struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Entity string `json:"entity"`
}

// Text is a field's value as text: a string's content, a choice's label, several
// choices' labels, a lookup's name, else the choice's number or the lookup's id;
// any other value as JSON; "" for null and for a field that is not there.
func (r Row) Text(field string) string {
	value := r[field]
	switch value.Kind() {
	case 0, 'n':
		return ""
	case '"':
		var s string
		if json.Unmarshal(value, &s) != nil {
			return string(value)
		}
		return s
	case '{':
		return objectText(value)
	case '[':
		var items []jsontext.Value
		if json.Unmarshal(value, &items) != nil {
			return string(value)
		}
		texts := make([]string, len(items))
		for i, item := range items {
			texts[i] = Row{field: item}.Text(field)
		}
		return strings.Join(texts, "; ")
	default:
		return string(value)
	}
}

// objectText is what a choice or a lookup is called, or its number or id.
func objectText(value jsontext.Value) string {
	var either struct {
		Label string         `json:"label"`
		Name  string         `json:"name"`
		ID    string         `json:"id"`
		Value jsontext.Value `json:"value"`
	}
	if json.Unmarshal(value, &either) != nil {
		return string(value)
	}
	return cmp.Or(either.Label, either.Name, either.ID, string(either.Value), string(value))
}

// Decode reads a field into a Go value: a string, a Choice, a Lookup, a
// json.Number of encoding/json for every digit, … A field that the row does not
// have is an error.
func (r Row) Decode(field string, into any) error {
	value, found := r[field]
	if !found {
		return fmt.Errorf("the row has no field %q; was it asked for?", field)
	}
	if err := json.Unmarshal(value, into, json.WithUnmarshalers(json.UnmarshalFunc(number))); err != nil {
		return fmt.Errorf("field %q: %w", field, withoutValue(err))
	}
	return nil
}

// number reads a number as its digits, which json v2 has no type for.
func number(value []byte, into *encoding.Number) error {
	switch jsontext.Value(value).Kind() {
	case 'n':
		*into = ""
	case '0':
		*into = encoding.Number(value)
	default:
		return errors.New("not a number")
	}
	return nil
}

// withoutValue takes the customer's data out of a decoding error's text.
func withoutValue(err error) error {
	if semantic, ok := errors.AsType[*json.SemanticError](err); ok {
		semantic.JSONValue = nil
	}
	return err
}
