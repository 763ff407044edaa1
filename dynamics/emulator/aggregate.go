package emulator

import (
	"math/big"
	"strconv"
	"strings"
)

// aggregate is one item of aggregate(…): $count as alias, or column with method as alias. Sums and averages are exact.
type aggregate struct {
	name   string
	method string // count, sum, average, min, max, countdistinct
	col    *column
}

// total is what an aggregate has come to.
type total struct {
	n        int64 // rows that had a value
	sum      big.Int
	best     value
	distinct map[sortKey]bool
}

// of sets the column, and refuses what the method cannot be used with.
func (x *aggregate) of(t *table, name string) *fault {
	if x.col = t.props[name]; x.col == nil {
		return t.noProperty(name)
	}
	k := x.col.kind
	number := k == kindInt || k == kindBigInt || k == kindMoney || k == kindDecimal
	switch x.method {
	case "countdistinct":
	case "sum", "average":
		if !number {
			return badRequest("The aggregation method '%s' is not supported for the column '%s'.", x.method, name)
		}
	case "min", "max":
		if !number && k != kindDateTime && k != kindDate {
			return badRequest("The aggregation method '%s' is not supported for the column '%s'.", x.method, name)
		}
	default:
		return badRequest("The aggregation method '%s' is not supported.", x.method)
	}
	return nil
}

// add counts a row in.
func (x *aggregate) add(v *snapshot, to *total, row any) {
	if x.method == "count" {
		to.n++
		return
	}
	cell := x.col.get(v, row)
	if !cell.ok {
		return
	}
	to.n++
	switch x.method {
	case "sum", "average":
		to.sum.Add(&to.sum, big.NewInt(cell.n))
	case "min", "max":
		if !to.best.ok || (cell.n < to.best.n) == (x.method == "min") {
			to.best = cell
		}
	case "countdistinct":
		if to.distinct == nil {
			to.distinct = map[sortKey]bool{}
		}
		to.distinct[ordering{col: x.col}.key(v, cell)] = true
	}
}

// write appends the member, its formatted value first where it is asked for. What no row had a
// value for is left out, as a null key is; that the service does the same here is not documented.
func (x *aggregate) write(b []byte, c *call, from *total) []byte {
	text, formatted, l := "", "", c.lang()
	switch {
	case x.method == "count":
		text, formatted = strconv.FormatInt(from.n, 10), l.number(from.n)
	case x.method == "countdistinct":
		text, formatted = strconv.Itoa(len(from.distinct)), l.number(int64(len(from.distinct)))
	case from.n == 0:
		return b
	case x.method == "min" || x.method == "max":
		text, formatted = string(x.col.appendJSON(nil, from.best)), x.col.format(c.v, from.best, l)
	default:
		text, formatted = x.number(from, 0), x.number(from, 2)
		if x.col.kind.scaled() { // nine decimals, as in Microsoft's samples
			text = x.number(from, 9)
		} else {
			formatted = x.number(from, 0)
		}
		formatted = x.dressed(formatted, l)
	}
	if c.prefs.annotates(annFormatted) {
		b = appendString(append(appendString(append(b, ','), x.name+"@"+annFormatted), ':'), formatted)
	}
	return append(append(appendString(append(b, ','), x.name), ':'), text...)
}

// number is a sum or an average. Of whole numbers the average is cut to one, as SQL Server does;
// that is not documented.
func (x *aggregate) number(from *total, decimals int) string {
	by := int64(1)
	if x.method == "average" {
		by = from.n
	}
	if !x.col.kind.scaled() {
		return new(big.Int).Quo(&from.sum, big.NewInt(by)).String()
	}
	r := new(big.Rat).SetFrac(&from.sum, new(big.Int).Mul(big.NewInt(by), big.NewInt(10000)))
	return r.FloatString(decimals)
}

// dressed puts a language's marks between thousands and before decimals, and the currency where it is money.
func (x *aggregate) dressed(text string, l *language) string {
	text, negative := strings.CutPrefix(text, "-")
	whole, rest, point := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + l.group + whole[i:]
	}
	if point {
		whole += l.decimal + rest
	}
	return l.signed(whole, negative, x.col.kind == kindMoney)
}
