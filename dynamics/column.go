package dynamics

// ColumnType is the type of a column as far as queries and answers differ by it.
type ColumnType int

// The column types. The zero value is Unsupported.
const (
	Unsupported ColumnType = iota // images, virtual columns and the like
	Text                          // String, Memo: Edm.String
	Integer                       // Edm.Int32
	BigInt                        // Edm.Int64
	Decimal                       // Edm.Decimal
	Double                        // Edm.Double
	Money                         // Edm.Decimal
	DateTime                      // Edm.DateTimeOffset
	Date                          // Edm.Date: date only
	Boolean                       // Edm.Boolean
	Choice                        // Picklist, State, Status: Edm.Int32
	Choices                       // multi-select picklist: Edm.String of integers
	UniqueID                      // Edm.Guid
	Lookup                        // Lookup, Owner, Customer: read as _x_value
)

// String returns the type in the words of messages/README.md#types-and-operators, which has one
// word for both sizes of whole numbers, and one for decimals and doubles.
func (t ColumnType) String() string {
	if t < 0 || int(t) >= len(typeNames) {
		return typeNames[Unsupported]
	}
	return typeNames[t]
}

var typeNames = [...]string{"unsupported", "text", "whole number", "whole number", "decimal", "decimal", "money",
	"date and time",
	"date", "yes/no", "choice", "several choices", "GUID", "lookup"}

// Column is one column of a table.
type Column struct {
	Logical string // logical name: [a-z][a-z0-9_]{0,127}
	Type    ColumnType
}

// Property returns the name under which the Web API selects, filters and sends
// the column.
func (c Column) Property() string {
	if c.Type == Lookup {
		return "_" + c.Logical + "_value"
	}
	return c.Logical
}

// check refuses what must not enter a URL.
func (c Column) check() *Error {
	if !isLogicalName(c.Logical) {
		return refuse("query", "", "a column name is not a logical name: lower-case letters, digits and underscores")
	}
	if c.Type <= Unsupported || c.Type > Lookup {
		return refuse("query", c.Logical, "column %s: its type has no form in a query", c.Logical)
	}
	return nil
}

func isLogicalName(s string) bool {
	if s == "" || len(s) > 128 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}
