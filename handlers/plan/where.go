package plan

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// Where plans a filter whose form has been checked. Its errors name the place
// and what would be right, never a value.
func (p Planner) Where(ctx context.Context, w *messages.Where, path string) (dynamics.Filter, error) {
	filter, err := p.where(ctx, w, path)
	if err != nil {
		return nil, err
	}
	return filter, p.comparable(ctx)
}

func (p Planner) where(ctx context.Context, w *messages.Where, path string) (dynamics.Filter, error) {
	switch {
	case w.And != nil:
		members, err := p.members(ctx, w.And, path+".and")
		return dynamics.And(members), err
	case w.Or != nil:
		members, err := p.members(ctx, w.Or, path+".or")
		return dynamics.Or(members), err
	case w.Not != nil:
		of, err := p.where(ctx, w.Not, path+".not")
		return dynamics.Not{Of: of}, err
	default:
		return p.leaf(ctx, w, path)
	}
}

func (p Planner) members(ctx context.Context, nodes []messages.Where, path string) ([]dynamics.Filter, error) {
	members := make([]dynamics.Filter, len(nodes))
	for i := range nodes {
		member, err := p.where(ctx, &nodes[i], path+"["+strconv.Itoa(i)+"]")
		if err != nil {
			return nil, err
		}
		members[i] = member
	}
	return members, nil
}

func (p Planner) leaf(ctx context.Context, w *messages.Where, path string) (dynamics.Filter, error) {
	column, err := p.compared(ctx, w.Field, path+".field")
	if err != nil {
		return nil, err
	}
	if ops := column.Type.Ops(); !slices.Contains(ops, dynamics.Op(w.Op)) {
		return nil, messages.Invalid(path+".op", "%s is of type %s, which knows %s", w.Field, column.Type, joinOps(ops))
	}
	raw, err := p.valuesOf(w, column.Type, path+".value")
	if err != nil {
		return nil, err
	}
	test := dynamics.Test{Column: column, Op: dynamics.Op(w.Op), Values: make([]string, len(raw))}
	for i, value := range raw {
		at := path + ".value"
		if w.Value.Kind() == '[' {
			at += "[" + strconv.Itoa(i) + "]"
		}
		if test.Values[i], err = p.value(ctx, column, w.Field, value, at); err != nil {
			return nil, err
		}
	}
	if err := dynamics.Check(test); err != nil {
		return nil, Refused(err, path+".value")
	}
	if w.Op == messages.Between && swapped(column.Type, test.Values[0], test.Values[1]) {
		return nil, messages.Invalid(path+".value", "the first value of between is above the second; give the "+
			"lowest and then the highest")
	}
	return test, nil
}

// swapped reports whether low is above high; the values have been checked.
func swapped(t dynamics.ColumnType, low, high string) bool {
	if t == dynamics.DateTime || t == dynamics.Date {
		from, errFrom := parseMoment(low)
		to, errTo := parseMoment(high)
		return errFrom == nil && errTo == nil && from.After(to)
	}
	from, okFrom := new(big.Rat).SetString(low)
	to, okTo := new(big.Rat).SetString(high)
	return okFrom && okTo && from.Cmp(to) > 0
}

func parseMoment(text string) (time.Time, error) {
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day, nil
	}
	return dynamics.ParseTime(text)
}

// Refused turns the client's refusal of a value into an error at its place.
func Refused(err error, path string) error {
	if fault, ok := errors.AsType[*dynamics.Error](err); ok && fault.Kind == dynamics.Invalid {
		return messages.Invalid(path, "%s", fault.Message).Because(err)
	}
	return err
}

// valuesOf are a leaf's values: none, one, two for between, or a list.
func (p Planner) valuesOf(w *messages.Where, t dynamics.ColumnType, path string) ([]jsontext.Value, error) {
	listed := w.Value.Kind() == '['
	least, most := t.Arity(dynamics.Op(w.Op))
	list := most > 2
	var items []jsontext.Value
	if listed {
		if err := json.Unmarshal(w.Value, &items); err != nil {
			return nil, fmt.Errorf("read a list of values: %w", err)
		}
	}
	switch {
	case most == 0:
		if w.Value != nil && w.Value.Kind() != 'n' {
			return nil, messages.Invalid(path, "%s takes no value", w.Op)
		}
		return nil, nil
	case w.Value == nil || w.Value.Kind() == 'n':
		return nil, messages.Invalid(path, "is missing; to find %s without a value use is_null", p.columns.entity.Name)
	case least == 2 && len(items) != 2:
		return nil, messages.Invalid(path, "between takes an array of two values, the lowest and the highest")
	case list && !listed:
		return nil, messages.Invalid(path, "%s takes an array of values", w.Op)
	case most == 1 && listed:
		return nil, messages.Invalid(path, "%s takes one value, not an array; for several use in", w.Op)
	case listed && len(items) == 0:
		return nil, messages.Invalid(path, "the list is empty; to find %s without "+
			"a value use is_null", p.columns.entity.Name)
	case listed:
		return items, nil
	}
	return []jsontext.Value{w.Value}, nil
}

// value reads one value as the column's type wants it written.
func (p Planner) value(ctx context.Context, column dynamics.Column, field string, value jsontext.Value,
	path string) (string, error) {
	kind := value.Kind()
	if kind == 'n' || string(value) == `""` { // in a list too, of whatever type
		return "", messages.Invalid(path, "is %s; to find %s without a value use is_null",
			map[bool]string{true: "null", false: "empty"}[kind == 'n'], p.columns.entity.Name)
	}
	switch column.Type {
	case dynamics.Text:
		return textValue(value, path, "a string")
	case dynamics.UniqueID, dynamics.Lookup:
		text, err := textValue(value, path, "a GUID as a string")
		if err == nil {
			err = route.CheckGUID(path, text)
		}
		return text, err
	case dynamics.DateTime, dynamics.Date:
		return textValue(value, path, "a date as a string, 2024-01-31T09:30:00Z or 2024-01-31")
	case dynamics.Boolean:
		if kind != 't' && kind != 'f' {
			return "", messages.Invalid(path, "must be true or false, not %s", kindName(kind))
		}
		return string(value), nil
	case dynamics.Choice, dynamics.Choices:
		if kind == '"' {
			return p.label(ctx, column, field, value, path)
		}
		if kind != '0' {
			return "", messages.Invalid(path, "must be a label or an integer, not %s", kindName(kind))
		}
		return string(value), nil
	default:
		if kind != '0' {
			return "", messages.Invalid(path, "must be a number, not %s", kindName(kind))
		}
		return string(value), nil
	}
}

func textValue(value jsontext.Value, path, right string) (string, error) {
	if value.Kind() != '"' {
		return "", messages.Invalid(path, "must be %s, not %s", right, kindName(value.Kind()))
	}
	var text string
	if err := json.Unmarshal(value, &text); err != nil {
		return "", messages.Invalid(path, "is not a valid string")
	}
	return text, nil
}

// label finds the option that a label names, in any case.
func (p Planner) label(ctx context.Context, column dynamics.Column, field string, value jsontext.Value,
	path string) (string, error) {
	label, err := textValue(value, path, "a label")
	if err != nil {
		return "", err
	}
	var labels map[int]string
	var found []int
	var cut bool
	for _, maxAge := range []time.Duration{MaxAge, missingMaxAge} {
		if labels, cut, err = p.columns.labelsOf(ctx, column, maxAge); err != nil {
			return "", err
		}
		if found = labelled(labels, label); len(found) > 0 {
			break
		}
	}
	switch len(found) {
	case 1:
		return strconv.Itoa(found[0]), nil
	case 0:
		if cut {
			return "", messages.Invalid(path, "%s has more options than crmbridge knows by label, which are the "+
				"first %d; give the integer", field, len(labels))
		}
		return "", messages.Invalid(path, "%s has no option with this label; "+
			"its options are %s", field, optionList(labels))
	}
	return "", messages.Invalid(path, "the label is that of several options of %s: "+
		"%s; give the integer", field, optionList(pick(labels, found)))
}

func labelled(labels map[int]string, label string) []int {
	var found []int
	for option, text := range labels {
		if strings.EqualFold(text, label) {
			found = append(found, option)
		}
	}
	return found
}

func kindName(kind jsontext.Kind) string {
	switch kind {
	case '"':
		return "a string"
	case '0':
		return "a number"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	case '[':
		return "an array"
	default:
		return "an object"
	}
}

func joinOps(ops []dynamics.Op) string {
	names := make([]string, len(ops))
	for i, op := range ops {
		names[i] = string(op)
	}
	return strings.Join(names, " ")
}
