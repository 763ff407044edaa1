package messagestest

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"time"
	"unicode"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/messages"
)

// A test says whether a row matches.
type test func(*row) bool

// The operators of the types, in the order of messages/README.md#types-and-operators.
var (
	numberOps = []messages.Op{messages.Eq, messages.Ne, messages.Lt, messages.Le, messages.Gt, messages.Ge,
		messages.Between, messages.In, messages.NotIn, messages.IsNull, messages.NotNull}
	timeOps = []messages.Op{messages.Eq, messages.Ne, messages.Lt, messages.Le, messages.Gt, messages.Ge,
		messages.Between, messages.IsNull, messages.NotNull}
	choiceOps = []messages.Op{messages.Eq, messages.Ne, messages.In, messages.NotIn, messages.IsNull,
		messages.NotNull}

	typeOps = map[string][]messages.Op{
		messages.FieldText: {messages.Eq, messages.Ne, messages.In, messages.NotIn, messages.Contains,
			messages.NotContains, messages.StartsWith, messages.EndsWith, messages.IsNull, messages.NotNull},
		messages.FieldWholeNumber: numberOps, messages.FieldDecimal: numberOps, messages.FieldMoney: numberOps,
		messages.FieldDateTime: timeOps, messages.FieldDate: timeOps,
		messages.FieldYesNo:  {messages.Eq, messages.Ne, messages.IsNull, messages.NotNull},
		messages.FieldChoice: choiceOps, messages.FieldGUID: choiceOps, messages.FieldLookup: choiceOps,
		messages.FieldChoices: {messages.ContainsAny, messages.ContainsNone, messages.Eq, messages.IsNull,
			messages.NotNull},
	}
)

// where makes the test of a filter whose form has been checked. Its error names the place and
// what would be right, never a value.
func (t *table) where(w *messages.Where, path string) (test, *messages.Error) {
	switch {
	case w == nil:
		return func(*row) bool { return true }, nil
	case w.And != nil:
		members, err := t.members(w.And, path+".and")
		return func(r *row) bool {
			return !slices.ContainsFunc(members, func(is test) bool { return !is(r) })
		}, err
	case w.Or != nil:
		members, err := t.members(w.Or, path+".or")
		return func(r *row) bool { return slices.ContainsFunc(members, func(is test) bool { return is(r) }) }, err
	case w.Not != nil:
		is, err := t.where(w.Not, path+".not")
		return func(r *row) bool { return !is(r) }, err
	}
	return t.leaf(w, path)
}

func (t *table) members(nodes []messages.Where, path string) ([]test, *messages.Error) {
	members := make([]test, len(nodes))
	for i := range nodes {
		var err *messages.Error
		if members[i], err = t.where(&nodes[i], fmt.Sprintf("%s[%d]", path, i)); err != nil {
			return nil, err
		}
	}
	return members, nil
}

func (t *table) leaf(w *messages.Where, path string) (test, *messages.Error) {
	c, err := t.column(w.Field, path+".field")
	if err != nil {
		return nil, err
	}
	if ops := typeOps[c.Type]; !slices.Contains(ops, w.Op) {
		names := make([]string, len(ops))
		for i, op := range ops {
			names[i] = string(op)
		}
		return nil, messages.Invalid(path+".op", "%s is of type %s, which knows %s", w.Field, c.Type,
			strings.Join(names, " "))
	}
	values, err := t.values(w, c, path+".value")
	if err != nil {
		return nil, err
	}
	if w.Op == messages.Between && compare(c.Type, values[0], values[1]) > 0 {
		return nil, messages.Invalid(path+".value",
			"the first value of between is above the second; give the lowest and then the highest")
	}
	if !c.Readable {
		return nil, hidden(w.Field, path+".field")
	}
	positive, negative := affirmative(w.Op)
	is := comparison(c.Type, positive, values)
	return func(r *row) bool {
		value := r.cells[c.LogicalName]
		if positive == messages.IsNull {
			return value.null() != negative
		}
		return (!value.null() && is(value)) != negative
	}, nil
}

func hidden(name, path string) *messages.Error {
	return messages.Invalid(path, "the connection's user may not read %s (column-level security), so that no "+
		"filter or order can use it; leave it out, or let a column security profile give the user its values", name)
}

// affirmative is the operator whose complement op is, for the negative ones: a column without a
// value matches these.
func affirmative(op messages.Op) (positive messages.Op, negative bool) {
	switch op {
	case messages.Ne:
		return messages.Eq, true
	case messages.NotIn:
		return messages.In, true
	case messages.NotContains:
		return messages.Contains, true
	case messages.NotNull:
		return messages.IsNull, true
	case messages.ContainsNone:
		return messages.ContainsAny, true
	}
	return op, false
}

// comparison is an operator that is not negative, of cells that have a value.
func comparison(kind string, op messages.Op, values []cell) func(cell) bool {
	same := func(a, b cell) bool {
		switch kind {
		case messages.FieldText:
			return strings.TrimRight(a.text, " ") == strings.TrimRight(b.text, " ")
		case messages.FieldGUID, messages.FieldLookup:
			return a.id == b.id
		}
		return compare(kind, a, b) == 0
	}
	switch op {
	case messages.Eq:
		if kind == messages.FieldChoices {
			return func(c cell) bool { return slices.Equal(c.set, setOf(values)) }
		}
		return func(c cell) bool { return same(c, values[0]) }
	case messages.In:
		return func(c cell) bool { return slices.ContainsFunc(values, func(v cell) bool { return same(c, v) }) }
	case messages.Lt:
		return func(c cell) bool { return compare(kind, c, values[0]) < 0 }
	case messages.Le:
		return func(c cell) bool { return compare(kind, c, values[0]) <= 0 }
	case messages.Gt:
		return func(c cell) bool { return compare(kind, c, values[0]) > 0 }
	case messages.Ge:
		return func(c cell) bool { return compare(kind, c, values[0]) >= 0 }
	case messages.Between:
		return func(c cell) bool { return compare(kind, c, values[0]) >= 0 && compare(kind, c, values[1]) <= 0 }
	case messages.Contains:
		return func(c cell) bool { return strings.Contains(c.text, values[0].text) }
	case messages.StartsWith:
		return func(c cell) bool { return strings.HasPrefix(c.text, values[0].text) }
	case messages.EndsWith:
		return func(c cell) bool { return strings.HasSuffix(c.text, values[0].text) }
	case messages.ContainsAny:
		return func(c cell) bool {
			return slices.ContainsFunc(c.set, func(n int64) bool { return slices.Contains(setOf(values), n) })
		}
	}
	return func(cell) bool { return false } // is_null: a cell with a value
}

func setOf(values []cell) []int64 {
	var set []int64
	for _, value := range values {
		set = append(set, value.number.Num().Int64())
	}
	slices.Sort(set)
	return slices.Compact(set)
}

// values reads what a leaf compares with.
func (t *table) values(w *messages.Where, c *column, path string) ([]cell, *messages.Error) {
	listed, takes := w.Value.Kind() == '[', w.Op.Arity()
	var items []jsontext.Value
	if listed {
		if err := jsonv2.Unmarshal(w.Value, &items); err != nil {
			return nil, messages.Errorf(messages.Internal, "a list of values cannot be read")
		}
	}
	severalOfOne := c.Type == messages.FieldChoices && takes == messages.OneValue
	switch {
	case takes == messages.NoValue:
		if w.Value != nil && w.Value.Kind() != 'n' {
			return nil, messages.Invalid(path, "%s takes no value", w.Op)
		}
		return nil, nil
	case w.Value == nil || w.Value.Kind() == 'n':
		return nil, messages.Invalid(path, "is missing; to find %s without a value use is_null", t.Name)
	case takes == messages.TwoValues && len(items) != 2:
		return nil, messages.Invalid(path, "between takes an array of two values, the lowest and the highest")
	case (takes == messages.ValueList || severalOfOne) && !listed:
		return nil, messages.Invalid(path, "%s takes an array of values", w.Op)
	case takes == messages.OneValue && listed && !severalOfOne:
		return nil, messages.Invalid(path, "%s takes one value, not an array; for several use in", w.Op)
	case listed && len(items) == 0:
		return nil, messages.Invalid(path, "the list is empty; to find %s without a value use is_null", t.Name)
	case !listed:
		items = []jsontext.Value{w.Value}
	}
	values := make([]cell, len(items))
	for i, item := range items {
		at := path
		if listed {
			at = fmt.Sprintf("%s[%d]", path, i)
		}
		var err *messages.Error
		if values[i], err = t.operand(c, w, item, at, path); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// operand reads one value. What is wrong with its type is said at its place, what Dataverse could
// not compare at that of the whole value.
func (t *table) operand(c *column, w *messages.Where, value jsontext.Value, at, whole string) (cell,
	*messages.Error) {
	kind := value.Kind()
	unfit := func(right string) (cell, *messages.Error) {
		return cell{}, messages.Invalid(whole, "%s (%s), operator %q: a value is not %s", w.Field, c.Type, w.Op,
			right)
	}
	mustBe := func(right string) (cell, *messages.Error) {
		return cell{}, messages.Invalid(at, "must be %s, not %s", right, messages.KindName(kind))
	}
	if kind == 'n' || string(value) == `""` {
		what := "empty"
		if kind == 'n' {
			what = "null"
		}
		return cell{}, messages.Invalid(at, "is %s; to find %s without a value use is_null", what, t.Name)
	}
	var text string
	if kind == '"' {
		if err := jsonv2.Unmarshal(value, &text); err != nil {
			return cell{}, messages.Invalid(at, "is not a valid string")
		}
	}
	switch c.Type {
	case messages.FieldText:
		if kind != '"' {
			return mustBe("a string")
		}
		if strings.ContainsFunc(text, isForbidden) {
			return unfit("a text without control characters other than tabs and line breaks")
		}
		return cell{wire: value, text: fold(text)}, nil
	case messages.FieldGUID, messages.FieldLookup:
		if kind != '"' {
			return mustBe("a GUID as a string")
		}
		if !isGUID(text) {
			return cell{}, notAGUID(at)
		}
		return cell{wire: value, id: strings.ToLower(text)}, nil
	case messages.FieldDateTime, messages.FieldDate:
		if kind != '"' {
			return mustBe("a date as a string, 2024-01-31T09:30:00Z or 2024-01-31")
		}
		made, right := dated(c.Type, text)
		if right != "" {
			return unfit(right)
		}
		return cell{wire: value, moment: made}, nil
	case messages.FieldYesNo:
		if kind != 't' && kind != 'f' {
			return mustBe("true or false")
		}
		return cell{wire: value, number: new(big.Rat).SetInt64(truth(kind == 't'))}, nil
	case messages.FieldChoice, messages.FieldChoices:
		if kind == '"' {
			return c.label(w.Field, text, at)
		}
		if kind != '0' {
			return mustBe("a label or an integer")
		}
	default:
		if kind != '0' {
			return mustBe("a number")
		}
	}
	number, ok := rational(string(value))
	if c.Type == messages.FieldDecimal || c.Type == messages.FieldMoney {
		if !ok {
			return unfit(fmt.Sprintf("a decimal number of at most %d digits", mostDigits))
		}
	} else if !ok || !number.IsInt() || number.Num().CmpAbs(big.NewInt(math.MaxInt32+1)) > 0 ||
		number.Num().Cmp(big.NewInt(math.MaxInt32+1)) == 0 {
		return unfit("a whole number of 32 bits")
	}
	return cell{wire: value, number: number}, nil
}

func isForbidden(r rune) bool { return unicode.IsControl(r) && r != '\t' && r != '\n' && r != '\r' }

func notAGUID(path string) *messages.Error {
	return messages.Invalid(path, "is not a GUID such as 11111111-2222-3333-4444-555555555555")
}

// dated reads a value for a date; where it is none, right says what would be.
func dated(kind, text string) (at time.Time, right string) {
	const first = 1753 // of Dataverse
	day, err := time.Parse(time.DateOnly, text)
	switch {
	case err == nil && day.Year() < first:
		return at, "a date from 1753 on"
	case err == nil:
		return day, ""
	case kind == messages.FieldDate:
		return at, "a date YYYY-MM-DD"
	}
	if at, err = moment(text); err != nil || at.UTC().Year() < first || at.Nanosecond()%100 != 0 {
		return at, "an RFC 3339 date and time such as 2024-01-31T09:30:00Z, from 1753 on, with at most 7 decimals of a " +
			"second, or a date YYYY-MM-DD"
	}
	return at, ""
}

// label finds the option that a label names, in any case.
func (c *column) label(field, label, path string) (cell, *messages.Error) {
	found := c.labelled(label)
	switch len(found) {
	case 1:
		return cell{wire: wire(found[0]), number: new(big.Rat).SetInt64(found[0].Value)}, nil
	case 0:
		return cell{}, messages.Invalid(path, "%s has no option with this label; %s", field,
			messages.OptionsMeant(label, c.Options))
	}
	return cell{}, messages.Invalid(path, "the label is that of several options of %s: %s; give the integer", field,
		messages.OptionList(found))
}
