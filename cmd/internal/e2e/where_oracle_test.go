package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// The oracle evaluates where trees directly over the emulator's rows, from
// messages/README.md#filters alone and without a line of the code under test: no OData, no LIKE
// patterns, no three-valued logic. It panics on what would be refused,
// since the trees that it is given are meant to be right.
type oracle struct {
	table *testedTable
	rows  []*oracleRow
	names map[string]*oracleColumn
}

type oracleRow struct {
	id    string
	cells []oracleCell // by the column's index
}

// oracleCell is what a column holds in a row. text is without case; at is where
// numbers and moments stand among all that could be asked for, see position.
type oracleCell struct {
	has  bool
	raw  string // text as it is stored, GUIDs
	text string
	at   int64
}

// newOracle takes the rows as they are now.
func newOracle(table *testedTable, rows []emulator.Row) *oracle {
	o := &oracle{table: table, names: map[string]*oracleColumn{}}
	for _, c := range table.columns {
		for _, name := range c.names {
			o.names[name] = c
		}
	}
	for _, row := range rows {
		o.rows = append(o.rows, oracleRowOf(table, row))
	}
	return o
}

func oracleRowOf(table *testedTable, values emulator.Row) *oracleRow {
	row := &oracleRow{id: table.id(values), cells: make([]oracleCell, len(table.columns))}
	for _, c := range table.columns {
		cell := c.get(values)
		if !cell.has {
			cell = oracleCell{}
		}
		cell.text = foldCase(cell.raw)
		row.cells[c.index] = cell
	}
	return row
}

// match returns the ids of the rows that the tree matches.
func (o *oracle) match(where *messages.Where) map[string]bool {
	matches, ids := o.compile(where), map[string]bool{}
	for _, row := range o.rows {
		if matches(row) {
			ids[row.id] = true
		}
	}
	return ids
}

type oracleTest func(*oracleRow) bool

func (o *oracle) compile(w *messages.Where) oracleTest {
	switch {
	case w.And != nil:
		tests := o.each(w.And)
		return func(r *oracleRow) bool {
			return !slices.ContainsFunc(tests, func(test oracleTest) bool { return !test(r) })
		}
	case w.Or != nil:
		tests := o.each(w.Or)
		return func(r *oracleRow) bool {
			return slices.ContainsFunc(tests, func(test oracleTest) bool { return test(r) })
		}
	case w.Not != nil:
		test := o.compile(w.Not)
		return func(r *oracleRow) bool { return !test(r) }
	}
	column := o.names[w.Field]
	if column == nil {
		panic("no column " + w.Field)
	}
	test := column.leaf(w.Op, oracleValues(w.Value))
	return func(r *oracleRow) bool { return test(&r.cells[column.index]) }
}

func (o *oracle) each(nodes []messages.Where) []oracleTest {
	tests := make([]oracleTest, len(nodes))
	for i := range nodes {
		tests[i] = o.compile(&nodes[i])
	}
	return tests
}

// negatives are the operators that match a column without a value, each with the
// operator whose complement it is.
var negatives = map[messages.Op]messages.Op{
	messages.Ne: messages.Eq, messages.NotIn: messages.In, messages.NotContains: messages.Contains,
	messages.ContainsNone: messages.ContainsAny, messages.IsNull: messages.NotNull,
}

func (c *oracleColumn) leaf(op messages.Op, values []any) func(*oracleCell) bool {
	if positive, ok := negatives[op]; ok {
		test := c.leaf(positive, values)
		return func(cell *oracleCell) bool { return !test(cell) }
	}
	if op == messages.NotNull {
		return func(cell *oracleCell) bool { return cell.has }
	}
	var test func(*oracleCell) bool
	switch c.kind {
	case messages.FieldText:
		test = textTest(op, values)
	case messages.FieldGUID, messages.FieldLookup:
		test = textTest(op, values)
	case messages.FieldChoices:
		test = c.setTest(op, values)
	default:
		test = c.orderTest(op, values)
	}
	return func(cell *oracleCell) bool { return cell.has && test(cell) }
}

func textTest(op messages.Op, values []any) func(*oracleCell) bool {
	wanted := make([]string, len(values))
	for i, value := range values {
		wanted[i] = foldCase(value.(string))
	}
	compare := map[messages.Op]func(text, value string) bool{
		messages.Eq: func(text, value string) bool { return text == value }, messages.Contains: strings.Contains,
		messages.In:         func(text, value string) bool { return text == value },
		messages.StartsWith: strings.HasPrefix, messages.EndsWith: strings.HasSuffix,
	}[op]
	return func(cell *oracleCell) bool {
		return slices.ContainsFunc(wanted, func(value string) bool { return compare(cell.text, value) })
	}
}

func (c *oracleColumn) orderTest(op messages.Op, values []any) func(*oracleCell) bool {
	at := make([]int64, len(values))
	for i, value := range values {
		at[i] = c.position(value)
	}
	switch op {
	case messages.Eq, messages.In:
		return func(cell *oracleCell) bool { return slices.Contains(at, cell.at) }
	case messages.Lt:
		return func(cell *oracleCell) bool { return cell.at < at[0] }
	case messages.Le:
		return func(cell *oracleCell) bool { return cell.at <= at[0] }
	case messages.Gt:
		return func(cell *oracleCell) bool { return cell.at > at[0] }
	case messages.Ge:
		return func(cell *oracleCell) bool { return cell.at >= at[0] }
	case messages.Between:
		return func(cell *oracleCell) bool { return cell.at >= at[0] && cell.at <= at[1] }
	}
	panic(fmt.Sprintf("%s on %s", op, c.kind))
}

// setTest: a set of choices is a set of bits in the order of the options.
func (c *oracleColumn) setTest(op messages.Op, values []any) func(*oracleCell) bool {
	var wanted int64
	for _, value := range values {
		wanted |= c.bit(int32(c.position(value) / exactly))
	}
	if op == messages.Eq {
		return func(cell *oracleCell) bool { return cell.at == wanted }
	}
	return func(cell *oracleCell) bool { return cell.at&wanted != 0 } // contains_any
}

func (c *oracleColumn) bit(value int32) int64 {
	return 1 << slices.Index(slices.Sorted(maps.Keys(c.options)), value)
}

// exactly is the distance between two neighbours that a column can hold; what lies
// between them gets the odd position in the middle, so that one integer says
// everything that a comparison needs.
const exactly = 2

// position of a value: numbers in ten-thousandths, moments in seconds, choices by
// their integers, each times two.
func (c *oracleColumn) position(value any) int64 {
	switch c.kind {
	case messages.FieldYesNo:
		if value.(bool) {
			return exactly
		}
		return 0
	case messages.FieldChoice, messages.FieldChoices:
		if label, ok := value.(string); ok {
			for n, text := range c.options {
				if foldCase(text) == foldCase(label) {
					return exactly * int64(n)
				}
			}
			panic(c.names[0] + " has no option of this label")
		}
		n, err := value.(json.Number).Int64()
		must(err)
		return exactly * n
	case messages.FieldDateTime, messages.FieldDate:
		moment, err := time.Parse(time.RFC3339, value.(string))
		if err != nil {
			moment, err = time.Parse(time.DateOnly, value.(string)) // midnight UTC
		}
		must(err)
		at := exactly * moment.Unix()
		if moment.Nanosecond() != 0 {
			at++
		}
		return at
	}
	number, ok := new(big.Rat).SetString(value.(json.Number).String())
	if !ok {
		panic("not a number")
	}
	number.Mul(number, big.NewRat(10_000, 1))
	at := exactly * new(big.Int).Div(number.Num(), number.Denom()).Int64() // Div goes down, also below zero
	if !number.IsInt() {
		at++
	}
	return at
}

// oracleValues reads a leaf's value as a list.
func oracleValues(raw []byte) []any {
	if raw == nil {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	must(decoder.Decode(&value))
	if list, ok := value.([]any); ok {
		return list
	}
	return []any{value}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// foldCase is the text without case. Letters whose case is a matter of language or
// collation (see caseIsClear) are kept out of rows and values.
func foldCase(s string) string { return strings.Map(unicode.ToLower, s) }

// caseIsClear says whether each letter is one of a plain pair of cases. Which case
// the rare forms have (ı and İ, ς, ſ, the Kelvin sign, the capital ß and the like)
// is the collation's affair.
func caseIsClear(s string) bool {
	for _, r := range s {
		lower := unicode.ToLower(r)
		upper := unicode.ToUpper(lower)
		if r != lower && r != upper || unicode.ToLower(upper) != lower || r == 'ẞ' {
			return false
		}
	}
	return true
}
