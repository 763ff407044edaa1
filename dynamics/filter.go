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

// Op is a comparison, spelt as in messages/README.md#types-and-operators.
type Op string

// The comparisons. In, NotIn, ContainsAny and ContainsNone take one value or
// more, Between takes two (both ends included), IsNull and NotNull none, all
// others one. Eq on several choices takes one value or more: the exact set.
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
func affirmative(op Op) (positive Op, negative bool) {
	switch op {
	case Ne:
		return Eq, true
	case NotIn:
		return In, true
	case NotContains:
		return Contains, true
	case NotNull:
		return IsNull, true
	case ContainsNone:
		return ContainsAny, true
	}
	return op, false
}

// The operators of the types, in the order of the public contract, section 5.
var (
	numberOps = []Op{Eq, Ne, Lt, Le, Gt, Ge, Between, In, NotIn, IsNull, NotNull}
	timeOps   = []Op{Eq, Ne, Lt, Le, Gt, Ge, Between, IsNull, NotNull}
	choiceOps = []Op{Eq, Ne, In, NotIn, IsNull, NotNull}

	typeOps = [...][]Op{
		Text:    {Eq, Ne, In, NotIn, Contains, NotContains, StartsWith, EndsWith, IsNull, NotNull},
		Integer: numberOps, BigInt: numberOps, Decimal: numberOps, Double: numberOps, Money: numberOps,
		DateTime: timeOps, Date: timeOps,
		Boolean: {Eq, Ne, IsNull, NotNull},
		Choice:  choiceOps, UniqueID: choiceOps, Lookup: choiceOps,
		Choices: {ContainsAny, ContainsNone, Eq, IsNull, NotNull},
	}
)

// Ops lists the operators that columns of the type have; none for Unsupported. The list
// must not be changed.
func (t ColumnType) Ops() []Op {
	if t < 0 || int(t) >= len(typeOps) {
		return nil
	}
	return typeOps[t]
}

// Arity gives the least and the greatest number of values of op on columns of the type.
func (t ColumnType) Arity(op Op) (least, most int) {
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
	if leaf, ok := f.(Test); ok { // no list of values is too long: see listForm
		if err := leaf.checkAll(); err != nil {
			return err
		}
		return nil
	}
	e := expressions.Get().(*expression)
	defer e.release()
	return e.fit(f, func(dst, filter []byte) []byte { return append(dst, filter...) })
}
