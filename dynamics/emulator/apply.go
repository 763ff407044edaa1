package emulator

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

const aggregateLimit = 50_000

var (
	countForm = regexp.MustCompile(`^aggregate\(\s*\$count\s+as\s+([A-Za-z_][A-Za-z0-9_]{0,127})\s*\)$`)
	groupForm = regexp.MustCompile(`^groupby\(\(([a-z0-9_, ]+)\)(?:\s*,\s*(aggregate\(.*\)))?\)$`)
)

// apply answers $apply: filter(…)/, then aggregate($count as c) or groupby((columns)[,aggregate($count as c)]). Other
// transformations are refused.
func (c *call) apply(t *table, rows []any, o options, text string) (*answer, *fault) {
	for _, p := range o.pairs {
		if p[0] != "$apply" {
			return nil, badRequest("The query parameter %s is not supported together with $apply", p[0])
		}
	}
	steps := splitTop(text, '/')
	if len(steps) == 2 && strings.HasPrefix(steps[0], "filter(") && strings.HasSuffix(steps[0], ")") {
		pred, fail := c.compile(t, steps[0][len("filter("):len(steps[0])-1], o.aliases)
		if fail != nil {
			return nil, fail
		}
		rows = slices.DeleteFunc(slices.Clone(rows), func(r any) bool { return !pred(r) })
		steps = steps[1:]
	}
	if len(steps) != 1 {
		return nil, badRequest("The $apply expression '%s' is not part of this emulator.", text)
	}
	if len(rows) > aggregateLimit {
		return nil, &fault{status: http.StatusBadRequest, code: "0x8004E023", message: "The maximum record limit is exceeded. Reduce the number of records."}
	}
	step := strings.TrimSpace(steps[0])
	if m := countForm.FindStringSubmatch(step); m != nil {
		b := appendString([]byte(`{"@odata.context":`), c.base+"$metadata#"+t.set+"("+m[1]+")")
		b = fmt.Appendf(b, `,"value":[{"%s":%d}]}`, m[1], len(rows))
		return &answer{status: http.StatusOK, body: b}, nil
	}
	m := groupForm.FindStringSubmatch(step)
	if m == nil {
		return nil, badRequest("The $apply expression '%s' is not part of this emulator.", text)
	}
	counted := ""
	if m[2] != "" {
		n := countForm.FindStringSubmatch(m[2])
		if n == nil {
			return nil, badRequest("The $apply expression '%s' is not part of this emulator.", text)
		}
		counted = n[1]
	}
	return c.groups(t, rows, m[1], counted)
}

// groups writes one row per combination; a null key is left out of its row (6.6).
func (c *call) groups(t *table, rows []any, list, counted string) (*answer, *fault) {
	var cols []*column
	var names []string
	for part := range strings.SplitSeq(list, ",") {
		name := strings.TrimSpace(part)
		col := t.props[name]
		if col == nil {
			return nil, t.noProperty(name)
		}
		cols, names = append(cols, col), append(names, name)
	}
	if counted != "" {
		names = append(names, counted)
	}
	q := &query{selects: cols}
	w := newRowWriter(c, t, q)
	counts := map[string]int{}
	var order []string
	for _, r := range rows {
		var b []byte
		for i := range w.cells {
			if w.cells[i].col.get(c.v, r).ok {
				b = w.cell(b, &w.cells[i], r)
			}
		}
		if counts[string(b)]++; counts[string(b)] == 1 {
			order = append(order, string(b))
		}
	}
	slices.Sort(order)
	b := appendString([]byte(`{"@odata.context":`), c.base+"$metadata#"+t.set+"("+strings.Join(names, ",")+")")
	b = append(b, `,"value":[`...)
	for i, g := range order {
		if i > 0 {
			b = append(b, ',')
		}
		row := g
		if counted != "" {
			row += fmt.Sprintf(`,"%s":%d`, counted, counts[g])
		}
		b = append(append(append(b, '{'), strings.TrimPrefix(row, ",")...), '}')
	}
	return &answer{status: http.StatusOK, body: append(b, "]}"...)}, nil
}
