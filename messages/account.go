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

// Bounds of accounts.search.
const (
	// MaxPageSize is Dataverse's own bound on rows per page.
	MaxPageSize = 5000
	// DefaultPageSize is the page size of page mode. Stream mode has MaxPageSize
	// by default, since its reader wants everything.
	DefaultPageSize = 100
	// MaxStreamRows is where one stream-mode answer ends with a cursor.
	MaxStreamRows = 50_000
	// MaxFields bounds fields, MaxOrderBy order_by.
	MaxFields  = 100
	MaxOrderBy = 10
	// MaxCursor bounds a cursor in characters.
	MaxCursor = 256 << 10
)

// Modes of accounts.search.
const (
	// ModePage answers with one reply and, where there is more, a cursor.
	ModePage = "page"
	// ModeStream answers with as many replies as it takes.
	ModeStream = "stream"
)

// DefaultFields are the fields of an account when none are asked for.
func DefaultFields() []string { return []string{"id", "name", "website", "classification", "industry"} }

// AccountsSearchRequest asks for the accounts that match a filter.
type AccountsSearchRequest struct {
	Target
	Where        *Where   `json:"where,omitzero"`
	Fields       []string `json:"fields,omitempty" jsonschema:"friendly or logical column names; default id, name, website, classification, industry"`
	OrderBy      []string `json:"order_by,omitempty" jsonschema:"fields, a leading hyphen sorts in descending order; the id is added as the last key"`
	PageSize     Count    `json:"page_size,omitzero" jsonschema:"1 to 5000; default 100 in page mode, 5000 in stream mode"`
	Cursor       string   `json:"cursor,omitzero" jsonschema:"next_cursor of the reply before; alone or with the identical query"`
	Limit        Count    `json:"limit,omitzero" jsonschema:"at most this many rows over all pages"`
	IncludeTotal bool     `json:"include_total,omitzero" jsonschema:"count the matching accounts too"`
	Mode         string   `json:"mode,omitzero" jsonschema:"page (default) or stream"`
}

// AccountsPage is one reply of accounts.search.
type AccountsPage struct {
	Head
	Accounts   []Account `json:"accounts"`
	Total      *int64    `json:"total,omitzero"`
	NextCursor string    `json:"next_cursor,omitzero"`
}

// AccountGetRequest asks for one account.
type AccountGetRequest struct {
	Target
	AccountID string   `json:"account_id" jsonschema:"accountid"`
	Fields    []string `json:"fields,omitempty" jsonschema:"as in accounts.search"`
}

// AccountReply holds one account.
type AccountReply struct {
	Head
	Account Account `json:"account"`
}

// Account is one row: the requested fields under the names they were asked by,
// each as it was sent, so that money and decimals keep every digit. A column
// without a value is null.
type Account map[string]jsontext.Value

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
// any other value as JSON; "" for null
// and for a field that is not there.
func (a Account) Text(field string) string {
	value := a[field]
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
			texts[i] = Account{field: item}.Text(field)
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
// json.Number of encoding/json for every digit, … A field that the account does
// not have is an error.
func (a Account) Decode(field string, into any) error {
	value, found := a[field]
	if !found {
		return fmt.Errorf("the account has no field %q; was it asked for?", field)
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
