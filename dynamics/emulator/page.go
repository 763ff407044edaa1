package emulator

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const countLimit = 5000 // of $count (6.4)

// sortKey is one cell of the order, folded once.
type sortKey struct {
	null bool
	s    string
	n    int64
	id   guid
}

type sortRow struct {
	row  any
	keys []sortKey
}

func (o ordering) key(v *snapshot, x value) sortKey {
	if !x.ok {
		return sortKey{null: true}
	}
	switch k := o.col.kind; {
	case k == kindLookup:
		ref, _ := v.refer(x.id) // of a deleted row nothing is known, as for null
		if ref.name == "" {
			return sortKey{null: true}
		}
		return sortKey{s: fold(ref.name)}
	case k.textual() || k == kindChoices:
		return sortKey{s: fold(x.s)}
	}
	return sortKey{n: x.n, id: x.id}
}

// cookieKey is the same for a value out of a cookie, where a lookup already is a name.
func (o ordering) cookieKey(v *snapshot, x value) sortKey {
	if o.col.kind == kindLookup && x.ok && x.s != "" {
		return sortKey{s: fold(x.s)}
	}
	return o.key(v, x)
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

// list answers for a collection; rows come in the order of their keys.
func (c *call) list(t *table, rows []any, o options, path string) (*answer, *fault) {
	if _, delta := o.get("$deltatoken"); delta || c.prefs.tracking {
		return c.tracked(t, rows, o, path)
	}
	if text, ok := o.get("$apply"); ok {
		return c.apply(t, rows, o, text)
	}
	q, fail := c.bind(t, o)
	if fail != nil {
		return nil, fail
	}
	rows, total := c.choose(rows, q)
	size := c.pageSize()
	more := len(rows) > size
	if q.top >= 0 && c.prefs.pageSize == 0 { // with maxpagesize $top is ignored (7)
		size, more = min(q.top, c.s.opts.MaxPageSize), false
	}
	page := rows[:min(size, len(rows))]
	w := newRowWriter(c, t, q)
	b := make([]byte, 0, 512+len(page)*64*(len(q.selects)+2))
	b = append(b, `{"@odata.context":`...)
	b = appendString(b, c.base+"$metadata#"+t.set+q.context)
	b = c.totals(b, q, total)
	b = append(b, `,"value":[`...)
	for i, r := range page {
		if i > 0 {
			b = append(b, ',')
		}
		b = w.row(b, r, "")
	}
	b = append(b, ']')
	if more && len(page) > 0 {
		b = append(b, `,"@odata.nextLink":`...)
		b = appendString(b, c.nextLink(path, q, page))
	}
	return &answer{status: http.StatusOK, body: append(b, '}')}, nil
}

// choose filters, sorts and skips what earlier pages had; total is before skipping.
func (c *call) choose(rows []any, q *query) (out []any, total int) {
	if q.filter != nil {
		kept := make([]any, 0, len(rows)/4)
		for _, r := range rows {
			if q.filter(r) {
				kept = append(kept, r)
			}
		}
		rows = kept
	}
	total = len(rows)
	keyed := make([]sortRow, len(rows))
	cells := make([]sortKey, len(rows)*len(q.order))
	for i, r := range rows {
		keyed[i] = sortRow{r, cells[i*len(q.order) : (i+1)*len(q.order)]}
		for j, o := range q.order {
			keyed[i].keys[j] = o.key(c.v, o.col.get(c.v, r))
		}
	}
	if len(q.order) > 1 || q.order[0].desc {
		slices.SortFunc(keyed, func(a, b sortRow) int { return compareKeys(q.order, a.keys, b.keys) })
	}
	if q.from != nil {
		at := make([]sortKey, len(q.order))
		for j, o := range q.order {
			at[j] = o.cookieKey(c.v, q.from.last[j])
		}
		n, _ := slices.BinarySearchFunc(keyed, at, func(r sortRow, at []sortKey) int {
			if compareKeys(q.order, r.keys, at) <= 0 {
				return -1
			}
			return 1
		})
		keyed = keyed[n:]
	}
	out = make([]any, len(keyed))
	for i, k := range keyed {
		out[i] = k.row
	}
	return out, total
}

// totals writes the members between the context and the rows.
func (c *call) totals(b []byte, q *query, total int) []byte {
	if q.count {
		b = append(b, `,"@odata.count":`...)
		b = strconv.AppendInt(b, int64(min(total, countLimit)), 10)
	}
	if c.prefs.annotates(annTotal) {
		n := -1
		if q.count {
			n = min(total, countLimit)
		}
		b = fmt.Appendf(b, `,"@%s":%d`, annTotal, n)
	}
	if c.prefs.annotates(annTotalOver) {
		b = fmt.Appendf(b, `,"@%s":%t`, annTotalOver, q.count && total > countLimit)
	}
	if c.prefs.annotates(annVersion) {
		b = fmt.Appendf(b, `,"@%s":"6012567"`, annVersion)
	}
	return b
}

func (c *call) nextLink(path string, q *query, page []any) string {
	delivered := q.from.next()
	inner := innerCookie(c.v, fmt.Sprintf(`page="%d"`, delivered), q.order, page[0], page[len(page)-1])
	return c.link(path, q.opts, "$skiptoken", skipToken(inner, delivered+1, false))
}

// link is the request again, with a token that is already encoded.
func (c *call) link(path string, o options, name, token string) string {
	link := c.base + path + "?" + o.link()
	if !strings.HasSuffix(link, "?") {
		link += "&"
	}
	return link + name + "=" + token
}

func (c *call) pageSize() int {
	if n := c.prefs.pageSize; n > 0 && n < c.s.opts.MaxPageSize {
		return n
	}
	return c.s.opts.MaxPageSize
}

// plainCount is /$count: text, with a byte order mark.
func (c *call) plainCount(t *table, o options) (*answer, *fault) {
	if _, delta := o.get("$deltatoken"); delta {
		return c.countChanges(t, o)
	}
	q, fail := c.bind(t, o)
	if fail != nil {
		return nil, fail
	}
	_, total := c.choose(t.rows(c.v), q)
	return countAnswer(total), nil
}

func countAnswer(n int) *answer {
	body := append([]byte{0xEF, 0xBB, 0xBF}, strconv.Itoa(min(n, countLimit))...)
	return &answer{status: http.StatusOK, body: body, plain: true}
}
