package emulator

import "sort"

// edge is a condition that every row fulfils which a filter lets pass: a comparison of a column
// with a constant. In the order of the column the rows that fulfil it are next to each other, so
// that the others need not be looked at.
type edge struct {
	col  *column
	op   string          // eq, gt, ge, lt or le
	with func(value) int // compares with the constant; nil for null, with eq or ne
}

// after says whether a row is not before the ones that fulfil the edge, in ascending order; those
// without a value come first.
func (b edge) after(x value) bool {
	switch {
	case b.with == nil && b.op == "eq":
		return true
	case !x.ok:
		return false
	case b.with == nil || b.op == "lt" || b.op == "le":
		return true
	case b.op == "gt":
		return b.with(x) > 0
	}
	return b.with(x) >= 0
}

// beyond says whether a row is behind them.
func (b edge) beyond(x value) bool {
	switch {
	case !x.ok:
		return false
	case b.with == nil:
		return b.op == "eq"
	case b.op == "gt" || b.op == "ge":
		return false
	case b.op == "lt":
		return b.with(x) >= 0
	}
	return b.with(x) > 0
}

// window is between which places the rows are that fulfil the edges of the first column of the order.
func (x sorted) window(v *snapshot, edges []edge) (low, high int) {
	high = len(x.rows)
	first := x.order[0]
	for _, b := range edges {
		if b.col != first.col {
			continue
		}
		value := func(i int) value { return first.col.get(v, x.rows[i]) }
		from := func(i int) bool { return b.after(value(i)) }
		to := func(i int) bool { return b.beyond(value(i)) }
		if first.desc {
			from, to = func(i int) bool { return !b.beyond(value(i)) }, func(i int) bool { return !b.after(value(i)) }
		}
		low, high = max(low, sort.Search(len(x.rows), from)), min(high, sort.Search(len(x.rows), to))
	}
	return min(low, high), high
}
