package dynamics

// Filter is a condition on rows: [And], [Or], [Not] or [Test]; nil is no
// condition. A row matches or does not; a column without a value matches IsNull
// and the negative operators (Ne, NotIn, NotContains, ContainsNone) and nothing
// else, and Not is the exact complement of what it holds, whatever Dataverse
// itself makes of null.
type Filter interface{ filter() }

// And matches what all its members match. It must have one member at least.
type And []Filter

// Or matches what any of its members matches. It must have one member at least.
type Or []Filter

// Not matches exactly what Of does not match.
type Not struct{ Of Filter }

// Test compares one column with values. Values are texts: a text as it is, a
// number in decimal notation, "true" or "false", a choice's integer, a GUID, a
// date as RFC 3339 or YYYY-MM-DD.
type Test struct {
	Column Column
	Op     Op
	Values []string
}

func (And) filter()  {}
func (Or) filter()   {}
func (Not) filter()  {}
func (Test) filter() {}

// Op is a comparison, spelt as in the public contract.
type Op string

// The comparisons. In, NotIn, ContainsAny and ContainsNone take one value or
// more, Between takes two (both ends included), IsNull and NotNull none, all
// others one. Eq and Ne on several choices take one value or more: the exact set.
const (
	Eq           Op = "eq"
	Ne           Op = "ne"
	Lt           Op = "lt"
	Le           Op = "le"
	Gt           Op = "gt"
	Ge           Op = "ge"
	In           Op = "in"
	NotIn        Op = "not_in"
	Between      Op = "between"
	Contains     Op = "contains"
	NotContains  Op = "not_contains"
	StartsWith   Op = "starts_with"
	EndsWith     Op = "ends_with"
	IsNull       Op = "is_null"
	NotNull      Op = "not_null"
	ContainsAny  Op = "contains_any"
	ContainsNone Op = "contains_none"
)

// affirmative gives the operator whose complement op is, for the negative ones.
var affirmative = map[Op]Op{Ne: Eq, NotIn: In, NotContains: Contains, NotNull: IsNull, ContainsNone: ContainsAny}

// takes tells which operators a type has (contract, section 5).
func (t ColumnType) takes(op Op) bool {
	if positive, ok := affirmative[op]; ok {
		op = positive
	}
	switch op {
	case IsNull, Eq:
		return true
	case In:
		return t != Boolean && t != Choices && t != DateTime && t != Date
	case Lt, Le, Gt, Ge, Between:
		return t >= Integer && t <= Date
	case Contains, StartsWith, EndsWith:
		return t == Text
	case ContainsAny:
		return t == Choices
	}
	return false
}

// arity gives the least and the greatest number of values of op on type t.
func (t ColumnType) arity(op Op) (least, most int) {
	const many = 500 // conditions that Dataverse takes in one query
	switch op {
	case IsNull, NotNull:
		return 0, 0
	case Between:
		return 2, 2
	case In, NotIn, ContainsAny, ContainsNone:
		return 1, many
	}
	if t == Choices {
		return 1, many
	}
	return 1, 1
}

// Check reports what is wrong with a filter, as the query that holds it would:
// an [*Error] of kind Invalid that names the column and what would be right.
func Check(f Filter) error {
	_, _, err := fit(f, func(filter string) string { return filter })
	return err
}
