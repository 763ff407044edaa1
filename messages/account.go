package messages

import (
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
	PageSize     int      `json:"page_size,omitzero" jsonschema:"1 to 5000; default 100 in page mode, 5000 in stream mode"`
	Cursor       string   `json:"cursor,omitzero" jsonschema:"next_cursor of the reply before; alone or with the identical query"`
	Limit        int      `json:"limit,omitzero" jsonschema:"at most this many rows over all pages"`
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
// choices' labels, a lookup's name or id, any other value as JSON; "" for null
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
		var choices []Choice
		if json.Unmarshal(value, &choices) != nil {
			return string(value)
		}
		text := ""
		for i, choice := range choices {
			if i > 0 {
				text += "; "
			}
			text += choice.Label
		}
		return text
	default:
		return string(value)
	}
}

func objectText(value jsontext.Value) string {
	var either struct {
		Label *string `json:"label"`
		Name  *string `json:"name"`
		ID    string  `json:"id"`
	}
	if json.Unmarshal(value, &either) != nil {
		return string(value)
	}
	switch {
	case either.Label != nil:
		return *either.Label
	case either.Name != nil:
		return *either.Name
	default:
		return either.ID
	}
}

// Decode reads a field into a Go value: a string, a Choice, a Lookup, a
// json.Number, …
func (a Account) Decode(field string, into any) error { return json.Unmarshal(a[field], into) }
