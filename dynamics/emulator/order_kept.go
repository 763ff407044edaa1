package emulator

import (
	"slices"
	"sort"
	"sync"
)

// The orders of whole tables that were asked for last, some of each, so that who pages through one
// does not have it sorted for each page. Where rows change, a plain order is brought up to date by
// what became of them, forwards or backwards, so that requests of different moments each find the
// order of theirs. An order of texts or lookups holds about 60 bytes per row and column, a plain
// one 16 bytes per row.
const (
	keptOrders    = 4    // of a table
	smallestOrder = 1000 // rows
	// mostEdits is how many changes an order is brought up to date by: sorting costs less than more.
	mostEdits = 2048
)

type orders struct {
	mu   sync.Mutex
	list []*keptOrder // the last one used is the last
}

// A keptOrder is sorted by one request at a time: the others that need it wait.
type keptOrder struct {
	table string
	order []ordering

	mu   sync.Mutex
	v    *snapshot // of which rows is the order
	rows sorted
}

// of finds the place of an order, which may be empty.
func (x *orders) of(table string, order []ordering) *keptOrder {
	x.mu.Lock()
	defer x.mu.Unlock()
	i := slices.IndexFunc(x.list, func(k *keptOrder) bool {
		return k.table == table && slices.EqualFunc(k.order, order, sameOrdering)
	})
	if i >= 0 {
		k := x.list[i]
		x.list = append(slices.Delete(x.list, i, i+1), k)
		return k
	}
	n, oldest := 0, -1
	for i := range x.list {
		if x.list[i].table == table {
			if n++; oldest < 0 {
				oldest = i
			}
		}
	}
	if n == keptOrders {
		x.list = slices.Delete(x.list, oldest, oldest+1)
	}
	k := &keptOrder{table: table, order: order}
	x.list = append(x.list, k)
	return k
}

// sameOrdering says that two columns hold the same cells, whatever they are called now.
func sameOrdering(a, b ordering) bool {
	x, y := a.col, b.col
	return a.desc == b.desc && x.name == y.name && x.kind == y.kind && x.slot == y.slot && x.hidden == y.hidden
}

// at is the order of a snapshot's rows. The newest order is kept.
func (k *keptOrder) at(v *snapshot, order []ordering, rows []any) sorted {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.v == v {
		return k.rows
	}
	out, ok := k.patched(v, order)
	if !ok {
		out = v.sort(rows, order)
	}
	if k.v == nil || v.version >= k.v.version {
		k.v, k.rows = v, out
	}
	return out
}

// patched is the kept order with what became of rows; false where that is not known.
func (k *keptOrder) patched(v *snapshot, order []ordering) (sorted, bool) {
	if k.v == nil || !plain(order) {
		return sorted{}, false
	}
	edits, ok := between(k.v.set(k.table), v.set(k.table))
	if !ok || len(edits) > mostEdits {
		return sorted{}, false
	}
	if len(edits) == 0 {
		return k.rows, true
	}
	return k.rows.patched(v, edits)
}

// patched puts each row of the edits where it belongs, in one pass.
func (x sorted) patched(v *snapshot, edits []edit) (sorted, bool) {
	type cut struct {
		at   int
		keys []sortKey // of a row that comes in there; nil for the row there, which goes
		row  any
	}
	var cuts []cut
	find := func(keys []sortKey) int {
		return sort.Search(len(x.rows), func(i int) bool { return compareKeys(x.order, x.at(v, i), keys) >= 0 })
	}
	for _, e := range netOf(edits) {
		if e.before != nil {
			i := find(keysOf(v, x.order, e.before))
			if i == len(x.rows) || x.rows[i] != any(e.before) {
				return sorted{}, false
			}
			cuts = append(cuts, cut{at: i})
		}
		if e.after != nil {
			keys := keysOf(v, x.order, e.after)
			cuts = append(cuts, cut{at: find(keys), keys: keys, row: e.after})
		}
	}
	slices.SortFunc(cuts, func(a, b cut) int {
		switch {
		case a.at != b.at:
			return a.at - b.at
		case a.keys == nil || b.keys == nil: // what comes in there comes before what is there
			return btoi(a.keys == nil) - btoi(b.keys == nil)
		}
		return compareKeys(x.order, a.keys, b.keys)
	})
	out, done := make([]any, 0, len(x.rows)+len(cuts)), 0
	for _, c := range cuts {
		out, done = append(out, x.rows[done:c.at]...), c.at
		if c.keys == nil {
			done++
		} else {
			out = append(out, c.row)
		}
	}
	return sorted{order: x.order, rows: append(out, x.rows[done:]...)}, true
}

// inOrder sorts rows of the table, or finds what was sorted for another page.
func (c *call) inOrder(t *table, rows []any, order []ordering) sorted {
	if t.slots == 0 || len(rows) < smallestOrder || len(order) == 1 && !order[0].desc {
		return c.v.sort(rows, order)
	}
	if all := t.rows(c.v); len(rows) != len(all) || &rows[0] != &all[0] {
		return c.v.sort(rows, order)
	}
	return c.s.orders.of(t.logical, order).at(c.v, order, rows)
}
