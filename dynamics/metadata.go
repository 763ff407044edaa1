package dynamics

import (
	"context"
	"slices"
	"strings"
)

// TableColumn is what the environment says about one column of a table.
type TableColumn struct {
	Column
	Label      string // in the language of the connection's user, else in the base language; "" if none
	Custom     bool
	Readable   bool // IsValidForRead
	Searchable bool // IsValidForAdvancedFind
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
	// ForOData and ForODataValue say whether the Web API has a property for the
	// column: some are valid for read in the SDK only. Microsoft's reference names
	// the first, https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/attributemetadata;
	// the second is a form that has been seen. A missing one says nothing.
	ForOData      *bool `json:"IsValidODataAttribute"`
	ForODataValue *bool `json:"IsValidODataAttributeValue"`
}

// property reports whether the column is one of the Web API. Every request that
// names another is refused.
func (a attributeRow) property() bool {
	refused := func(valid *bool) bool { return valid != nil && !*valid }
	return !refused(a.ForOData) && !refused(a.ForODataValue)
}

// Columns returns the columns of t ordered by logical name, including
// those of type Unsupported. Columns that the Web API has no property for are left
// out, and so are the names that belong to a lookup (owneridname,
// parentaccountidyominame): metadata lists them as texts to be read, and the Web API
// has annotations in their place. Dataverse does not page metadata; one more request
// tells days from moments, whose values are written differently.
func (s *Session) Columns(ctx context.Context, t Table) ([]TableColumn, error) {
	days, err := s.dateOnly(ctx, t)
	if err != nil {
		return nil, err
	}
	var page relatedPage[attributeRow]
	r := request{op: "metadata.columns", read: page.read}
	const options = "$select=LogicalName,AttributeOf,AttributeType,AttributeTypeName,IsCustomAttribute,IsValidForRead,IsValidForAdvancedFind,DisplayName"
	err = s.getOf(ctx, t, r, t.attributes(), options+",IsValidODataAttribute")
	if KindOf(err) == Invalid || KindOf(err) == UnknownColumn { // older versions do not have that member
		err = s.getOf(ctx, t, r, t.attributes(), options)
	}
	if err != nil {
		return nil, err
	}
	base := languages{}
	for _, a := range page.Value {
		base.see(a.DisplayName)
	}
	language := base.most()
	types := make(map[string]ColumnType, len(page.Value))
	for _, a := range page.Value {
		types[a.LogicalName] = a.columnType(days)
	}
	columns := make([]TableColumn, 0, len(page.Value))
	for _, a := range page.Value {
		if !isLogicalName(a.LogicalName) || !a.property() || a.AttributeOf != nil && types[*a.AttributeOf] == Lookup {
			continue // could not be asked for anyway
		}
		columns = append(columns, TableColumn{
			Column: Column{Logical: a.LogicalName, Type: types[a.LogicalName]},
			Label:  a.DisplayName.text(language), Custom: a.IsCustomAttribute,
			Readable: a.IsValidForRead, Searchable: a.AdvancedFind.Value,
		})
	}
	slices.SortFunc(columns, func(a, b TableColumn) int { return strings.Compare(a.Logical, b.Logical) })
	return columns, nil
}

func (s *Session) dateOnly(ctx context.Context, t Table) (map[string]bool, error) {
	var page relatedPage[struct {
		LogicalName      string
		DateTimeBehavior *struct{ Value string }
	}]
	r := request{op: "metadata.dates", read: page.read}
	path := t.attributes() + "/Microsoft.Dynamics.CRM.DateTimeAttributeMetadata"
	if err := s.getOf(ctx, t, r, path, "$select=LogicalName,DateTimeBehavior"); err != nil {
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
