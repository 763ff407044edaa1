package emulator

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// options are the query as written, decoded, in order.
type options struct {
	pairs   [][2]string
	aliases map[string]string
}

func (o options) get(name string) (string, bool) {
	for _, p := range o.pairs {
		if p[0] == name {
			return p[1], true
		}
	}
	return "", false
}

// without leaves an option out.
func (o options) without(name string) options {
	o.pairs = slices.DeleteFunc(slices.Clone(o.pairs), func(p [2]string) bool { return p[0] == name })
	return o
}

var known = []string{"$select", "$filter", "$orderby", "$top", "$count", "$expand", "$apply", "$skiptoken",
	"$deltatoken"}

// options splits and checks the query; nothing is guessed at: what the service does not support is refused.
func (c *call) options() (options, *fault) {
	o := options{aliases: map[string]string{}}
	if c.r.URL.RawQuery == "" {
		return o, nil
	}
	for part := range strings.SplitSeq(c.r.URL.RawQuery, "&") {
		rawName, rawValue, _ := strings.Cut(part, "=")
		name, err1 := url.QueryUnescape(rawName)
		value, err2 := url.QueryUnescape(rawValue)
		if err1 != nil || err2 != nil {
			return o, badRequest("Error in query syntax.")
		}
		switch {
		case name == "":
			continue
		case name == "$skip":
			return o, badRequest("Skip Clause is not supported in CRM")
		case strings.HasPrefix(name, "@"):
			o.aliases[name] = value
		case strings.HasPrefix(name, "$") && !slices.Contains(known, name):
			return o, badRequest("The query parameter %s is not supported", name)
		case name == "fetchXml" || name == "savedQuery" || name == "userQuery":
			return o, badRequest("The query parameter %s is not supported", name)
		}
		if _, twice := o.get(name); twice {
			return o, badRequest("Query option '%s' was specified more than once, but it must be specified at most once.", name)
		}
		o.pairs = append(o.pairs, [2]string{name, value})
	}
	return o, nil
}

// link writes the query back for a nextLink: everything but the token, one level of encoding, $ , = / bare.
func (o options) link() string {
	var b strings.Builder
	for _, p := range o.pairs {
		if p[0] == "$skiptoken" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		if x, ok := parseStamp(p[1]); ok && p[0] == "$deltatoken" {
			b.WriteString(p[0] + "=" + x.encoded())
			continue
		}
		b.WriteString(escape(p[0], linkBare, upperHex) + "=" + escape(p[1], linkBare, upperHex))
	}
	return b.String()
}

// query is what to do, bound to a table.
type query struct {
	t       *table
	opts    options
	selects []*column // all columns to write, automatic ones included
	context string    // the list after the entity set in @odata.context, with parentheses
	filter  predicate // nil passes all
	edges   []edge    // that all rows are within which pass
	order   []ordering
	top     int // -1 when absent
	limit   int // how many rows are needed; 0 means all
	count   bool
	expand  []expansion
	from    *cookie
	page    int // of pages without cookies, which page
}

func (c *call) bind(t *table, o options) (*query, *fault) {
	q := &query{t: t, opts: o, top: -1}
	var fail *fault
	sel, _ := o.get("$select")
	if q.selects, q.context, fail = t.selection(sel); fail != nil {
		return nil, fail
	}
	if text, ok := o.get("$expand"); ok {
		if q.expand, fail = c.expansions(t, text); fail != nil {
			return nil, fail
		}
		q.context = expandedContext(q.context, q.expand)
	}
	if text, ok := o.get("$filter"); ok {
		if q.filter, q.edges, fail = c.compileEdges(t, text, o.aliases); fail != nil {
			return nil, fail
		}
	}
	orderBy, _ := o.get("$orderby")
	if q.order, fail = t.ordering(orderBy); fail != nil {
		return nil, fail
	}
	if text, ok := o.get("$top"); ok {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return nil, badRequest("Invalid value '%s' for $top query option found. The $top query option requires a non-negative integer value.", text)
		}
		q.top = n
	}
	if text, ok := o.get("$count"); ok {
		if text != "true" && text != "false" {
			return nil, badRequest("Invalid value '%s' for $count query option found. Valid values are 'true' or 'false'.", text)
		}
		q.count = text == "true"
	}
	q.page = 1
	if text, ok := o.get("$skiptoken"); ok && byNumber(q.order) {
		if q.page, fail = parseSimple(text); fail != nil {
			return nil, fail
		}
	} else if ok {
		if q.from, fail = parseCookie(text, q.order); fail != nil {
			return nil, fail
		}
	}
	return q, nil
}

// selection resolves $select: named columns, then what comes unasked (currency, composite), then the key.
func (t *table) selection(text string) ([]*column, string, *fault) {
	if strings.TrimSpace(text) == "" || strings.TrimSpace(text) == "*" {
		return t.inWebAPI(), "", nil
	}
	var out []*column
	var names []string
	for part := range strings.SplitSeq(text, ",") {
		name := strings.TrimSpace(part)
		col := t.props[name]
		if col == nil {
			return nil, "", t.noProperty(name)
		}
		if !slices.Contains(out, col) {
			out = append(out, col)
			names = append(names, name)
		}
	}
	for _, col := range slices.Clone(out) {
		extra := ""
		switch {
		case col.kind == kindMoney:
			extra = "_transactioncurrencyid_value"
		case strings.HasPrefix(col.name, "address1_"):
			extra = "address1_composite"
		}
		if x := t.props[extra]; x != nil && !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	if k := t.props[t.key]; !slices.Contains(out, k) {
		out = append(out, k)
	}
	return out, "(" + strings.Join(names, ",") + ")", nil
}

func (t *table) noProperty(name string) *fault {
	return badRequest("Could not find a property named '%s' on type '%s'.", name, t.typeName())
}

// ordering is one column of the order; the key always comes last.
type ordering struct {
	col  *column
	desc bool
}

func (t *table) ordering(text string) ([]ordering, *fault) {
	var out []ordering
	if strings.TrimSpace(text) != "" {
		for part := range strings.SplitSeq(text, ",") {
			f := strings.Fields(part)
			if len(f) == 0 || len(f) > 2 || len(f) == 2 && f[1] != "asc" && f[1] != "desc" {
				return nil, badRequest("Syntax error at position %d in '%s'.", len(text), text)
			}
			col := t.props[f[0]]
			if col == nil {
				return nil, t.noProperty(f[0])
			}
			if slices.ContainsFunc(out, func(o ordering) bool { return o.col == col }) {
				return nil, &fault{status: http.StatusBadRequest, code: "0x80048d16", message: "The attribute '" + col.name +
					"' is specified more than once in the order by clause."}
			}
			out = append(out, ordering{col, len(f) == 2 && f[1] == "desc"})
		}
	}
	k := t.props[t.key]
	if !slices.ContainsFunc(out, func(o ordering) bool { return o.col == k }) {
		out = append(out, ordering{col: k})
	}
	return out, nil
}
