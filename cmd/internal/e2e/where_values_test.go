package e2e

import (
	"maps"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/messages"
)

// whereValues draws the values of leaves mostly from the rows themselves, so that
// filters match something, and changes them a little, so that a comparison that
// is nearly right shows.
type whereValues struct {
	rng *rand.Rand
	o   *oracle
	// By column: the rows with a value, the texts by what they are without trailing
	// blanks, and the texts that have such blanks.
	filled   [][]*oracleRow
	trimmed  []map[string]string
	trailing [][]string
}

func newWhereValues(rng *rand.Rand, o *oracle) *whereValues {
	n := len(o.table.columns)
	v := &whereValues{rng: rng, o: o, filled: make([][]*oracleRow, n), trimmed: make([]map[string]string, n), trailing: make([][]string, n)}
	for i := range o.table.columns {
		v.trimmed[i] = map[string]string{}
		for _, row := range o.rows {
			if cell := row.cells[i]; cell.has {
				v.filled[i] = append(v.filled[i], row)
				bare := withoutTrailing(cell.text)
				v.trimmed[i][bare] = cell.text
				if bare != cell.text {
					v.trailing[i] = append(v.trailing[i], cell.text)
				}
			}
		}
	}
	return v
}

// source is the cell to make a value from: mostly the row's that the tree is made
// to match, where it has one.
func (v *whereValues) source(c *oracleColumn, row *oracleRow) oracleCell {
	rows := v.filled[c.index]
	if cell := row.cells[c.index]; cell.has && v.rng.IntN(10) < 7 || len(rows) == 0 {
		return cell
	}
	return one(v.rng, rows).cells[c.index]
}

// value is a value that fits the operator, with at most budget values in it, and
// how many there are.
func (v *whereValues) value(c *oracleColumn, op messages.Op, row *oracleRow, budget int) (any, int) {
	switch op {
	case messages.IsNull, messages.NotNull:
		return nil, 0
	case messages.Between:
		// The wrong way round it would be refused.
		low, high := v.scalar(c, op, v.source(c, row)), v.scalar(c, op, v.source(c, row))
		if at := oracleValues(messages.Leaf("", op, []any{low, high}).Value); c.position(at[0]) > c.position(at[1]) {
			low, high = high, low
		}
		return []any{low, high}, 2
	case messages.In, messages.NotIn:
		n := min(budget, 1+v.rng.IntN(6))
		if v.rng.IntN(12) == 0 {
			n = min(budget, 20+v.rng.IntN(60))
		}
		list := []any{}
		for range n {
			list = append(list, v.scalar(c, op, v.source(c, row)))
		}
		return list, n
	case messages.ContainsAny, messages.ContainsNone, messages.Eq:
		if c.kind == messages.FieldChoices {
			return v.choices(c, v.source(c, row), op)
		}
	}
	return v.scalar(c, op, v.source(c, row)), 1
}

// choices lists the options of a cell, or some of all, in any order.
func (v *whereValues) choices(c *oracleColumn, cell oracleCell, op messages.Op) (any, int) {
	list := []any{}
	for _, n := range slices.Sorted(maps.Keys(c.options)) {
		if op == messages.Eq && cell.has && cell.at&c.bit(n) != 0 || (op != messages.Eq || !cell.has) && v.rng.IntN(3) == 0 {
			list = append(list, v.option(c, n))
		}
	}
	if len(list) == 0 {
		list = append(list, v.option(c, 100000000))
	}
	v.rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list, len(list)
}

// option is a choice as integer or label.
func (v *whereValues) option(c *oracleColumn, n int32) any {
	if v.rng.IntN(2) == 0 {
		return n
	}
	return v.anyCase(c.options[n])
}

func (v *whereValues) scalar(c *oracleColumn, op messages.Op, cell oracleCell) any {
	switch c.kind {
	case messages.FieldText:
		for range 20 {
			if s := v.text(cell.raw, op); caseIsClear(s) && v.blanksAreClear(c, op, s) {
				return s
			}
		}
		return "nothing like it"
	case messages.FieldGUID, messages.FieldLookup:
		id := cell.raw
		if id == "" || v.rng.IntN(20) == 0 {
			id = one(v.rng, v.o.rows).id
		}
		if v.rng.IntN(10) == 0 {
			last, _ := strconv.ParseUint(id[35:], 16, 8)
			id = id[:35] + strconv.FormatUint((last+1)%16, 16)
		}
		return v.anyCase(id)
	case messages.FieldYesNo:
		return v.rng.IntN(2) == 0
	case messages.FieldChoice:
		n := int32(cell.at / exactly)
		if !cell.has || v.rng.IntN(4) == 0 {
			n = one(v.rng, slices.Sorted(maps.Keys(c.options)))
		}
		return v.option(c, n)
	case messages.FieldDateTime, messages.FieldDate:
		return v.moment(c, time.Unix(cell.at/exactly, 0).UTC())
	case messages.FieldWholeNumber:
		n := min(max(cell.at/exactly/10_000+v.nudge(), math.MinInt32), math.MaxInt32) // others are refused
		return jsontext.Value(strconv.FormatInt(n, 10))
	default:
		return v.decimal(cell.at/exactly + v.nudge())
	}
}

// nudge is mostly 0, else one step up or down.
func (v *whereValues) nudge() int64 { return []int64{0, 0, 0, 0, 0, 0, 1, -1}[v.rng.IntN(8)] }

// decimal writes ten-thousandths with or without trailing zeros.
func (v *whereValues) decimal(n int64) jsontext.Value {
	text := big.NewRat(n, 10_000).FloatString(4)
	if v.rng.IntN(2) == 0 {
		text = strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
	}
	return jsontext.Value(text)
}

func (v *whereValues) moment(c *oracleColumn, t time.Time) string {
	if c.kind == messages.FieldDate {
		return t.AddDate(0, 0, int(v.nudge())).Format(time.DateOnly)
	}
	t = t.Add(time.Duration(v.nudge()) * time.Second)
	switch v.rng.IntN(6) {
	case 0:
		return t.Format(time.DateOnly)
	case 1:
		return t.Format("2006-01-02T15:04:05.000Z07:00")
	case 2:
		return t.Add(500 * time.Millisecond).Format(time.RFC3339Nano)
	case 3:
		hours := v.rng.IntN(27) - 12
		return t.In(time.FixedZone("", hours*3600+v.rng.IntN(2)*1800)).Format(time.RFC3339)
	}
	return t.Format(time.RFC3339)
}

// text makes a text to look for out of one that is there.
func (v *whereValues) text(s string, op messages.Op) string {
	if s == "" || v.rng.IntN(12) == 0 {
		s = one(v.rng, hostileTexts)
	}
	runes := []rune(s)
	part := 1 + v.rng.IntN(min(len(runes), 9))
	switch op {
	case messages.Contains, messages.NotContains:
		start := v.rng.IntN(len(runes) - part + 1)
		runes = runes[start : start+part]
	case messages.StartsWith:
		runes = runes[:part]
	case messages.EndsWith:
		runes = runes[len(runes)-part:]
	}
	at := v.rng.IntN(len(runes))
	switch v.rng.IntN(12) {
	case 0: // a wildcard in the place of what it would match
		runes = slices.Concat(runes[:at], []rune(one(v.rng, []string{"%", "_", "[a-z]", "[^#]"})), runes[at+1:])
	case 1: // or beside it
		runes = slices.Insert(slices.Clone(runes), at, []rune(one(v.rng, []string{"%", "'", "''", "[", "]", "\\", "^", " "}))...)
	case 2:
		if r := runes[len(runes)-1]; r >= '0' && r < '9' {
			runes = append(slices.Clone(runes[:len(runes)-1]), r+1)
		}
	}
	if v.rng.IntN(5) < 2 {
		return v.anyCase(string(runes))
	}
	return string(runes)
}

// blanksAreClear says whether the answer does not hang on trailing blanks, which
// follow the environment's collation: neither an equality with and without them,
// nor what a text with trailing blanks contains and ends with.
func (v *whereValues) blanksAreClear(c *oracleColumn, op messages.Op, s string) bool {
	s = foldCase(s)
	if slices.Contains([]messages.Op{messages.Eq, messages.Ne, messages.In, messages.NotIn}, op) {
		stored, near := v.trimmed[c.index][withoutTrailing(s)]
		return !near || stored == s
	}
	for _, text := range v.trailing[c.index] {
		bare := withoutTrailing(text)
		if strings.Contains(text, s) != strings.Contains(bare, s) || strings.HasSuffix(text, s) || strings.HasSuffix(bare, s) {
			return false
		}
	}
	return true
}

func withoutTrailing(s string) string { return strings.TrimRightFunc(s, unicode.IsSpace) }

// anyCase turns some letters to their other case.
func (v *whereValues) anyCase(s string) string {
	return strings.Map(func(r rune) rune {
		if v.rng.IntN(2) == 0 && unicode.IsUpper(r) {
			return unicode.ToLower(r)
		} else if upper := unicode.ToUpper(r); v.rng.IntN(3) == 0 && caseIsClear(string(r)+string(upper)) {
			return upper
		}
		return r
	}, s)
}
