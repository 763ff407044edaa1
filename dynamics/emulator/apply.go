package emulator

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

const aggregateLimit = 50_000

// application is $apply: filter(…)/ and then aggregate(…) or groupby((columns)[,aggregate(…)]) (6.6).
type application struct {
	filter predicate
	groups []*column
	sums   []aggregate
}

// apply answers $apply. Other transformations are refused, and so are other options; $orderby may
// name a column of the groups.
func (c *call) apply(t *table, rows []any, o options, text string) (*answer, *fault) {
	x, fail := c.application(t, o, text)
	if fail != nil {
		return nil, fail
	}
	order, fail := x.ordering(t, o)
	if fail != nil {
		return nil, fail
	}
	if x.filter != nil {
		rows = keep(rows, x.filter, len(rows))
	}
	if len(rows) > aggregateLimit {
		return nil, &fault{status: http.StatusBadRequest, code: "0x8004E023",
			message: "The maximum record limit is exceeded. Reduce the number of records."}
	}
	groups := c.group(x, rows)
	if order != nil {
		slices.SortStableFunc(groups, func(a, b *group) int {
			return compareKeys(order, keysOf(c.v, order, a.row), keysOf(c.v, order, b.row))
		})
	}
	w := newRowWriter(c, t, &query{selects: x.groups})
	b := appendString([]byte(`{"@odata.context":`), c.base+"$metadata#"+t.set)
	b = append(b, `,"value":[`...)
	for i, g := range groups {
		if i > 0 {
			b = append(b, ',')
		}
		start := len(b)
		for k := range w.cells { // a null key is left out of its row
			if w.cells[k].col.get(c.v, g.row).ok {
				b = w.cell(b, &w.cells[k], g.row)
			}
		}
		for k := range x.sums {
			b = x.sums[k].write(b, c, &g.sums[k])
		}
		b = append(b, '}')
		if b[start] == ',' {
			b[start] = '{'
		} else {
			b = append(b[:start], '{', '}')
		}
	}
	return &answer{status: http.StatusOK, body: append(b, "]}"...)}, nil
}

// ordering reads $orderby, which knows the columns of the groups and refuses the aliases in the documented words.
func (x *application) ordering(t *table, o options) ([]ordering, *fault) {
	text, ok := o.get("$orderby")
	if !ok {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		name, _, _ := strings.Cut(strings.TrimSpace(part), " ")
		grouped := slices.ContainsFunc(x.groups, func(c *column) bool { return c.property() == name })
		if slices.ContainsFunc(x.sums, func(s aggregate) bool { return s.name == name }) || t.props[name] != nil && !grouped {
			return nil, badRequest("The query node SingleValueOpenPropertyAccess is not supported")
		}
	}
	order, fail := t.ordering(text)
	if fail != nil {
		return nil, fail
	}
	return slices.DeleteFunc(order, func(o ordering) bool { return !slices.Contains(x.groups, o.col) }), nil
}

// group is what the rows with the same keys come to; row is the first of them.
type group struct {
	row  any
	sums []total
}

// group collects in one pass, in the order of the keys. Without groups there is exactly one, even over no rows.
func (c *call) group(x application, rows []any) []*group {
	by := map[string]*group{}
	var names []string
	at := func(name string, row any) *group {
		g := by[name]
		if g == nil {
			g = &group{row: row, sums: make([]total, len(x.sums))}
			by[name], names = g, append(names, name)
		}
		return g
	}
	if len(x.groups) == 0 {
		at("", nil)
	}
	var name []byte
	for _, r := range rows {
		name = name[:0]
		for _, col := range x.groups {
			v := col.get(c.v, r)
			name = fmt.Appendf(name, "%t|%s|%d|%s|", v.ok, fold(v.s), v.n, v.id)
		}
		g := at(string(name), r)
		for i := range x.sums {
			x.sums[i].add(c.v, &g.sums[i], r)
		}
	}
	slices.Sort(names)
	out := make([]*group, len(names))
	for i, n := range names {
		out[i] = by[n]
	}
	return out
}
