package plan

import (
	"context"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// valuesOf appends a leaf's values to dst: none, one, two for between, or a list.
func (p Planner) valuesOf(dst []jsontext.Value, w *messages.Where, t dynamics.ColumnType,
	at spot) ([]jsontext.Value, error) {
	listed := w.Value.Kind() == '['
	least, most := t.Arity(dynamics.Op(w.Op))
	list := most > 2
	items := dst
	if listed {
		var err error
		if items, err = listItems(dst, w.Value); err != nil {
			return nil, fmt.Errorf("read a list of values: %w", err)
		}
	}
	switch {
	case most == 0:
		if w.Value != nil && w.Value.Kind() != 'n' {
			return nil, at.invalid("%s takes no value", w.Op)
		}
		return nil, nil
	case w.Value == nil || w.Value.Kind() == 'n':
		return nil, at.invalid("is missing; to find %s without a value use is_null", p.columns.entity.Name)
	case least == 2 && len(items) != 2:
		return nil, at.invalid("between takes an array of two values, the lowest and the highest")
	case list && !listed:
		return nil, at.invalid("%s takes an array of values", w.Op)
	case most == 1 && listed:
		return nil, at.invalid("%s takes one value, not an array; for several use in", w.Op)
	case listed && len(items) == 0:
		return nil, at.invalid("the list is empty; to find %s without "+
			"a value use is_null", p.columns.entity.Name)
	case listed:
		return items, nil
	}
	return append(dst, w.Value), nil
}

// value reads one value as the column's type wants it written.
func (p Planner) value(ctx context.Context, column dynamics.Column, field string, value jsontext.Value,
	at spot) (string, error) {
	kind := value.Kind()
	if kind == 'n' || string(value) == `""` { // in a list too, of whatever type
		return "", at.invalid("is %s; to find %s without a value use is_null",
			map[bool]string{true: "null", false: "empty"}[kind == 'n'], p.columns.entity.Name)
	}
	switch column.Type {
	case dynamics.Text:
		return textValue(value, at, "a string")
	case dynamics.UniqueID, dynamics.Lookup:
		text, err := textValue(value, at, "a GUID as a string")
		if err == nil && !route.IsGUID(text) {
			err = route.CheckGUID(at.path(), text)
		}
		return text, err
	case dynamics.DateTime, dynamics.Date:
		return textValue(value, at, "a date as a string, 2024-01-31T09:30:00Z or 2024-01-31")
	case dynamics.Boolean:
		if kind != 't' && kind != 'f' {
			return "", at.invalid("must be true or false, not %s", messages.KindName(kind))
		}
		return string(value), nil
	case dynamics.Choice, dynamics.Choices:
		if kind == '"' {
			return p.label(ctx, column, field, value, at)
		}
		if kind != '0' {
			return "", at.invalid("must be a label or an integer, not %s", messages.KindName(kind))
		}
		return string(value), nil
	default:
		if kind != '0' {
			return "", at.invalid("must be a number, not %s", messages.KindName(kind))
		}
		return string(value), nil
	}
}

func textValue(value jsontext.Value, at spot, right string) (string, error) {
	if value.Kind() != '"' {
		return "", at.invalid("must be %s, not %s", right, messages.KindName(value.Kind()))
	}
	if text, plain := plainText(value); plain {
		return text, nil
	}
	var text string
	if err := json.Unmarshal(value, &text); err != nil {
		return "", at.invalid("is not a valid string")
	}
	return text, nil
}

// plainText is a string that is written as it is, without escapes.
func plainText(value jsontext.Value) (text string, plain bool) {
	if len(value) < 2 || value[len(value)-1] != '"' {
		return "", false
	}
	inner := value[1 : len(value)-1]
	for _, c := range inner {
		if c == '\\' || c == '"' || c < ' ' {
			return "", false
		}
	}
	return string(inner), utf8.Valid(inner)
}

// listItems appends the items of a list to dst. Lists of scalars are cut at their commas;
// of others the package json finds out where items end.
func listItems(dst []jsontext.Value, list jsontext.Value) ([]jsontext.Value, error) {
	begin, scalar := len(dst), false
	for i := 1; i < len(list); i++ {
		switch c := list[i]; c {
		case ' ', '\t', '\r', '\n':
			continue
		case ',', ']':
			if !scalar {
				return dst, nil // an empty list
			}
			scalar = false
			continue
		case '[', '{':
			var items []jsontext.Value
			err := json.Unmarshal(list, &items)
			return append(dst[:begin], items...), err
		}
		end := scalarEnd(list, i)
		dst, scalar = append(dst, list[i:end:end]), true
		i = end - 1
	}
	return dst, nil
}

// scalarEnd is where the scalar at from ends in valid JSON.
func scalarEnd(list jsontext.Value, from int) int {
	for i := from; i < len(list); i++ {
		switch c := list[i]; {
		case list[from] == '"' && c == '\\':
			i++
		case list[from] == '"' && c == '"' && i > from:
			return i + 1
		case list[from] != '"' && (c == ',' || c == ']' || c <= ' '):
			return i
		}
	}
	return len(list)
}

// label finds the option that a label names, in any case.
func (p Planner) label(ctx context.Context, column dynamics.Column, field string, value jsontext.Value,
	at spot) (string, error) {
	label, err := textValue(value, at, "a label")
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
			return "", at.invalid("%s has more options than crmbridge knows by label, which are the "+
				"first %d; give the integer", field, len(labels))
		}
		return "", at.invalid("%s has no option with this label; %s", field,
			messages.OptionsMeant(label, choices(labels, slices.Sorted(maps.Keys(labels)))))
	}
	return "", at.invalid("the label is that of several options of %s: "+
		"%s; give the integer", field, messages.OptionList(choices(labels, found)))
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
