package dynamics

import (
	"errors"
	"fmt"
	"slices"
	"sync"
)

const (
	maxDepth      = 32  // of a filter: a bound on recursion, a request's is lower
	maxConditions = 500 // Dataverse: TooManyConditionsInQuery, 0x8004430C
)

// expression writes a filter in OData's syntax, not yet percent-encoded.
type expression struct {
	form       listForm
	text       []byte
	options    []byte // the query options with it, encoded
	conditions int
}

// expressions keeps what filters are written with. What is left of one filter is
// overwritten by the next; a filter that was long is not kept.
var expressions = sync.Pool{New: func() any { return new(expression) }}

const maxKeptExpression = 16 << 10

func (e *expression) release() {
	if cap(e.text)+cap(e.options) <= maxKeptExpression {
		expressions.Put(e)
	}
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
		return e.test(&f, negate)
	case nil:
		return refuse("query", "", "a part of the filter is missing")
	}
	return refuse("query", "", "a part of the filter is of type %T, not And, Or, Not or Test", f)
}

func (e *expression) join(members []Filter, word string, negate bool, depth int) *Error {
	if len(members) == 0 {
		return refuse("query", "", "the filter has an empty %q list: give one condition at least", word)
	}
	joiner := " and "
	if (word == "or") != negate { // De Morgan
		joiner = " or "
	}
	e.say("(")
	for i, m := range members {
		if i > 0 {
			e.say(joiner)
		}
		if err := e.write(m, negate, depth+1); err != nil {
			return err
		}
	}
	e.say(")")
	return nil
}

// say appends text as it is.
func (e *expression) say(text string) { e.text = append(e.text, text...) }

// checkAll reports what is wrong with a leaf. What it makes of most values fits its own memory.
func (t *Test) checkAll() *Error {
	if err := t.check(); err != nil {
		return err
	}
	if t.Column.Type == Choices {
		_, err := t.literals()
		return err
	}
	var memory [128]byte
	for _, v := range t.Values {
		if _, err := appendLiteral(memory[:0], t.Column.Type, t.Op, v); err != nil {
			return t.fault(err)
		}
	}
	return nil
}

// check is checkAll of all but the values themselves.
func (t *Test) check() *Error {
	if err := t.Column.check(); err != nil {
		return err
	}
	if !slices.Contains(t.Column.Type.Ops(), t.Op) {
		return refuse("query", t.Column.Logical, "column %s (%s) has no operator %q",
			t.Column.Logical, t.Column.Type, t.Op)
	}
	least, most := t.Column.Type.Arity(t.Op)
	if n := len(t.Values); n < least || n > most {
		return refuse("query", t.Column.Logical, "operator %q on column %s takes %s, not %d",
			t.Op, t.Column.Logical, counted(least, most), n)
	}
	return nil
}

// test writes one leaf. Every complement says "or null" itself, so that the
// answer does not depend on what Dataverse makes of null there.
func (e *expression) test(t *Test, negate bool) *Error {
	if err := t.check(); err != nil {
		return err
	}
	op := t.Op
	if positive, ok := affirmative(op); ok {
		op, negate = positive, !negate
	}
	var err *Error
	if op == In {
		err = e.list(t, negate)
	} else {
		err = e.leaf(t, op, negate)
	}
	if err != nil {
		return err
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

// textFunction is OData's name of an operator that searches within texts.
func textFunction(op Op) string {
	switch op {
	case Contains:
		return "contains("
	case StartsWith:
		return "startswith("
	}
	return "endswith("
}

// comparison is OData's operator for op, or for what op does not match.
func comparison(op Op, negate bool) string {
	words := [...]struct {
		op         Op
		word, dual string
	}{{Eq, " eq ", " ne "}, {Lt, " lt ", " ge "}, {Le, " le ", " gt "}, {Gt, " gt ", " le "}, {Ge, " ge ", " lt "}}
	for _, w := range words {
		if w.op == op && negate {
			return w.dual
		} else if w.op == op {
			return w.word
		}
	}
	return "" // which no column has
}

func (e *expression) leaf(t *Test, op Op, negate bool) (err *Error) {
	switch op {
	case IsNull:
		e.conditions++
		e.column(t.Column)
		if negate {
			e.say(" ne null")
		} else {
			e.say(" eq null")
		}
		return nil
	case Between:
		e.open(2, negate)
		joiner := " and "
		if negate {
			joiner = " or "
		}
		if err = e.compare(t, comparison(Ge, negate), t.Values[0]); err == nil {
			e.say(joiner)
			err = e.compare(t, comparison(Le, negate), t.Values[1])
		}
		e.shut(t.Column, 2, negate)
		return err
	}
	e.open(1, negate)
	switch op {
	case Contains, StartsWith, EndsWith:
		if negate {
			e.say("not ")
		}
		e.say(textFunction(op))
		e.column(t.Column)
		e.say(",")
		err = e.literal(t, t.Values[0])
		e.say(")")
	case ContainsAny:
		err = e.containValues(t, negate)
	default:
		err = e.compareSet(t, comparison(op, negate))
	}
	e.shut(t.Column, 1, negate)
	return err
}

// containValues calls the function that several choices have.
func (e *expression) containValues(t *Test, negate bool) *Error {
	literals, err := t.literals()
	if err != nil {
		return err
	}
	function := "ContainValues"
	if negate {
		function = "DoesNotContainValues"
	}
	for i, l := range literals {
		literals[i] = `"` + l + `"`
	}
	e.queryFunction(function, t.Column.Property(), literals)
	return nil
}

// compareSet compares with the one value, or with the set of choices that the values are.
func (e *expression) compareSet(t *Test, word string) *Error {
	if t.Column.Type != Choices {
		return e.compare(t, word, t.Values[0])
	}
	literals, err := t.literals()
	if err != nil {
		return err
	}
	e.column(t.Column)
	e.say(word)
	e.say(literals[0])
	return nil
}

// compare writes a comparison of the column with one value.
func (e *expression) compare(t *Test, word, value string) *Error {
	e.column(t.Column)
	e.say(word)
	return e.literal(t, value)
}

// literal writes a value.
func (e *expression) literal(t *Test, value string) *Error {
	var err error
	if e.text, err = appendLiteral(e.text, t.Column.Type, t.Op, value); err != nil {
		return t.fault(err)
	}
	return nil
}

// column writes the column's property.
func (e *expression) column(c Column) {
	if c.Type != Lookup {
		e.say(c.Logical)
		return
	}
	e.say("_")
	e.say(c.Logical)
	e.say("_value")
}

// open begins so many terms, and shut ends them; after a complement shut adds that a
// column without a value matches as well.
func (e *expression) open(terms int, negate bool) {
	e.conditions += terms
	if negate {
		e.conditions++
		e.say("(")
	}
	if terms > 1 {
		e.say("(")
	}
}

func (e *expression) shut(c Column, terms int, negate bool) {
	if terms > 1 {
		e.say(")")
	}
	if negate {
		e.say(" or ")
		e.column(c)
		e.say(" eq null)")
	}
}
