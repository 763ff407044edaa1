package emulator

import (
	"fmt"
	"net/http"
	"strings"
)

// resource is what a path below an entity set leads to: rows, their number, one row, or a function of one.
type resource struct {
	t        *table
	path     string  // of rows, as links have it
	rows     []any   // without a row, before what the caller may see
	row      any     // of a key
	count    bool    // /$count
	function segment // bound to the row, by its name without the namespace
}

// service answers for the resources that are no rows, by the first segment; known is false for
// another name. They read the method and the rest of the path themselves.
func (c *call) service(path []segment) (a *answer, fail *fault, known bool) {
	switch path[0].name {
	case "":
		if fail = c.readOnly(); fail == nil {
			a, fail = c.serviceDocument()
		}
	case "$metadata":
		a, fail = c.csdl(path)
	case "$batch":
		a, fail = c.batch(path)
	case "WhoAmI":
		a, fail = c.whoAmI(path[0], len(path))
	case "RetrieveTotalRecordCount":
		a, fail = c.totalRecordCount(path)
	case "EntityDefinitions":
		a, fail = c.metadata(path)
	default:
		return c.unbound(path)
	}
	return a, fail, true
}

// readOnly refuses methods that write.
func (c *call) readOnly() *fault {
	if c.method != http.MethodGet && c.method != http.MethodHead {
		return methodRefused(c.method)
	}
	return nil
}

func (c *call) dispatch(path []segment) (*answer, *fault) {
	if a, fail, known := c.service(path); known {
		return a, fail
	}
	t := c.tables()[path[0].name]
	if t == nil {
		return nil, noSegment(path[0].name)
	}
	if fail := c.readOnly(); fail != nil {
		return nil, fail
	}
	if fail := c.privilege(t); fail != nil {
		return nil, fail
	}
	o, fail := c.options()
	if fail != nil {
		return nil, fail
	}
	r, fail := c.locate(t, path)
	if fail != nil {
		return nil, fail
	}
	switch {
	case r.function.name != "":
		return c.boundFunction(r.t, r.row, r.function.name, r.function, o)
	case r.count:
		return c.plainCount(r.t, o)
	case r.row != nil:
		return c.single(r.t, r.row, o)
	}
	return c.list(r.t, c.visible(r.t, r.rows), o, r.path)
}

// locate follows a path that begins with a table's entity set.
func (c *call) locate(t *table, path []segment) (resource, *fault) {
	first, rest := path[0], path[1:]
	if !first.hasKey {
		switch {
		case len(rest) == 0:
			return resource{t: t, rows: t.rows(c.v), path: first.name}, nil
		case len(rest) == 1 && rest[0].name == "$count":
			return resource{t: t, count: true}, nil
		}
		return resource{}, noSegment(rest[0].name)
	}
	id, fail := t.parseKey(first.key)
	if fail != nil {
		return resource{}, fail
	}
	row := t.byKey(c.v, id)
	if row == nil {
		return resource{}, noRow(t, id)
	}
	if fail := c.readable(t, row); fail != nil {
		return resource{}, fail
	}
	if len(rest) == 0 {
		return resource{t: t, row: row}, nil
	}
	if name, ok := strings.CutPrefix(rest[0].name, crm); ok && len(rest) == 1 {
		return resource{t: t, row: row, function: segment{name: name, key: rest[0].key, hasKey: rest[0].hasKey}}, nil
	}
	rel := t.relations[rest[0].name]
	if rel == nil || rest[0].hasKey || len(rest) > 1 {
		return resource{}, noSegment(rest[0].name)
	}
	return c.related(rel, row, fmt.Sprintf("%s(%s)/%s", t.set, id, rel.name))
}

// related is what a navigation property of a row leads to.
func (c *call) related(rel *relation, row any, path string) (resource, *fault) {
	t := c.tables()[rel.target.set]
	if fail := c.privilege(t); fail != nil {
		return resource{}, fail
	}
	rows := rel.of(c.v, row)
	if !rel.one {
		return resource{t: t, rows: byKeyOrder(rows, t.id), path: path}, nil
	}
	if fail := c.readable(t, rows[0]); fail != nil {
		return resource{}, fail
	}
	return resource{t: t, row: rows[0]}, nil
}

// parseKey reads GUID and name=GUID.
func (t *table) parseKey(text string) (guid, *fault) {
	if name, v, ok := strings.Cut(text, "="); ok {
		if strings.TrimSpace(name) != t.key {
			return guid{}, badRequest("Could not find a property named '%s' on type '%s'.", strings.TrimSpace(name),
				t.typeName())
		}
		text = strings.TrimSpace(v)
	}
	id, ok := parseGUID(text)
	switch {
	case ok:
		return id, nil
	case strings.HasPrefix(text, "guid'"):
		return id, badRequest("Unrecognized 'Edm.String' literal '%s' at '0' in '%s'.", text, text)
	}
	return id, badRequest("Error in query syntax.")
}
