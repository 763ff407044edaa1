package messagestest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/messages"
)

// column finds the column that a name means.
func (t *table) column(name, path string) (*column, *messages.Error) {
	if c := t.names[name]; c != nil {
		return c, nil
	}
	fault := "there is no such field"
	if len(name) <= 64 && name == messages.Printable(name) {
		fault = fmt.Sprintf("there is no field %q", name)
	}
	if near := messages.Nearest(name, slices.Sorted(maps.Keys(t.names)), 3); len(near) > 0 {
		var meant []string // by the friendly name where there is one
		for _, name := range near {
			if name = cmp.Or(t.names[name].Name, name); !slices.Contains(meant, name) {
				meant = append(meant, name)
			}
		}
		return nil, messages.Invalid(path, "%s; did you mean %s?", fault, strings.Join(meant, " or "))
	}
	named := slices.DeleteFunc(slices.Clone(t.DefaultFields), func(name string) bool { return name == "id" })
	return nil, messages.Invalid(path, "%s; use a friendly name such as %s, or a column's logical name", fault,
		strings.Join(named[:min(len(named), 3)], ", "))
}

// A selection is what a row of an answer holds.
type selection struct {
	names   []string
	columns []*column
}

// selected finds the columns of a list of fields.
func (t *table) selected(names []string) (selection, *messages.Error) {
	s := selection{names: names}
	for i, name := range names {
		path := fmt.Sprintf("fields[%d]", i)
		if name == "*" {
			return s, messages.Invalid(path, "* is not allowed; name the fields")
		}
		if slices.Contains(names[:i], name) {
			return s, messages.Invalid(path, "%s is named twice", name)
		}
		c, err := t.column(name, path)
		if err != nil {
			return s, err
		}
		s.columns = append(s.columns, c)
	}
	return s, nil
}

// of is a row of an answer, with its members in the order in which they were asked for.
func (s selection) of(t *table, r *row) jsontext.Value {
	out := []byte{'{'}
	for i, c := range s.columns {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(out, wire(s.names[i])...), ':')
		out = append(out, t.value(r, c).json()...)
	}
	return append(out, '}')
}

// An order sorts rows; it is total, since the id is its last key.
type order struct {
	of   *table
	keys []orderKey
}

type orderKey struct {
	*column
	desc bool
}

func (t *table) ordered(names []string) (order, *messages.Error) {
	o := order{of: t}
	for i, name := range names {
		path := fmt.Sprintf("order_by[%d]", i)
		bare, desc := strings.CutPrefix(name, "-")
		c, err := t.column(bare, path)
		if meant := messages.OrderMeant(name); err != nil && t.names[strings.TrimPrefix(meant, "-")] != nil {
			err = messages.Invalid(path, "there is no field %q; did you mean %s?", messages.Printable(name), meant)
		}
		switch {
		case err != nil:
			return o, err
		case c.Type == messages.FieldChoices:
			return o, messages.Invalid(path, "%s holds several choices and cannot be ordered by", bare)
		case slices.ContainsFunc(o.keys, func(k orderKey) bool { return k.column == c }):
			return o, messages.Invalid(path, "%s is named twice", bare)
		}
		o.keys = append(o.keys, orderKey{c, desc})
	}
	return o, nil
}

// readable refuses an order by columns that the user may not read.
func (o order) readable(names []string) *messages.Error {
	for i, key := range o.keys {
		if !key.Readable {
			return hidden(strings.TrimPrefix(names[i], "-"), fmt.Sprintf("order_by[%d]", i))
		}
	}
	return nil
}

// compare compares rows.
func (o order) compare(a, b *row) int {
	for _, key := range o.keys {
		c := compare(key.Type, a.cells[key.LogicalName], b.cells[key.LogicalName])
		if key.desc {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return strings.Compare(a.id, b.id)
}

// mark is a row's place in the order, for a cursor.
func (o order) mark(r *row) []jsontext.Value {
	mark := make([]jsontext.Value, len(o.keys))
	for i, key := range o.keys {
		mark[i] = r.cells[key.LogicalName].json()
	}
	return mark
}

// at is a row that has the place of a mark.
func (o order) at(mark []jsontext.Value, id string) (*row, error) {
	r := &row{id: id, cells: map[string]cell{}}
	for i, key := range o.keys {
		value, err := key.read(mark[i])
		if err != nil {
			return nil, err
		}
		r.cells[key.LogicalName] = value
	}
	return r, nil
}

// matching are the rows that match, in the order.
func (t *table) matching(is test, o order) []*row {
	var found []*row
	for _, r := range t.rows {
		if is(r) {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, o.compare)
	return found
}
