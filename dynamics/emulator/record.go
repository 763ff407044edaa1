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
	// cells are by the slots of the table's columns: nil, a *string, an *int64 or a *guid. Where the table has got columns since
	// the record was made there are fewer.
	cells []any
}

// boxes are where cells point to. Those of rows that are made together lie together, as an allocation for each of a million cells
// costs more than all else about them.
type boxes struct {
	texts   []string
	numbers []int64
	ids     []guid
}

// boxed puts a value into a box of the last chunk, or of a new one.
func boxed[T any](chunk *[]T, v T) any {
	if len(*chunk) == cap(*chunk) {
		*chunk = make([]T, 0, min(max(8, 2*cap(*chunk)), 1024))
	}
	*chunk = append(*chunk, v)
	return &(*chunk)[len(*chunk)-1]
}

func (b *boxes) text(s string) any {
	if s == "" {
		return nil
	}
	return boxed(&b.texts, s)
}

func (b *boxes) number(n int64) any {
	if n >= 0 && n < int64(len(smallNumbers)) {
		return &smallNumbers[n]
	}
	return boxed(&b.numbers, n)
}

func (b *boxes) id(g guid) any { return boxed(&b.ids, g) }

// smallNumbers are the cells of choices and the like; nobody writes to them.
var smallNumbers = func() (out [256]int64) {
	for i := range out {
		out[i] = int64(i)
	}
	return out
}()

func (r *record) cell(slot int) any {
	if slot < len(r.cells) {
		return r.cells[slot]
	}
	return nil
}

// Row is a row by the logical names of its columns; one that is not there has no value. Values are a string for texts, GUIDs and
// lookups; an int for whole numbers and choices, and ten-thousandths for money and decimals; a bool; a time.Time; an []int32 for
// several choices. Where a row is put in, money and decimals may be a json.Number or a string too, in units, and dates a string.
type Row map[string]any

// toCell is a value as records keep it. Of a wrong type or form it says what is right.
func (c *column) toCell(b *boxes, v any) (any, error) {
	switch {
	case v == nil:
		return nil, nil
	case c.kind.textual():
		if s, ok := v.(string); ok {
			return b.text(s), nil
		}
		return nil, c.wants(v, "a string")
	case c.kind == kindGUID || c.kind == kindLookup:
		s, _ := v.(string)
		if s == "" {
			if _, ok := v.(string); ok {
				return nil, nil
			}
		} else if id, ok := parseGUID(s); ok {
			return b.id(id), nil
		}
		return nil, c.wants(v, "a GUID as a string")
	case c.kind == kindDateTime || c.kind == kindDate:
		return c.dateCell(b, v)
	case c.kind == kindChoices:
		return c.choicesCell(b, v)
	case c.kind == kindBool:
		if on, ok := v.(bool); ok {
			return b.number(int64(btoi(on))), nil
		}
		return nil, c.wants(v, "true or false")
	}
	return c.numberCell(b, v)
}

func (c *column) wants(v any, what string) error {
	return fmt.Errorf("column %s: %v (%T) must be %s", c.name, v, v, what)
}

func (c *column) dateCell(b *boxes, v any) (any, error) {
	switch x := v.(type) {
	case time.Time:
		if x.IsZero() {
			return nil, nil
		}
		return b.number(x.Unix()), nil
	case string:
		for _, layout := range []string{time.RFC3339, time.DateOnly} {
			if at, err := time.Parse(layout, x); err == nil {
				return b.number(at.Unix()), nil
			}
		}
	}
	return nil, c.wants(v, "a time.Time, or a date and time as in 2024-02-29T08:00:00Z")
}

func (c *column) choicesCell(b *boxes, v any) (any, error) {
	var list []int32
	switch x := v.(type) {
	case []int32:
		list = x
	case []any:
		for _, e := range x {
			n, ok := wholeNumber(e)
			if !ok || n != int64(int32(n)) {
				return nil, c.wants(v, "a list of the integers of options")
			}
			list = append(list, int32(n))
		}
	default:
		return nil, c.wants(v, "a list of the integers of options")
	}
	return b.text(joinChoices(list)), nil
}

func (c *column) numberCell(b *boxes, v any) (any, error) {
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
				return nil, c.wants(v, "a number with at most four decimals")
			}
			return b.number(n), nil
		}
	}
	n, ok := wholeNumber(v)
	if !ok {
		return nil, c.wants(v, "a whole number")
	}
	return b.number(n), nil
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

// cellValue is a cell as queries see it; one of another type than the column's is null.
func cellValue(k kind, cell any) value {
	switch x := cell.(type) {
	case *string:
		return value{ok: k.textual() || k == kindChoices, s: *x}
	case *int64:
		return value{ok: !k.textual() && k != kindChoices && k != kindGUID && k != kindLookup, n: *x}
	case *guid:
		return value{ok: k == kindGUID || k == kindLookup, id: *x}
	}
	return value{}
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

// record is the row as the store keeps it; it fails where a column is not there, has no cell, or its value is none of its type.
func (t *table) record(row Row) (*record, error) { return t.boxedRecord(&boxes{}, row) }

func (t *table) boxedRecord(b *boxes, row Row) (*record, error) {
	r := &record{cells: make([]any, t.slots)}
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
		var err error
		if r.cells[c.slot], err = c.toCell(b, v); err != nil {
			return nil, err
		}
	}
	r.id = r.key(t)
	return r, nil
}

// key is what the cell of the primary key holds; the zero GUID where it has no value.
func (r *record) key(t *table) guid {
	if id, ok := r.cell(t.column(t.key).slot).(*guid); ok {
		return *id
	}
	return guid{}
}

// records are generated rows, which hold when they were created and modified.
func (t *table) records(rows iter.Seq[Row]) []*record {
	var out []*record
	b := &boxes{}
	for row := range rows {
		r, err := t.boxedRecord(b, row)
		if err != nil {
			panic("emulator: " + err.Error()) // a generator that does not know its table
		}
		r.fill(t)
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
		if v := c.public(cellValue(c.kind, r.cell(c.slot))); v != nil {
			out[c.name] = v
		}
	}
	out[t.key] = r.id.String()
	return out
}
