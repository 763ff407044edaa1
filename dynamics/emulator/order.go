package emulator

import (
	"cmp"
	"slices"
	"sort"
	"strings"
)

// Rows in an order, and which of them a query is about.

// sortKey is one cell of the order, folded once.
type sortKey struct {
	null bool
	s    string
	n    int64
	id   guid
}

func (o ordering) key(v *snapshot, x value) sortKey {
	if !x.ok {
		return sortKey{null: true}
	}
	switch k := o.col.kind; {
	case k == kindLookup:
		ref, _ := v.refer(o.col, x.id) // of a deleted row nothing is known, as for null
		if ref.name == "" {
			return sortKey{null: true}
		}
		return sortKey{s: fold(ref.name)}
	case k.textual() || k == kindChoices:
		return sortKey{s: fold(x.s)}
	}
	return sortKey{n: x.n, id: x.id}
}

// compareKeys orders nulls first, and last when descending.
func compareKeys(order []ordering, a, b []sortKey) int {
	for i, o := range order {
		c := 0
		switch x, y := a[i], b[i]; {
		case x.null || y.null:
			c = cmp.Compare(btoi(y.null), btoi(x.null))
		case o.col.kind == kindGUID:
			c = x.id.compare(y.id)
		default:
			if c = cmp.Compare(x.n, y.n); c == 0 {
				c = strings.Compare(x.s, y.s)
			}
		}
		if o.desc {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// sorted are rows in an order; keys are those of the rows one after the other, nil where they are read from the rows.
type sorted struct {
	order []ordering
	rows  []any
	keys  []sortKey
}

// at are the keys of a row.
func (x sorted) at(v *snapshot, i int) []sortKey {
	n := len(x.order)
	if x.keys != nil {
		return x.keys[i*n : (i+1)*n]
	}
	return keysOf(v, x.order, x.rows[i])
}

// keysOf are the keys of one row.
func keysOf(v *snapshot, order []ordering, row any) []sortKey {
	out := make([]sortKey, len(order))
	for i, o := range order {
		out[i] = o.key(v, o.col.get(v, row))
	}
	return out
}

// after is the first row behind the place where a page ended.
func (x sorted) after(v *snapshot, from *cookie) int {
	last := make([]sortKey, len(x.order))
	for i, o := range x.order {
		last[i] = o.key(v, from.last[i])
	}
	return sort.Search(len(x.rows), func(i int) bool { return compareKeys(x.order, x.at(v, i), last) > 0 })
}

// sort orders rows that come in the order of their primary keys.
func (v *snapshot) sort(rows []any, order []ordering) sorted {
	if len(order) == 1 && !order[0].desc { // it can only be the primary key
		return sorted{order: order, rows: rows}
	}
	n := len(order)
	keys := make([]sortKey, len(rows)*n)
	index := make([]int32, len(rows))
	for i, r := range rows {
		index[i] = int32(i)
		for j, o := range order {
			keys[i*n+j] = o.key(v, o.col.get(v, r))
		}
	}
	slices.SortFunc(index, func(a, b int32) int {
		return compareKeys(order, keys[int(a)*n:int(a+1)*n], keys[int(b)*n:int(b+1)*n])
	})
	out := sorted{order: order, rows: make([]any, len(rows))}
	for i, k := range index {
		out.rows[i] = rows[k]
	}
	if plain(order) {
		return out
	}
	out.keys = make([]sortKey, 0, len(keys))
	for _, k := range index {
		out.keys = append(out.keys, keys[int(k)*n:int(k+1)*n]...)
	}
	return out
}

// plain says that the keys of an order are read from a row without effort, and follow from nothing but the row.
func plain(order []ordering) bool {
	return !slices.ContainsFunc(order, func(o ordering) bool {
		return o.col.kind == kindLookup || o.col.kind == kindChoices || o.col.kind.textual()
	})
}

// choose filters, sorts and skips what earlier pages had, up to the limit of the query. The total,
// of all pages, is there where the query counts.
func (c *call) choose(rows []any, q *query) (out []any, total int) {
	few := rows
	if q.filter != nil && len(rows) < smallestOrder { // less to sort
		few = keep(rows, q.filter, len(rows))
	}
	in := c.inOrder(q.t, few, q.order)
	low, high := in.window(c.v, q.edges)
	start, limit := low, len(in.rows)
	if q.from != nil {
		start = min(max(low, in.after(c.v, q.from)), high)
	}
	if q.limit > 0 {
		limit = min(limit, q.limit)
	}
	switch {
	case q.filter == nil:
		total = len(in.rows)
	case q.count:
		for _, r := range in.rows[low:high] {
			total += btoi(q.filter(r))
		}
	}
	return keep(in.rows[start:high], q.filter, limit), total
}

// keep returns the first rows that pass.
func keep(rows []any, pass predicate, limit int) []any {
	if pass == nil {
		return rows[:min(limit, len(rows))]
	}
	var out []any
	for _, r := range rows {
		if len(out) == limit {
			break
		}
		if pass(r) {
			out = append(out, r)
		}
	}
	return out
}
