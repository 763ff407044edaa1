package messages

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of a where tree.
const (
	// MaxWhereDepth is how many nodes may lie on one path from root to leaf.
	MaxWhereDepth = 8
	// MaxWhereLeaves is how many leaves a tree may have.
	MaxWhereLeaves = 100
	// MaxWhereValues is how many values all leaves together may have.
	MaxWhereValues = 500
)

// An Op is the operator of a leaf.
type Op string

// The operators. README.md lists which type of field knows which.
const (
	Eq           Op = "eq"
	Ne           Op = "ne"
	Lt           Op = "lt"
	Le           Op = "le"
	Gt           Op = "gt"
	Ge           Op = "ge"
	Between      Op = "between"
	In           Op = "in"
	NotIn        Op = "not_in"
	Contains     Op = "contains"
	NotContains  Op = "not_contains"
	StartsWith   Op = "starts_with"
	EndsWith     Op = "ends_with"
	ContainsAny  Op = "contains_any"
	ContainsNone Op = "contains_none"
	IsNull       Op = "is_null"
	NotNull      Op = "not_null"
)

// An Arity is how many values an operator takes.
type Arity int

// The arities.
const (
	NoValue   Arity = iota // is_null
	OneValue               // eq; of a field with several choices a list
	TwoValues              // between
	ValueList              // in: a list of one or more
)

// operators is every operator with what it takes.
var operators = []struct {
	op    Op
	takes Arity
	of    valueKinds
}{
	{Eq, OneValue, scalars}, {Ne, OneValue, scalars},
	{Lt, OneValue, ordered}, {Le, OneValue, ordered}, {Gt, OneValue, ordered}, {Ge, OneValue, ordered},
	{Between, TwoValues, ordered}, {In, ValueList, ordered}, {NotIn, ValueList, ordered},
	{Contains, OneValue, texts}, {NotContains, OneValue, texts}, {StartsWith, OneValue, texts}, {EndsWith, OneValue, texts},
	{ContainsAny, ValueList, ordered}, {ContainsNone, ValueList, ordered},
	{IsNull, NoValue, 0}, {NotNull, NoValue, 0},
}

// valueKinds are the kinds of JSON that some type of column takes with an operator.
type valueKinds int

const (
	texts   valueKinds = iota + 1 // strings
	ordered                       // strings and numbers
	scalars                       // strings, numbers, true and false
)

// Ops lists every operator.
func Ops() []Op {
	ops := make([]Op, 0, len(operators))
	for _, known := range operators {
		ops = append(ops, known.op)
	}
	return ops
}

// Known reports whether there is such an operator.
func (op Op) Known() bool {
	for _, known := range operators {
		if known.op == op {
			return true
		}
	}
	return false
}

// Arity is how many values the operator takes: OneValue for one that is not known.
func (op Op) Arity() Arity {
	for _, known := range operators {
		if known.op == op {
			return known.takes
		}
	}
	return OneValue
}

// Where is a node of a filter: And, Or or Not of other nodes, or a leaf that
// compares one field with a value.
type Where struct {
	And   []Where        `json:"and,omitempty"`
	Or    []Where        `json:"or,omitempty"`
	Not   *Where         `json:"not,omitzero"`
	Field string         `json:"field,omitzero"`
	Op    Op             `json:"op,omitzero"`
	Value jsontext.Value `json:"value,omitzero"`
}

// All matches what every one of nodes matches.
func All(nodes ...Where) Where { return Where{And: nodes} }

// Any matches what at least one of nodes matches.
func Any(nodes ...Where) Where { return Where{Or: nodes} }

// Not matches what node does not match.
func Not(node Where) Where { return Where{Not: &node} }

// Leaf compares a field with a value: a string, number, bool, or a slice of
// them for the operators that take several. A json.Number of the standard library
// is a number, with the digits that it has. Text that is not UTF-8 gets U+FFFD in
// the place of what is not. It panics where value has no JSON form (a channel, a
// NaN), which none of these lack.
func Leaf(field string, op Op, value any) Where {
	raw, err := json.Marshal(value, json.Deterministic(true), jsontext.AllowInvalidUTF8(true),
		json.WithMarshalers(json.MarshalToFunc(writeNumber)))
	if err != nil {
		panic(fmt.Sprintf("messages.Leaf: a %T has no JSON form: %v", value, err))
	}
	return Where{Field: field, Op: op, Value: raw}
}

// writeNumber writes the digits of a number, which this JSON package takes for a
// text like any other.
func writeNumber(to *jsontext.Encoder, number stdjson.Number) error {
	raw := jsontext.Value(number)
	if raw.Kind() != '0' {
		return errors.New("it holds no number")
	}
	return to.WriteValue(raw)
}

// Null matches rows without a value in field.
func Null(field string) Where { return Where{Field: field, Op: IsNull} }

// HasValue matches rows with a value in field.
func HasValue(field string) Where { return Where{Field: field, Op: NotNull} }

// Check reports the first fault in the tree's form or size; path is the tree's
// place in the request. Fields, operators and values are checked against
// the columns by crmbridge.
func (w *Where) Check(path string) *Error {
	var count whereCount
	if count.sound(w, 1) {
		return nil
	}
	count = whereCount{}
	return count.node(w, path, 1) // once more, with the place of the fault
}

type whereCount struct{ leaves, values int }

// sound reports that a node has no fault: most filters have none, and need no paths.
func (c *whereCount) sound(w *Where, depth int) bool {
	leaf := w.leaf()
	switch {
	case depth > MaxWhereDepth:
		return false
	case w.And != nil:
		return w.Or == nil && w.Not == nil && !leaf && c.soundList(w.And, depth)
	case w.Or != nil:
		return w.Not == nil && !leaf && c.soundList(w.Or, depth)
	case w.Not != nil:
		return !leaf && c.sound(w.Not, depth+1)
	}
	return w.Field != "" && w.Op.Known() && c.within(w)
}

// leaf reports whether a node has a member of a leaf; null is as good as absent.
func (w *Where) leaf() bool {
	return w.Field != "" || w.Op != "" || w.Value != nil && w.Value.Kind() != 'n'
}

func (c *whereCount) soundList(nodes []Where, depth int) bool {
	for i := range nodes {
		if !c.sound(&nodes[i], depth+1) {
			return false
		}
	}
	return len(nodes) > 0
}

// within counts a leaf and its values, and reports whether they are not too many.
func (c *whereCount) within(w *Where) bool {
	c.leaves++
	c.values += elements(w.Value, MaxWhereValues-c.values)
	return c.leaves <= MaxWhereLeaves && c.values <= MaxWhereValues
}

func (c *whereCount) node(w *Where, path string, depth int) *Error {
	if depth > MaxWhereDepth {
		return Invalid(path, "%s", tooDeep())
	}
	kinds := w.kinds()
	if len(kinds) != 1 {
		found := "none of them"
		if len(kinds) > 1 {
			found = strings.Join(kinds, ", ")
		}
		return Invalid(path, "a node of the filter has exactly one of and, or, not, or field with "+
			"op; this one has %s", found)
	}
	switch kinds[0] {
	case "and":
		return c.list(w.And, path+".and", depth)
	case "or":
		return c.list(w.Or, path+".or", depth)
	case "not":
		return c.node(w.Not, path+".not", depth+1)
	default:
		return c.leaf(w, path)
	}
}

func (w *Where) kinds() []string {
	var kinds []string
	if w.And != nil {
		kinds = append(kinds, "and")
	}
	if w.Or != nil {
		kinds = append(kinds, "or")
	}
	if w.Not != nil {
		kinds = append(kinds, "not")
	}
	if w.leaf() {
		kinds = append(kinds, "field")
	}
	return kinds
}

func (c *whereCount) list(nodes []Where, path string, depth int) *Error {
	if len(nodes) == 0 {
		return Invalid(path, "the list is empty; give at least one node")
	}
	for i := range nodes {
		if err := c.node(&nodes[i], fmt.Sprintf("%s[%d]", path, i), depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (c *whereCount) leaf(w *Where, path string) *Error {
	if w.Field == "" {
		return Invalid(path+".field", "is missing; name the field to compare")
	}
	if w.Op == "" {
		return Invalid(path+".op", "is missing; give one of %s", opNames())
	}
	if !w.Op.Known() {
		return Invalid(path+".op", "there is no such operator; the operators are %s", opNames())
	}
	if c.leaves++; c.leaves > MaxWhereLeaves {
		return Invalid(path, "%s", tooManyLeaves())
	}
	c.values += elements(w.Value, MaxWhereValues-c.values)
	if c.values > MaxWhereValues {
		return Invalid(path+".value", "%s", tooManyValues())
	}
	return nil
}

func opNames() string {
	names := make([]string, 0, len(Ops()))
	for _, op := range Ops() {
		names = append(names, string(op))
	}
	return strings.Join(names, " ")
}
