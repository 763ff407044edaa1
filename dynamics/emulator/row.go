package emulator

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// rowWriter writes rows of one shape; everything that does not depend on the row is prepared once.
type rowWriter struct {
	c         *call
	t         *table
	q         *query
	cells     []cellWriter
	formatted bool
	lang      *language
}

type cellWriter struct {
	col                      *column
	name, formatted, logical []byte // each up to the colon before the value
	nav                      []byte
}

func newRowWriter(c *call, t *table, q *query) *rowWriter {
	w := &rowWriter{c: c, t: t, q: q, formatted: c.prefs.annotates(annFormatted), lang: c.lang()}
	for _, col := range q.selects {
		p := col.property()
		cell := cellWriter{col: col, name: fmt.Appendf(nil, `,"%s":`, p)}
		if w.formatted {
			cell.formatted = fmt.Appendf(nil, `,"%s@%s":`, p, annFormatted)
		}
		if col.kind == kindLookup {
			if c.prefs.annotates(annNavigation) {
				cell.nav = fmt.Appendf(nil, `,"%s@%s":`, p, annNavigation)
			}
			if c.prefs.annotates(annLogical) {
				cell.logical = fmt.Appendf(nil, `,"%s@%s":`, p, annLogical)
			}
		}
		w.cells = append(w.cells, cell)
	}
	return w
}

// row appends one object; context is for single rows.
func (w *rowWriter) row(b []byte, r any, context string) []byte {
	b = append(b, '{')
	if context != "" {
		b = append(b, `"@odata.context":`...)
		b = append(appendString(b, context), ',')
	}
	b = append(b, `"@odata.etag":"W/\"`...)
	b = strconv.AppendInt(b, w.t.version(r), 10)
	b = append(b, `\""`...)
	for i := range w.cells {
		b = w.cell(b, &w.cells[i], r)
	}
	for _, e := range w.q.expand {
		b = e.write(b, w, r)
	}
	return append(b, '}')
}

func (w *rowWriter) cell(b []byte, cell *cellWriter, r any) []byte {
	x := cell.col.get(w.c.v, r)
	if x.ok {
		if w.formatted {
			if f := cell.col.format(w.c.v, x, w.lang); f != "" {
				b = appendString(append(b, cell.formatted...), f)
			}
		}
		if cell.nav != nil || cell.logical != nil {
			b = w.lookup(b, cell, x.id)
		}
	}
	b = append(b, cell.name...)
	return cell.col.appendJSON(b, x)
}

// lookup writes what annotations tell of the row that a lookup names.
func (w *rowWriter) lookup(b []byte, cell *cellWriter, id guid) []byte {
	ref, _ := w.c.v.refer(cell.col, id)
	if cell.nav != nil {
		b = appendString(append(b, cell.nav...), cell.col.navigation(ref.entity))
	}
	if cell.logical != nil {
		b = appendString(append(b, cell.logical...), ref.entity)
	}
	return b
}

// single answers for one row by key.
func (c *call) single(t *table, row any, o options) (*answer, *fault) {
	for _, p := range o.pairs {
		if p[0] != "$select" && p[0] != "$expand" && strings.HasPrefix(p[0], "$") {
			return nil, badRequest("The query parameter %s is not supported", p[0])
		}
	}
	q, fail := c.bind(t, o)
	if fail != nil {
		return nil, fail
	}
	etag := fmt.Sprintf(`W/"%d"`, t.version(row))
	if c.r.Header.Get("If-None-Match") == etag && len(q.expand) == 0 && len(c.prefs.annotations) == 0 {
		return &answer{status: http.StatusNotModified}, nil
	}
	w := newRowWriter(c, t, q)
	context := c.base + "$metadata#" + t.set + q.context + "/$entity"
	return &answer{status: http.StatusOK, body: w.row(nil, row, context), header: http.Header{"Etag": {etag}}}, nil
}

// expansion is one item of $expand over a collection.
type expansion struct {
	rel  *relation
	q    *query
	text string // its options as written
}

const maxExpand = 15

func (c *call) expansions(t *table, text string) ([]expansion, *fault) {
	var out []expansion
	for _, item := range splitTop(text, ',') {
		name, rest, nested := strings.Cut(strings.TrimSpace(item), "(")
		rel := t.relations[name]
		if rel == nil {
			return nil, t.noProperty(name)
		}
		if nested && !strings.HasSuffix(rest, ")") {
			return nil, badRequest("Syntax error at position %d in '%s'.", len(text), text)
		}
		target := c.tables()[rel.target.set]
		if fail := c.privilege(target); fail != nil {
			return nil, fail
		}
		e := expansion{rel: rel, text: strings.TrimSuffix(rest, ")")}
		o := options{}
		for _, p := range splitTop(e.text, ';') {
			if strings.TrimSpace(p) == "" {
				continue
			}
			n, v, _ := strings.Cut(strings.TrimSpace(p), "=")
			switch n {
			case "$select", "$filter", "$orderby", "$top":
				if rel.one && n != "$select" { // the documented words, for all that is not allowed on one level
					return nil, badRequest("Only $select and $filter clause can be provided while doing $expand on many-to-one relationship or nested one-to-many relationship.")
				}
				o.pairs = append(o.pairs, [2]string{n, v})
			default:
				return nil, badRequest("The query parameter %s is not supported", n)
			}
		}
		var fail *fault
		if e.q, fail = c.bind(target, o); fail != nil {
			return nil, fail
		}
		out = append(out, e)
	}
	if len(out) > maxExpand {
		return nil, badRequest("The number of $expand items exceeds the limit of %d.", maxExpand)
	}
	return out, nil
}

// write appends the related rows and the link that is always there on a single level (6.5).
func (e expansion) write(b []byte, w *rowWriter, r any) []byte {
	rows, _ := w.c.choose(w.c.visible(e.rel.target, byKeyOrder(e.rel.of(w.c.v, r), e.rel.target.id)), e.q)
	if e.q.top >= 0 {
		rows = rows[:min(e.q.top, len(rows))]
	}
	inner := newRowWriter(w.c, e.q.t, e.q)
	if e.rel.one {
		b = append(appendString(append(b, ','), e.rel.name), ':')
		if len(rows) == 0 {
			return append(b, "null"...)
		}
		return inner.row(b, rows[0], "")
	}
	b = append(appendString(append(b, ','), e.rel.name), ':', '[')
	for i, x := range rows {
		if i > 0 {
			b = append(b, ',')
		}
		b = inner.row(b, x, "")
	}
	b = append(b, ']', ',')
	b = append(appendString(b, e.rel.name+"@odata.nextLink"), ':')
	link := fmt.Sprintf("%s%s(%s)/%s", w.c.base, w.t.set, w.t.id(r), e.rel.name)
	if opts := e.q.opts.link(); opts != "" {
		link += "?" + opts
	}
	return appendString(b, link)
}

// expandedContext adds the expanded names to the context's list.
func expandedContext(list string, items []expansion) string {
	names := strings.Trim(list, "()")
	for _, e := range items {
		if names != "" {
			names += ","
		}
		sub := e.q.context
		if sub == "" {
			sub = "()"
		}
		names += e.rel.name + sub
	}
	return "(" + names + ")"
}

// splitTop splits where no parenthesis or quote is open.
func splitTop(s string, sep byte) []string {
	var out []string
	depth, start, quoted := 0, 0, false
	for i := range len(s) {
		switch ch := s[i]; {
		case ch == '\'':
			quoted = !quoted
		case quoted:
		case ch == '(':
			depth++
		case ch == ')':
			depth--
		case ch == sep && depth == 0:
			out = append(out, s[start:i])
			start = i + 1
		}
	}
	return append(out, s[start:])
}
