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
	mu  sync.Mutex
	now atomic.Pointer[schemaView]
}

type schemaView struct {
	tables  map[string]*table // by entity set
	version int               // counts the changes
}

func newSchema(d *directory) *schema {
	s := &schema{}
	s.now.Store(&schemaView{tables: tables(d)})
	return s
}

// schema is the one that the call began with.
func (c *call) schema() *schemaView {
	if c.seen == nil {
		c.seen = c.s.schema.now.Load()
	}
	return c.seen
}

func (c *call) tables() map[string]*table { return c.schema().tables }

// change edits a copy of the table of accounts, which takes the old one's place when edit returns true.
func (s *schema) change(edit func(*table) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.now.Load()
	t := *old.tables["accounts"]
	t.columns = slices.Clone(t.columns)
	if !edit(&t) {
		return false
	}
	next := &schemaView{tables: maps.Clone(old.tables), version: old.version + 1}
	next.tables["accounts"] = t.index()
	s.now.Store(next)
	return true
}

// changeColumn edits a copy of one column, by its logical name.
func (s *schema) changeColumn(name string, edit func(*column) bool) bool {
	return s.change(func(t *table) bool {
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
