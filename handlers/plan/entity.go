package plan

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/messages"
)

// An Entity is a table as operations use it: its description, what the Dataverse client
// needs of it, and its friendly fields by both of their names. It is made once, when the
// process starts, and safe for concurrent use.
type Entity struct {
	messages.Table
	// Rows is the table for the Dataverse client.
	Rows dynamics.Table

	friendly  map[string]dynamics.Column    // by friendly name
	byLogical map[string]dynamics.Column    // the same columns
	either    map[string]dynamics.Column    // the same by both names, the friendly one first
	names     map[string]string             // friendly names by logical name
	standard  map[string]dynamics.OptionSet // the options that Microsoft ships, by logical name
	example   string                        // some friendly names, for errors

	selections selections
}

// columnTypes are the types of friendly fields as queries know them. Of the two sizes of
// whole numbers, and of decimals and doubles, a friendly field is of the first.
var columnTypes = map[string]dynamics.ColumnType{
	messages.FieldText: dynamics.Text, messages.FieldWholeNumber: dynamics.Integer,
	messages.FieldDecimal: dynamics.Decimal,
	messages.FieldMoney:   dynamics.Money, messages.FieldDateTime: dynamics.DateTime, messages.FieldDate: dynamics.Date,
	messages.FieldYesNo: dynamics.Boolean, messages.FieldChoice: dynamics.Choice,
	messages.FieldChoices: dynamics.Choices,
	messages.FieldGUID:    dynamics.UniqueID, messages.FieldLookup: dynamics.Lookup,
}

// NewEntity makes the entity of a table, or says what is wrong with its description.
func NewEntity(t messages.Table) (*Entity, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	e := &Entity{Table: t, Rows: TableOf(t), friendly: map[string]dynamics.Column{},
		byLogical: map[string]dynamics.Column{},
		names:     map[string]string{}, standard: map[string]dynamics.OptionSet{}}
	for _, field := range t.Fields {
		column := dynamics.Column{Logical: field.Logical, Type: columnTypes[field.Type]}
		if column.Type == dynamics.Unsupported {
			return nil, fmt.Errorf("table %q: field %q: no query knows the type %q", t.Name, field.Name, field.Type)
		}
		if e.names[field.Logical] != "" {
			return nil, fmt.Errorf("table %q: the fields %q and %q "+
				"are one column, %s", t.Name, e.names[field.Logical], field.Name, field.Logical)
		}
		e.friendly[field.Name], e.byLogical[field.Logical], e.names[field.Logical] = column, column, field.Name
	}
	e.either = maps.Clone(e.byLogical)
	maps.Copy(e.either, e.friendly)
	for logical, options := range t.Options {
		if kind := e.byLogical[logical].Type; kind != dynamics.Choice && kind != dynamics.Choices {
			return nil, fmt.Errorf("table %q: options of %s, which is no friendly field of choices", t.Name, logical)
		}
		set, err := optionSet(options)
		if err != nil {
			return nil, fmt.Errorf("table %q: options of %s: %w", t.Name, logical, err)
		}
		e.standard[logical] = set
	}
	named := slices.DeleteFunc(slices.Clone(t.DefaultFields), func(name string) bool { return name == "id" })
	e.example = strings.Join(named[:min(len(named), 3)], ", ")
	return e, nil
}

// optionSet takes options over in the order of their values.
func optionSet(options []messages.Choice) (dynamics.OptionSet, error) {
	set := dynamics.OptionSet{Count: len(options)}
	for _, option := range options {
		if option.Value < math.MinInt32 || option.Value > math.MaxInt32 {
			return set, fmt.Errorf("%d has no room in a column", option.Value)
		}
		set.Options = append(set.Options, dynamics.Option{Value: int(option.Value), Label: option.Label})
	}
	slices.SortFunc(set.Options, func(a, b dynamics.Option) int { return a.Value - b.Value })
	for i := range set.Options[:max(0, len(options)-1)] {
		if set.Options[i].Value == set.Options[i+1].Value {
			return set, fmt.Errorf("%d is there twice", set.Options[i].Value)
		}
	}
	return set, nil
}

// ID is the primary key.
func (e *Entity) ID() dynamics.Column { return e.friendly["id"] }

// NameOf is what requesters call a column: its friendly name, or its logical one.
func (e *Entity) NameOf(logical string) string {
	if name, ok := e.names[logical]; ok {
		return name
	}
	return logical
}

// column is the friendly field of a friendly name or of its column's logical name. Its
// type needs no metadata: it is the same in every environment.
func (e *Entity) column(name string) (dynamics.Column, bool) {
	column, ok := e.either[name]
	return column, ok
}
