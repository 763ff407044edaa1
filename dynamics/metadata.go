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
	Valid      bool // IsValidForRead: the Web API gives the column to those who may read it
	Secured    bool // IsSecured, for reading: only some users may read it
	Readable   bool // the user may read it; one that is not is null in every row
	Searchable bool // IsValidForAdvancedFind
}

type attributeRow struct {
	LogicalName       string
	AttributeOf       *string
	AttributeType     *string
	AttributeTypeName *struct{ Value string }
	IsCustomAttribute bool
	IsValidForRead    bool
	// MetadataId is what privileges on columns are kept by.
	MetadataId          string
	IsSecured           bool
	CanBeSecuredForRead *bool
	AdvancedFind        struct{ Value bool } `json:"IsValidForAdvancedFind"`
	DisplayName         label
	// ForOData and ForODataValue say whether the Web API has a property for the
	// column: some are valid for read in the SDK only. Microsoft's reference names
	// the first, https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/attributemetadata;
	// the second is a form that has been seen. A missing one says nothing.
	ForOData      *bool `json:"IsValidODataAttribute"`
	ForODataValue *bool `json:"IsValidODataAttributeValue"`
}

// secured reports whether reading takes more than the table's privilege. A column may
// be secured against changes only.
func (a attributeRow) secured() bool {
	return a.IsSecured && (a.CanBeSecuredForRead == nil || *a.CanBeSecuredForRead)
}

// property reports whether the column is one of the Web API. Every request that
// names another is refused.
func (a attributeRow) property() bool {
	refused := func(valid *bool) bool { return valid != nil && !*valid }
	return !refused(a.ForOData) && !refused(a.ForODataValue)
}

// The members of a column that are asked for.
const (
	attributeMembers = "$select=LogicalName,AttributeOf,AttributeType,AttributeTypeName,IsCustomAttribute,IsValidForRead," +
		"IsValidForAdvancedFind,DisplayName"
	securityMembers = ",MetadataId,IsSecured,CanBeSecuredForRead"
	odataMember     = ",IsValidODataAttribute"
)

// Columns returns the columns of t ordered by logical name, including
// those of type Unsupported. Columns that the Web API has no property for are left
// out, and so are the names that belong to a lookup (owneridname,
// parentaccountidyominame): metadata lists them as texts to be read, and the Web API
// has annotations in their place. Dataverse does not page metadata; one more request
// tells days from moments, whose values are written differently, and where columns are
// secured others find out which of them the user may read.
func (s *Session) Columns(ctx context.Context, t Table) ([]TableColumn, error) {
	days, err := s.dateOnly(ctx, t)
	if err != nil {
		return nil, err
	}
	var page relatedPage[attributeRow]
	r := request{op: "metadata.columns", read: page.read}
	for _, more := range []string{securityMembers + odataMember, securityMembers, ""} { // older versions do not have them
		err = s.getOf(ctx, t, r, t.attributes(), attributeMembers+more)
		if KindOf(err) != Invalid && KindOf(err) != UnknownColumn {
			break
		}
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
	columns, ids := make([]TableColumn, 0, len(page.Value)), map[string]string{}
	for _, a := range page.Value {
		if !isLogicalName(a.LogicalName) || !a.property() || a.AttributeOf != nil && types[*a.AttributeOf] == Lookup {
			continue // could not be asked for anyway
		}
		columns = append(columns, TableColumn{
			Column: Column{Logical: a.LogicalName, Type: types[a.LogicalName]},
			Label:  a.DisplayName.text(language), Custom: a.IsCustomAttribute,
			Valid: a.IsValidForRead, Secured: a.secured(), Readable: !a.secured(), Searchable: a.AdvancedFind.Value,
		})
		if id, ok := canonicalGUID(a.MetadataId); ok {
			ids[a.LogicalName] = id
		}
	}
	if err := s.hide(ctx, t, columns, ids); err != nil {
		return nil, err
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
