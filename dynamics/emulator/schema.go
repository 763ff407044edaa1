package emulator

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// schema is which tables, columns and options there are. It is replaced as a whole, so that a request sees one of its states;
// readers never wait.
type schema struct {
	dir *directory
	mu  sync.Mutex
	now atomic.Pointer[schemaView]
}

type schemaView struct {
	tables  map[string]*table // by entity set
	version int               // counts the changes
}

func newSchema(d *directory) *schema {
	s := &schema{dir: d}
	s.publish(&schemaView{tables: tables(d)})
	return s
}

// publish has the view be the newest one. The privileges to read its tables are then what roles can give.
func (s *schema) publish(v *schemaView) {
	var names []string
	for _, set := range sets(v.tables) {
		if t := v.tables[set]; t.slots > 0 {
			names = append(names, t.privilege)
		}
	}
	s.dir.rows.Store(&names)
	s.now.Store(v)
}

// schema is the one that the call began with.
func (c *call) schema() *schemaView {
	if c.seen == nil {
		c.seen = c.s.schema.now.Load()
	}
	return c.seen
}

func (c *call) tables() map[string]*table { return c.schema().tables }

// with publishes what edit makes of a copy of the tables, unless it returns false.
func (s *schema) with(edit func(map[string]*table) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.now.Load()
	next := &schemaView{tables: maps.Clone(old.tables), version: old.version + 1}
	if !edit(next.tables) {
		return false
	}
	s.publish(next)
	return true
}

// change edits a copy of one table, by its set, which takes the old one's place when edit returns true.
func (s *schema) change(set string, edit func(*table) bool) bool {
	return s.with(func(tables map[string]*table) bool {
		old := tables[set]
		if old == nil {
			return false
		}
		t := *old
		t.columns = slices.Clone(t.columns)
		if !edit(&t) {
			return false
		}
		tables[set] = t.index()
		return true
	})
}

// changeColumn edits a copy of one column, by its logical name.
func (s *schema) changeColumn(set, name string, edit func(*column) bool) bool {
	return s.change(set, func(t *table) bool {
		i := slices.IndexFunc(t.columns, func(c *column) bool { return c.name == name })
		if i < 0 {
			return false
		}
		c := *t.columns[i]
		c.options = slices.Clone(c.options)
		t.columns[i] = &c
		return edit(&c)
	})
}

// table is a table by its set, nil where there is none.
func (s *schema) table(set string) *table { return s.now.Load().tables[set] }
