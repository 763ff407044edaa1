package emulator

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

const countLimit = 5000 // of $count (6.4)

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
	size := c.pageSize()
	q.limit = max(q.page*size, q.top) + 1
	rows, total := c.choose(rows, q)
	if byNumber(q.order) {
		if rows, fail = c.pageByNumber(rows, q, size); fail != nil {
			return nil, fail
		}
	}
	more := len(rows) > size
	if q.top >= 0 && c.prefs.pageSize == 0 { // with maxpagesize $top is ignored (7)
		size, more = min(q.top, c.s.opts.MaxPageSize), false
	}
	page := rows[:min(size, len(rows))]
	w := newRowWriter(c, t, q)
	b := make([]byte, 0, 512+len(page)*(64+64*btoi(len(c.prefs.annotations) > 0))*(len(q.selects)+2))
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
		b = fmt.Appendf(b, `,"@%s":"%d"`, annVersion, 6012567+c.schema().version)
	}
	return b
}

func (c *call) nextLink(path string, q *query, page []any) string {
	if byNumber(q.order) {
		return c.link(path, q.opts, "$skiptoken", simpleToken(q.page+1))
	}
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
	q.count, q.limit = true, 1
	_, total := c.choose(c.visible(t, t.rows(c.v)), q)
	return countAnswer(total), nil
}

func countAnswer(n int) *answer {
	body := append([]byte{0xEF, 0xBB, 0xBF}, strconv.Itoa(min(n, countLimit))...)
	return &answer{status: http.StatusOK, body: body, plain: true}
}
