package emulator

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
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

// sorted are rows in an order; keys are those of the rows one after the other, nil where the order is that of the primary key.
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
	return []sortKey{x.order[0].key(v, x.order[0].col.get(v, x.rows[i]))}
}

// after is the first row behind the place where a page ended.
func (x sorted) after(v *snapshot, from *cookie) int {
	last := make([]sortKey, len(x.order))
	for i, o := range x.order {
		last[i] = o.key(v, from.last[i])
	}
	low, high := 0, len(x.rows)
	for low < high {
		mid := int(uint(low+high) >> 1)
		if compareKeys(x.order, x.at(v, mid), last) <= 0 {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
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
	out := sorted{order: order, rows: make([]any, len(rows)), keys: make([]sortKey, 0, len(keys))}
	for i, k := range index {
		out.rows[i] = rows[k]
		out.keys = append(out.keys, keys[int(k)*n:int(k+1)*n]...)
	}
	return out
}

// The orders of whole tables that were asked for last, some of each, so that who pages through one does not have it sorted for
// each page. An order holds about 100 bytes per row and column.
const (
	keptOrders    = 4    // of a table
	smallestOrder = 1000 // rows
)

type orders struct {
	mu   sync.Mutex
	list []keptOrder // the last one used is the last
}

type keptOrder struct {
	v           *snapshot
	table, name string
	rows        sorted
}

func (x *orders) get(v *snapshot, table, name string) (sorted, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	i := slices.IndexFunc(x.list, func(k keptOrder) bool { return k.v == v && k.table == table && k.name == name })
	if i < 0 {
		return sorted{}, false
	}
	k := x.list[i]
	x.list = append(slices.Delete(x.list, i, i+1), k)
	return k.rows, true
}

func (x *orders) put(k keptOrder) {
	x.mu.Lock()
	defer x.mu.Unlock()
	n, oldest := 0, -1
	for i := range x.list {
		if x.list[i].table == k.table {
			if n++; oldest < 0 {
				oldest = i
			}
		}
	}
	if n == keptOrders {
		x.list = slices.Delete(x.list, oldest, oldest+1)
	}
	x.list = append(x.list, k)
}

// inOrder sorts rows of the table, or finds what was sorted for another page.
func (c *call) inOrder(t *table, rows []any, order []ordering) sorted {
	if t.slots == 0 || len(rows) < smallestOrder || len(order) == 1 && !order[0].desc {
		return c.v.sort(rows, order)
	}
	if all := t.rows(c.v); len(rows) != len(all) || &rows[0] != &all[0] {
		return c.v.sort(rows, order)
	}
	var name strings.Builder
	for _, o := range order {
		fmt.Fprintf(&name, "%s %t %t,", o.col.name, o.desc, o.col.hidden)
	}
	if out, ok := c.s.orders.get(c.v, t.logical, name.String()); ok {
		return out
	}
	out := c.v.sort(rows, order)
	c.s.orders.put(keptOrder{c.v, t.logical, name.String(), out})
	return out
}

// choose filters, sorts and skips what earlier pages had, up to the limit of the query. The total, of all pages, is there where the
// query counts.
func (c *call) choose(rows []any, q *query) (out []any, total int) {
	few := rows
	if q.filter != nil && len(rows) < smallestOrder { // less to sort
		few = keep(rows, q.filter, len(rows))
	}
	in := c.inOrder(q.t, few, q.order)
	start, limit := 0, len(in.rows)
	if q.from != nil {
		start = in.after(c.v, q.from)
	}
	if q.limit > 0 {
		limit = min(limit, q.limit)
	}
	switch {
	case q.filter == nil:
		total = len(in.rows)
	case q.count:
		for _, r := range in.rows {
			total += btoi(q.filter(r))
		}
	}
	return keep(in.rows[start:], q.filter, limit), total
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
