package emulator

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// schema is which tables, columns and options there are. It is replaced as a whole, so that a
// request sees one of its states; readers never wait.
type schema struct {
	dir *directory
	mu  sync.Mutex
	now atomic.Pointer[schemaView]
}

type schemaView struct {
	tables  map[string]*table // by entity set
	version int               // counts the changes
	secured bool              // a column is secured
	absent  []*table          // of products that the environment does not have
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
		t := v.tables[set]
		if t.slots > 0 {
			names = append(names, t.privilege)
		}
		v.secured = v.secured || slices.ContainsFunc(t.columns, func(c *column) bool { return c.secured })
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

// tables are those of the schema, as the caller may see them.
func (c *call) tables() map[string]*table {
	if c.mine == nil {
		c.mine = c.schema().tables
		if c.schema().secured {
			c.mine = c.masked(c.mine)
		}
	}
	return c.mine
}

// with publishes what edit makes of a copy of the tables, unless it returns false.
func (s *schema) with(edit func(map[string]*table) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.now.Load()
	next := &schemaView{tables: maps.Clone(old.tables), version: old.version + 1, absent: old.absent}
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

// product adds the tables that a product brings, or takes them away; their rows stay.
func (s *schema) product(name string, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.now.Load()
	next := &schemaView{tables: map[string]*table{}, version: old.version + 1}
	for _, t := range append(slices.Collect(maps.Values(old.tables)), old.absent...) {
		there := old.tables[t.set] == t
		if t.product == name {
			there = on
		}
		if there {
			next.tables[t.set] = t
		} else {
			next.absent = append(next.absent, t)
		}
	}
	s.publish(next)
}
