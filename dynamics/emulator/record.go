package emulator

import (
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"math/big"
	"strings"
	"time"
)

// record is one row of a table whose rows the store keeps. Nothing in it is changed once it is there.
type record struct {
	id, owner guid
	version   int64
	// The cells, by the slots of the table's columns: texts and several choices, "" where there is
	// no value; numbers, dates and choices, noNumber where there is none; ids, noID where there is
	// none. Where the table has got columns since the record was made there are fewer. A page reads
	// them row by row, so that those of a row lie together.
	texts   []string
	numbers []int64
	ids     []guid
}

// noNumber is the cell of a number that has no value.
const noNumber = math.MinInt64

// noID is that of an id; the zero GUID is one.
var noID = guid{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// Row is a row by the logical names of its columns; one that is not there has no value. Values are
// a string for texts, GUIDs and lookups; an int for whole numbers and choices, and ten-thousandths
// for money and decimals; a bool; a time.Time; an []int32 for several choices. Where a row is put
// in, money and decimals may be a json.Number or a string too, in units, and dates a string.
type Row map[string]any

// toValue is a value of [Row] as queries see it. Of a wrong type or form it says what is right.
func (c *column) toValue(v any) (value, error) {
	switch {
	case v == nil:
		return value{}, nil
	case c.kind.textual():
		if s, ok := v.(string); ok {
			return textCellValue(s), nil
		}
		return value{}, c.wants(v, "a string")
	case c.kind == kindGUID || c.kind == kindLookup:
		s, _ := v.(string)
		if s == "" {
			if _, ok := v.(string); ok {
				return value{}, nil
			}
		} else if id, ok := parseGUID(s); ok {
			return value{ok: true, id: id}, nil
		}
		return value{}, c.wants(v, "a GUID as a string")
	case c.kind == kindDateTime || c.kind == kindDate:
		return c.dateValue(v)
	case c.kind == kindChoices:
		return c.choicesValue(v)
	case c.kind == kindBool:
		if on, ok := v.(bool); ok {
			return numberCellValue(int64(btoi(on))), nil
		}
		return value{}, c.wants(v, "true or false")
	}
	return c.numberValue(v)
}

func (c *column) wants(v any, what string) error {
	return fmt.Errorf("column %s: %v (%T) must be %s", c.name, v, v, what)
}

func (c *column) dateValue(v any) (value, error) {
	switch x := v.(type) {
	case time.Time:
		if x.IsZero() {
			return value{}, nil
		}
		return numberCellValue(x.Unix()), nil
	case string:
		for _, layout := range []string{time.RFC3339, time.DateOnly} {
			if at, err := time.Parse(layout, x); err == nil {
				return numberCellValue(at.Unix()), nil
			}
		}
	}
	return value{}, c.wants(v, "a time.Time, or a date and time as in 2024-02-29T08:00:00Z")
}

func (c *column) choicesValue(v any) (value, error) {
	var list []int32
	switch x := v.(type) {
	case []int32:
		list = x
	case []any:
		for _, e := range x {
			n, ok := wholeNumber(e)
			if !ok || n != int64(int32(n)) {
				return value{}, c.wants(v, "a list of the integers of options")
			}
			list = append(list, int32(n))
		}
	default:
		return value{}, c.wants(v, "a list of the integers of options")
	}
	return textCellValue(joinChoices(list)), nil
}

func (c *column) numberValue(v any) (value, error) {
	if c.kind.scaled() {
		var text string
		switch x := v.(type) {
		case json.Number:
			text = x.String()
		case string:
			text = x
		}
		if text != "" {
			n, ok := scaledNumber(text)
			if !ok {
				return value{}, c.wants(v, "a number with at most four decimals")
			}
			return numberCellValue(n), nil
		}
	}
	n, ok := wholeNumber(v)
	if !ok {
		return value{}, c.wants(v, "a whole number")
	}
	return numberCellValue(n), nil
}

func wholeNumber(v any) (int64, bool) {
	switch x := v.(type) {
	case int:
		return int64(x), true
	case int32:
		return int64(x), true
	case int64:
		return x, true
	case float64:
		return int64(x), x == math.Trunc(x) && math.Abs(x) < 1<<53
	case json.Number:
		n, err := x.Int64()
		return n, err == nil
	}
	return 0, false
}

// scaledNumber reads a decimal as ten-thousandths.
func scaledNumber(text string) (int64, bool) {
	if len(text) > 40 || strings.ContainsAny(text, "eE/_xX") {
		return 0, false
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return 0, false
	}
	r.Mul(r, big.NewRat(10000, 1))
	return r.Num().Int64(), r.IsInt() && r.Num().IsInt64()
}

// public is a cell as [Row] has it; nil is no value.
func (c *column) public(x value) any {
	switch {
	case !x.ok:
		return nil
	case c.kind.textual():
		return x.s
	case c.kind == kindGUID || c.kind == kindLookup:
		return x.id.String()
	case c.kind == kindDateTime || c.kind == kindDate:
		return time.Unix(x.n, 0).UTC()
	case c.kind == kindChoices:
		return splitChoices(x.s)
	case c.kind == kindBool:
		return x.n != 0
	}
	return int(x.n)
}

// record is the row as the store keeps it; it fails where a column is not there, has no cell, or
// its value is none of its type.
func (t *table) record(row Row) (*record, error) { return t.recordOf(&maker{n: t.cells}, row) }

func (t *table) recordOf(m *maker, row Row) (*record, error) {
	r := m.record()
	for name, v := range row {
		c := t.column(name)
		if c == nil {
			return nil, fmt.Errorf("table %s has no column %s", t.logical, name)
		}
		if c.name == "versionnumber" {
			continue // the store sets it
		}
		if !c.stored() {
			return nil, fmt.Errorf("column %s is computed from others", name)
		}
		x, err := c.toValue(v)
		if err != nil {
			return nil, err
		}
		r.set(c, x)
	}
	r.id = r.key(t)
	return r, nil
}

// key is what the cell of the primary key holds; the zero GUID where it has no value.
func (r *record) key(t *table) guid { return r.value(t.column(t.key)).id }

// records are generated rows, which hold when they were created and modified.
func (t *table) records(rows iter.Seq[Row]) []*record {
	var out []*record
	m := &maker{n: t.cells, many: true}
	for row := range rows {
		r, err := t.recordOf(m, row)
		if err != nil {
			panic("emulator: " + err.Error()) // a generator that does not know its table
		}
		r.fill(t)
		r.pack()
		out = append(out, r)
	}
	return out
}

// row is the record as [Row] has it: what has a value.
func (t *table) row(r *record) Row {
	out := Row{}
	for _, c := range t.columns {
		if !c.stored() || c.name == t.key {
			continue
		}
		if v := c.public(r.value(c)); v != nil {
			out[c.name] = v
		}
	}
	out[t.key] = r.id.String()
	return out
}
