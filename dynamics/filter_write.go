package dynamics

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

const (
	maxDepth      = 32  // of a filter: a bound on recursion, a request's is lower
	maxConditions = 500 // Dataverse: TooManyConditionsInQuery, 0x8004430C
)

// expression writes a filter in OData's syntax, not yet percent-encoded, and
// remembers the values for the one purpose of keeping them out of error texts.
type expression struct {
	form       listForm
	text       strings.Builder
	values     []string
	conditions int
}

// write appends f or, if negate is set, its complement. Negations are pushed down
// to the leaves because Dataverse evaluates "not" in three-valued logic (a null
// column matches neither a test nor its negation) and refuses it in front of its
// own query functions.
func (e *expression) write(f Filter, negate bool, depth int) *Error {
	if depth > maxDepth {
		return refuse("query", "", "the filter is nested deeper than %d levels", maxDepth)
	}
	switch f := f.(type) {
	case And:
		return e.join(f, "and", negate, depth)
	case Or:
		return e.join(f, "or", negate, depth)
	case Not:
		return e.write(f.Of, !negate, depth+1)
	case Test:
		return e.test(f, negate)
	case nil:
		return refuse("query", "", "a part of the filter is missing")
	}
	return refuse("query", "", "a part of the filter is of type %T, not And, Or, Not or Test", f)
}

// dual is the word that a negation makes of another.
var dual = map[string]string{"and": "or", "or": "and"}

func (e *expression) join(members []Filter, word string, negate bool, depth int) *Error {
	if len(members) == 0 {
		return refuse("query", "", "the filter has an empty %q list: give one condition at least", word)
	}
	if negate { // De Morgan
		word = dual[word]
	}
	e.text.WriteByte('(')
	for i, m := range members {
		if i > 0 {
			e.text.WriteString(" " + word + " ")
		}
		if err := e.write(m, negate, depth+1); err != nil {
			return err
		}
	}
	e.text.WriteByte(')')
	return nil
}

// checked returns the literals of a leaf that is as it should be.
func (t Test) checked() ([]string, *Error) {
	if err := t.Column.check(); err != nil {
		return nil, err
	}
	if !slices.Contains(t.Column.Type.Ops(), t.Op) {
		return nil, refuse("query", t.Column.Logical, "column %s (%s) has no operator %q",
			t.Column.Logical, t.Column.Type, t.Op)
	}
	least, most := t.Column.Type.Arity(t.Op)
	if n := len(t.Values); n < least || n > most {
		return nil, refuse("query", t.Column.Logical, "operator %q on column %s takes %s, not %d",
			t.Op, t.Column.Logical, counted(least, most), n)
	}
	return t.literals()
}

// test writes one leaf. Every complement says "or null" itself, so that the
// answer does not depend on what Dataverse makes of null there.
func (e *expression) test(t Test, negate bool) *Error {
	literals, err := t.checked()
	if err != nil {
		return err
	}
	e.values = append(e.values, t.Values...)
	e.values = append(e.values, literals...) // a moment in UTC differs from what was given
	op := t.Op
	if positive, ok := affirmative[op]; ok {
		op, negate = positive, !negate
	}
	if op == In {
		e.list(t, literals, negate)
	} else {
		e.leaf(t.Column, op, literals, negate)
	}
	if e.conditions > maxConditions {
		return &Error{Kind: Invalid, Op: "query", Err: errTooManyConditions,
			Message: fmt.Sprintf("the filter needs more than the %d conditions that Dataverse takes in "+
				"one query; give fewer", maxConditions)}
	}
	return nil
}

var errTooManyConditions = errors.New("too many conditions")

func counted(least, most int) string {
	switch {
	case least == most && least == 0:
		return "no value"
	case least == most && least == 1:
		return "one value"
	case least == most:
		return fmt.Sprintf("%d values", least)
	}
	return fmt.Sprintf("%d to %d values", least, most)
}

// textFunctions are OData's names of the operators that search within texts.
var textFunctions = map[Op]string{Contains: "contains", StartsWith: "startswith", EndsWith: "endswith"}

// complement is OData's operator for what another one does not match.
var complement = map[Op]string{Eq: "ne", Lt: "ge", Le: "gt", Gt: "le", Ge: "lt"}

func (e *expression) leaf(c Column, op Op, literals []string, negate bool) {
	p := c.Property()
	if op == IsNull {
		word := " eq null"
		if negate {
			word = " ne null"
		}
		e.terms("", p+word)
		return
	}
	var terms []string
	joiner := " or "
	switch op {
	case Between:
		terms, joiner = []string{p + " ge " + literals[0], p + " le " + literals[1]}, " and "
		if negate {
			terms, joiner = []string{p + " lt " + literals[0], p + " gt " + literals[1]}, " or "
		}
	case Contains, StartsWith, EndsWith:
		function := textFunctions[op]
		if negate {
			function = "not " + function
		}
		terms = []string{function + "(" + p + "," + literals[0] + ")"}
	case ContainsAny:
		function := "ContainValues"
		if negate {
			function = "DoesNotContainValues"
		}
		items := make([]string, len(literals))
		for i, l := range literals {
			items[i] = `"` + l + `"`
		}
		terms = []string{queryFunction(function, p, items)}
	default:
		word := string(op)
		if negate {
			word = complement[op]
		}
		terms = []string{p + " " + word + " " + literals[0]}
	}
	e.withNull(p, joiner, terms, negate)
}

// withNull writes terms, and after a complement that a column without a value
// matches as well.
func (e *expression) withNull(p, joiner string, terms []string, negate bool) {
	if negate {
		joined := strings.Join(terms, joiner)
		if len(terms) > 1 {
			joined = "(" + joined + ")"
		}
		e.conditions += len(terms) - 1
		e.terms(" or ", joined, p+" eq null")
		return
	}
	e.terms(joiner, terms...)
}

func (e *expression) terms(joiner string, terms ...string) {
	e.conditions += len(terms)
	if len(terms) == 1 {
		e.text.WriteString(terms[0])
		return
	}
	e.text.WriteString("(" + strings.Join(terms, joiner) + ")")
}
