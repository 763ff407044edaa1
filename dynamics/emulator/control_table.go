package emulator

import (
	"fmt"
	"iter"
)

// TableControl changes the rows and columns of one table.
type TableControl struct {
	s   *Server
	set string
}

// Table is the table of an entity set. Where there is no such set, or the store does not keep its
// rows, its methods change nothing and say so.
func (c Control) Table(set string) TableControl { return TableControl{c.s, set} }

// table is nil where there is none whose rows the store keeps.
func (c TableControl) table() *table {
	if t := c.s.schema.table(c.set); t != nil && t.slots > 0 {
		return t
	}
	return nil
}

// Rows yields all rows in the order of their keys, as of the call.
func (c TableControl) Rows() iter.Seq[Row] {
	t, v := c.table(), c.s.data.view()
	return func(yield func(Row) bool) {
		if t == nil {
			return
		}
		for _, r := range v.set(t.logical).rows() {
			if !yield(t.row(r.(*record))) {
				return
			}
		}
	}
}

// Put inserts the row, or replaces the one with the same key, and returns the key; a row without
// one gets a new one. It sets modifiedon and versionnumber, and what has to have a value and has
// none: createdon, statecode, statuscode, yes or no.
func (c TableControl) Put(row Row) (string, error) {
	t := c.table()
	if t == nil {
		return "", fmt.Errorf("emulator: there is no entity set %q whose rows can be put", c.set)
	}
	r, err := t.record(row)
	if err != nil {
		return "", fmt.Errorf("emulator: %w", err)
	}
	return c.s.data.put(t, r, c.s.opts.Now()), nil
}

// Delete removes the row and reports whether it was there.
func (c TableControl) Delete(id string) bool {
	t := c.table()
	return t != nil && c.s.data.delete(t.logical, id)
}

// Restore brings a deleted row back under its id, as Dataverse's recycle bin does, and reports
// whether it was in there. Change tracking then tells both of the deletion and of the row; nobody
// has seen in which order, see [Options.DeletionsFirst].
func (c TableControl) Restore(id string) bool {
	t := c.table()
	return t != nil && c.s.data.restore(t.logical, id)
}
