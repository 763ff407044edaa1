package emulator

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

var negated = map[string]string{"eq": "ne", "ne": "eq", "gt": "le", "le": "gt", "lt": "ge", "ge": "lt"}

var mirrored = map[string]string{"eq": "eq", "ne": "ne", "gt": "lt", "lt": "gt", "ge": "le", "le": "ge"}

var kindOfOperator = map[string]string{"eq": "Equal", "ne": "NotEqual", "gt": "GreaterThan",
	"ge": "GreaterThanOrEqual", "lt": "LessThan", "le": "LessThanOrEqual"}

// holds says whether the result c of a comparison satisfies the operator.
func holds(op string, c int) bool {
	switch op {
	case "eq":
		return c == 0
	case "ne":
		return c != 0
	case "gt":
		return c > 0
	case "ge":
		return c >= 0
	case "lt":
		return c < 0
	}
	return c <= 0
}

// compare binds a comparison. A null column satisfies ne, and nothing else (6.2).
func (p *filterParser) compare(left operand, op string, right operand, neg bool) (predicate, *fault) {
	if left.col == nil {
		left, right, op = right, left, mirrored[op]
	}
	if left.col == nil {
		return nil, badRequest("The query node Constant is not supported")
	}
	if neg {
		op = negated[op]
	}
	get, v := left.col.get, p.c.v
	switch {
	case right.col != nil:
		return p.compareColumns(left.col, op, right.col)
	case right.null && op == "eq":
		p.edges = append(p.edges, edge{left.col, op, nil})
		return func(r any) bool { return !get(v, r).ok }, nil
	case right.null && op == "ne":
		p.edges = append(p.edges, edge{left.col, op, nil})
		return func(r any) bool { return get(v, r).ok }, nil
	case right.null:
		return func(any) bool { return false }, nil
	}
	with, fail := p.comparer(left.col, op, right.lit)
	if fail != nil {
		return nil, fail
	}
	onNull := op == "ne"
	if k := left.col.kind; !onNull && k != kindLookup && k != kindChoices && !k.textual() {
		p.edges = append(p.edges, edge{left.col, op, with})
	}
	return func(r any) bool {
		x := get(v, r)
		if !x.ok {
			return onNull
		}
		return holds(op, with(x))
	}, nil
}

// comparer makes the comparison of a column's values with a literal, after checking the literal's type.
func (p *filterParser) comparer(col *column, op string, lit token) (func(value) int, *fault) {
	mismatch := func() *fault {
		return badRequest("A binary operator with incompatible types was detected. Found operand types '%s' and '%s' for operator kind '%s'.",
			col.kind.edm(), lit.edm(), kindOfOperator[op])
	}
	switch k := col.kind; {
	case k.textual():
		if lit.kind != tokString {
			return nil, mismatch()
		}
		want := fold(lit.text)
		return func(x value) int { return strings.Compare(fold(x.s), want) }, nil
	case k == kindChoices:
		if lit.kind != tokString {
			return nil, mismatch()
		}
		want := sortedChoices(lit.text)
		return func(x value) int { return slices.Compare(sortedChoices(x.s), want) }, nil
	case k == kindGUID || k == kindLookup:
		id, ok := parseGUID(lit.text)
		if !ok || lit.kind != tokGUID && (lit.kind != tokString || k != kindLookup) {
			return nil, mismatch()
		}
		return func(x value) int { return x.id.compare(id) }, nil
	case k == kindBool:
		if lit.kind != tokName {
			return nil, mismatch()
		}
		want := int64(btoi(lit.text == "true"))
		return func(x value) int { return cmp.Compare(x.n, want) }, nil
	case k == kindDateTime || k == kindDate:
		return dateComparer(k, lit, mismatch)
	}
	if lit.kind != tokNumber {
		return nil, mismatch()
	}
	scale := int64(1)
	if col.kind.scaled() {
		scale = 10000
	}
	b, ok := parseBound(strings.TrimRight(lit.text, "mMlLdDfF"), scale)
	if !ok {
		return nil, mismatch()
	}
	return func(x value) int { return b.compare(x.n) }, nil
}

func dateComparer(k kind, lit token, mismatch func() *fault) (func(value) int, *fault) {
	var at time.Time
	var err error
	switch {
	case lit.kind == tokDate:
		at, err = time.Parse("2006-01-02", lit.text)
	case lit.kind == tokDateTime && k == kindDateTime:
		at, err = parseMoment(lit.text)
	default:
		return nil, mismatch()
	}
	if err != nil {
		return nil, badRequest("The value '%s' is not a valid date.", lit.text)
	}
	sec, fraction := at.Unix(), at.Nanosecond() > 0
	return func(x value) int {
		if c := cmp.Compare(x.n, sec); c != 0 || !fraction {
			return c
		}
		return -1 // rows have whole seconds
	}, nil
}

func parseMoment(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Parse("2006-01-02T15:04Z07:00", s)
	}
	return t, nil
}

func (p *filterParser) compareColumns(a *column, op string, b *column) (predicate, *fault) {
	same := a.kind == b.kind || a.kind.textual() && b.kind.textual() || a.kind.numeric() && b.kind.numeric() &&
		a.kind.scaled() == b.kind.scaled() ||
		(a.kind == kindGUID || a.kind == kindLookup) && (b.kind == kindGUID || b.kind == kindLookup)
	if !same {
		return nil, badRequest("A binary operator with incompatible types was detected. Found operand types '%s' and '%s' for operator kind '%s'.",
			a.kind.edm(), b.kind.edm(), kindOfOperator[op])
	}
	v := p.c.v
	return func(r any) bool {
		x, y := a.get(v, r), b.get(v, r)
		if !x.ok || !y.ok {
			return op == "ne" && x.ok != y.ok
		}
		c := cmp.Compare(x.n, y.n)
		if c == 0 {
			c = x.id.compare(y.id)
		}
		if c == 0 {
			c = strings.Compare(fold(x.s), fold(y.s))
		}
		return holds(op, c)
	}, nil
}

func sortedChoices(s string) []int32 {
	out := splitChoices(s)
	slices.Sort(out)
	return slices.Compact(out)
}

// edm is the type of a literal in error texts.
func (t token) edm() string {
	switch t.kind {
	case tokString:
		return "Edm.String"
	case tokNumber:
		if strings.ContainsAny(t.text, ".eE") {
			return "Edm.Decimal"
		}
		return "Edm.Int32"
	case tokGUID:
		return "Edm.Guid"
	case tokDate:
		return "Edm.Date"
	case tokDateTime:
		return "Edm.DateTimeOffset"
	}
	return "Edm.Boolean"
}
