package dynamics

import (
	"context"
	"slices"
	"strings"
	"unsafe"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// TableColumn is what the environment says about one column of accounts.
type TableColumn struct {
	Column
	Label      string // in the language of the connection's user; "" if none
	Custom     bool
	Readable   bool // IsValidForRead
	Searchable bool // IsValidForAdvancedFind
}

const accountAttributes = "EntityDefinitions(LogicalName='account')/Attributes"

type label struct {
	User *struct {
		Label string
	} `json:"UserLocalizedLabel"`
}

func (l label) text() string {
	if l.User == nil {
		return ""
	}
	return l.User.Label
}

type attributeRow struct {
	LogicalName       string
	AttributeOf       *string
	AttributeType     *string
	AttributeTypeName *struct{ Value string }
	IsCustomAttribute bool
	IsValidForRead    bool
	AdvancedFind      struct{ Value bool } `json:"IsValidForAdvancedFind"`
	DisplayName       label
}

// Columns returns the columns of accounts ordered by logical name, including
// those of type Unsupported. The names that belong to a lookup (owneridname,
// parentaccountidyominame) are left out: metadata lists them as texts to be read,
// and the Web API has no such properties, but annotations in their place. Dataverse
// does not page metadata; one more request tells days from moments, whose values
// are written differently.
func (s *Session) Columns(ctx context.Context) ([]TableColumn, error) {
	days, err := s.dateOnly(ctx)
	if err != nil {
		return nil, err
	}
	var page relatedPage[attributeRow]
	r := request{op: "metadata.columns", read: page.read}
	options := "$select=LogicalName,AttributeOf,AttributeType,AttributeTypeName,IsCustomAttribute,IsValidForRead,IsValidForAdvancedFind,DisplayName"
	if err := s.get(ctx, r, accountAttributes, options); err != nil {
		return nil, err
	}
	types := make(map[string]ColumnType, len(page.Value))
	for _, a := range page.Value {
		types[a.LogicalName] = a.columnType(days)
	}
	columns := make([]TableColumn, 0, len(page.Value))
	for _, a := range page.Value {
		if !isLogicalName(a.LogicalName) || a.AttributeOf != nil && types[*a.AttributeOf] == Lookup {
			continue // could not be asked for anyway
		}
		columns = append(columns, TableColumn{
			Column: Column{Logical: a.LogicalName, Type: types[a.LogicalName]},
			Label:  a.DisplayName.text(), Custom: a.IsCustomAttribute,
			Readable: a.IsValidForRead, Searchable: a.AdvancedFind.Value,
		})
	}
	slices.SortFunc(columns, func(a, b TableColumn) int { return strings.Compare(a.Logical, b.Logical) })
	return columns, nil
}

func (s *Session) dateOnly(ctx context.Context) (map[string]bool, error) {
	var page relatedPage[struct {
		LogicalName      string
		DateTimeBehavior *struct{ Value string }
	}]
	r := request{op: "metadata.dates", read: page.read}
	path := accountAttributes + "/Microsoft.Dynamics.CRM.DateTimeAttributeMetadata"
	if err := s.get(ctx, r, path, "$select=LogicalName,DateTimeBehavior"); err != nil {
		return nil, err
	}
	days := map[string]bool{}
	for _, a := range page.Value {
		days[a.LogicalName] = a.DateTimeBehavior != nil && a.DateTimeBehavior.Value == "DateOnly"
	}
	return days, nil
}

// columnTypes maps AttributeTypeName, which unlike AttributeType knows several
// choices and images.
var columnTypes = map[string]ColumnType{
	"StringType": Text, "MemoType": Text, "IntegerType": Integer, "BigIntType": BigInt, "DecimalType": Decimal,
	"DoubleType": Double, "MoneyType": Money, "DateTimeType": DateTime, "BooleanType": Boolean,
	"PicklistType": Choice, "StateType": Choice, "StatusType": Choice, "MultiSelectPicklistType": Choices,
	"UniqueidentifierType": UniqueID, "LookupType": Lookup, "OwnerType": Lookup, "CustomerType": Lookup,
}

func (a attributeRow) columnType(days map[string]bool) ColumnType {
	name := ""
	if a.AttributeTypeName != nil {
		name = a.AttributeTypeName.Value
	} else if a.AttributeType != nil {
		name = *a.AttributeType + "Type"
	}
	kind := columnTypes[name]
	if kind == DateTime && days[a.LogicalName] {
		return Date
	}
	return kind
}

// ColumnKind is an attribute type that has options.
type ColumnKind string

// The kinds for [Session.Options]. Picklist, State and Status are the columns of
// type Choice, MultiSelect those of type Choices.
const (
	Picklist    ColumnKind = "Picklist"
	State       ColumnKind = "State"
	Status      ColumnKind = "Status"
	MultiSelect ColumnKind = "MultiSelectPicklist"
)

// Option is one value of a choice.
type Option struct {
	Value int
	Label string // in the language of the connection's user; "" if none
}

// Options returns the options of all accounts columns of one kind by logical
// name, in Dataverse's order.
func (s *Session) Options(ctx context.Context, kind ColumnKind) (map[string][]Option, error) {
	if !slices.Contains([]ColumnKind{Picklist, State, Status, MultiSelect}, kind) {
		return nil, refuse("metadata.options", "", "%q is not a kind of column that has options", kind)
	}
	var page relatedPage[optionsRow]
	r := request{op: "metadata.options", read: func(b *body) error {
		return page.readRows(b, func(d *jsontext.Decoder, row *optionsRow) error { return row.read(b, d) })
	}}
	path := accountAttributes + "/Microsoft.Dynamics.CRM." + string(kind) + "AttributeMetadata"
	if err := s.get(ctx, r, path, "$select=LogicalName&$expand=OptionSet($select=Options)"); err != nil {
		return nil, err
	}
	out := make(map[string][]Option, len(page.Value))
	for _, a := range page.Value {
		out[a.name] = a.options
	}
	return out, nil
}

// optionsRow is a column with its options.
type optionsRow struct {
	name    string
	options []Option
}

// read reads a column. Its options are counted one by one: there may be many.
func (o *optionsRow) read(b *body, d *jsontext.Decoder) error {
	o.options = []Option{}
	_, err := members(d, "a column is not a JSON object", func(name string) error {
		switch name {
		case "LogicalName":
			return json.UnmarshalDecode(d, &o.name)
		case "OptionSet":
			_, err := members(d, "a set of options is not a JSON object", func(name string) error {
				if name != "Options" {
					return d.SkipValue()
				}
				_, err := elements(d, `"Options" is not an array`, func() error { return o.add(b, d) })
				return err
			})
			return err
		}
		return d.SkipValue()
	})
	return err
}

func (o *optionsRow) add(b *body, d *jsontext.Decoder) error {
	var one struct {
		Value int
		Label label
	}
	if err := json.UnmarshalDecode(d, &one); err != nil {
		return err
	}
	option := Option{Value: one.Value, Label: one.Label.text()}
	if err := b.keep(growth*int64(unsafe.Sizeof(option)) + int64(len(option.Label))); err != nil {
		return err
	}
	o.options = append(o.options, option)
	return nil
}
