package emulator

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// snapshot is all rows at one moment; nothing in it is ever changed.
type snapshot struct {
	sets     map[string]*rowSet // of the tables whose rows are records, by logical name
	version  int64              // no row and no tombstone has a greater one
	dir      *directory
	profiles []*profile // of column-level security
}

// rowSet are the rows of one table.
type rowSet struct {
	made    *made // the rows, as long as none has changed
	list    []any // else, by key: each a *record
	deleted []tombstone
	floor   int64 // what happened before this version is no longer known
	primary *column
	edits   []edit // the last ones
	all     int    // how many edits there have been
	line    *int   // of sets that were made one from another
}

// made are rows that nobody has needed yet, or the rows as they were made: most servers are never
// asked for most tables.
type made struct {
	once sync.Once
	make func() []any
	n    int // how many make will return
	list []any
}

func (x *made) rows() []any {
	x.once.Do(func() { x.list = x.make() })
	return x.list
}

// tombstone is a row that was there. Tombstones are in the order of their versions. A row that is
// made again under its id has none; one that is restored keeps it, so that change tracking has both
// to tell.
type tombstone struct {
	id      guid
	version int64
	row     *record // as it was, in the recycle bin
}

// maxTombstones bounds what is remembered of a table; whoever would need an older one has to start
// again, as after an expiry.
const maxTombstones = 100_000

// noRows is the set of a table that the snapshot is too old for.
var noRows = &rowSet{}

func (v *snapshot) set(logical string) *rowSet {
	if x := v.sets[logical]; x != nil {
		return x
	}
	return noRows
}

// rows come in the order of their keys.
func (x *rowSet) rows() []any {
	if x.made != nil {
		return x.made.rows()
	}
	return x.list
}

// count is the number of rows, without making them.
func (x *rowSet) count() int {
	if x.made != nil {
		return x.made.n
	}
	return len(x.list)
}

// find says where the key is or would be.
func (x *rowSet) find(id guid) (int, bool) {
	return slices.BinarySearchFunc(x.rows(), id, func(r any, id guid) int { return r.(*record).id.compare(id) })
}

// row is nil where there is none.
func (x *rowSet) row(id guid) *record {
	if i, ok := x.find(id); ok {
		return x.rows()[i].(*record)
	}
	return nil
}

// name is what lookups of the row show.
func (x *rowSet) name(v *snapshot, r *record) string {
	if x.primary == nil {
		return ""
	}
	return x.primary.get(v, r).s
}

// store replaces snapshots; readers never wait. Every change takes a greater version than all before it.
type store struct {
	mu     sync.Mutex
	now    atomic.Pointer[snapshot]
	buried map[string]map[guid]bool // who has a tombstone, by table
}

func newStore(d *directory) *store {
	s := &store{buried: map[string]map[guid]bool{}}
	s.now.Store(&snapshot{sets: map[string]*rowSet{}, version: 4_000_000, dir: d})
	return s
}

// firstRows gives a table n rows, which are made when somebody needs them. Their versions are known
// before they are, so that a row that is made late is no change.
func (s *store) firstRows(t *table, n int, rows func() []*record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.change(func(v *snapshot) {
		before := v.version
		v.version += 7 * int64(n)
		x := &made{n: n, make: func() []any {
			list := rows()
			out := make([]any, len(list))
			for i, r := range list {
				r.version = before + 7*int64(i+1)
				out[i] = r
			}
			slices.SortFunc(out, func(a, b any) int { return a.(*record).id.compare(b.(*record).id) })
			return out
		}}
		v.put(t.logical, &rowSet{made: x, primary: t.column(t.primary), line: new(int)})
	})
}

// drop takes a table's rows away.
func (s *store) drop(logical string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.change(func(v *snapshot) {
		v.sets = maps.Clone(v.sets)
		delete(v.sets, logical)
		delete(s.buried, logical)
	})
}

// put replaces a set in a snapshot that nobody reads yet.
func (v *snapshot) put(logical string, x *rowSet) {
	v.sets = maps.Clone(v.sets)
	v.sets[logical] = x
}

func (s *store) view() *snapshot { return s.now.Load() }

// change publishes what f makes of a copy of the newest snapshot; f replaces what it changes and does not write to it.
func (s *store) change(f func(*snapshot)) {
	v := *s.view()
	f(&v)
	s.now.Store(&v)
}

// changeSet does so for one table's rows, under a new version.
func (s *store) changeSet(logical string, f func(version int64, x *rowSet)) {
	s.change(func(v *snapshot) {
		v.version += 3
		x := *v.set(logical)
		x.list, x.made = x.rows(), nil
		if x.line == nil {
			x.line = new(int)
		}
		f(v.version, &x)
		v.put(logical, &x)
	})
}

// put stores the record, which is the store's from then on, in place of the one with its key, or as
// a new one where it has none. It sets when the row was modified, and what else has no value but
// must have one.
func (s *store) put(t *table, r *record, now time.Time) string {
	at := now.UTC().Truncate(time.Second).Unix()
	if key := t.column(t.key); !r.value(key).ok {
		r.id = randomGUID()
		r.set(key, value{ok: true, id: r.id})
	}
	r.fill(t)
	r.date(t, at)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changeSet(t.logical, func(version int64, x *rowSet) {
		r.version = version
		i, there := x.find(r.id)
		if there {
			x.edited(x.list[i].(*record), r)
			x.list = slices.Clone(x.list)
			x.list[i] = r
		} else {
			x.edited(nil, r)
			x.list = inserted(x.list, i, any(r))
		}
		s.unbury(t.logical, x, r.id)
	})
	return r.id.String()
}

// date sets when the row was modified, and created where that is not known.
func (r *record) date(t *table, at int64) {
	if c := t.column("modifiedon"); c != nil && c.stored() {
		r.set(c, numberCellValue(at))
	}
	if c := t.column("createdon"); c != nil && c.stored() && !r.value(c).ok {
		r.set(c, numberCellValue(at))
	}
}

// fill sets by whom the row is owned, and the columns that have a default and no value.
func (r *record) fill(t *table) {
	state := int64(0)
	for _, c := range t.columns {
		if !c.stored() {
			continue
		}
		switch x := r.value(c); {
		case c.name == "ownerid":
			if x.ok {
				r.owner = x.id
			}
		case c.kind == kindBool && !c.custom && !x.ok:
			r.set(c, numberCellValue(0))
		case c.kind == kindState:
			state = x.n
			r.set(c, numberCellValue(state))
		case c.kind == kindStatus && x.n == 0:
			for _, o := range c.options {
				if int64(o.state) == state {
					r.set(c, numberCellValue(int64(o.value)))
					break
				}
			}
		}
	}
}

// unbury takes a row's tombstone away, if it has one.
func (s *store) unbury(logical string, x *rowSet, id guid) {
	if s.buried[logical][id] {
		delete(s.buried[logical], id)
		x.deleted = slices.DeleteFunc(slices.Clone(x.deleted), func(t tombstone) bool { return t.id == id })
	}
}

// restore brings a deleted row back under its id, with a new version.
func (s *store) restore(logical, id string) bool {
	g, ok := parseGUID(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.view().set(logical)
	i, there := now.find(g)
	at := slices.IndexFunc(now.deleted, func(t tombstone) bool { return t.id == g })
	if !ok || there || at < 0 {
		return false
	}
	back := *now.deleted[at].row
	s.changeSet(logical, func(version int64, x *rowSet) {
		back.version = version
		x.edited(nil, &back)
		x.list = inserted(x.list, i, any(&back))
	})
	return true
}

func (s *store) delete(logical, id string) bool {
	g, ok := parseGUID(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	i, there := s.view().set(logical).find(g)
	if !ok || !there {
		return false
	}
	s.changeSet(logical, func(version int64, x *rowSet) {
		row := x.list[i].(*record)
		x.edited(row, nil)
		x.list = without(x.list, i)
		s.unbury(logical, x, g)
		s.bury(logical, x, row, version)
	})
	return true
}

// bury remembers a deletion; where there are too many, the oldest tenth goes.
func (s *store) bury(logical string, x *rowSet, row *record, version int64) {
	if s.buried[logical] == nil {
		s.buried[logical] = map[guid]bool{}
	}
	if len(x.deleted) >= maxTombstones {
		n := maxTombstones / 10
		for _, t := range x.deleted[:n] {
			delete(s.buried[logical], t.id)
		}
		x.floor = max(x.floor, x.deleted[n-1].version)
		x.deleted = slices.Clone(x.deleted[n:])
	}
	s.buried[logical][row.id] = true
	x.deleted = append(x.deleted, tombstone{row.id, version, row}) // readers of older snapshots do not look beyond their length
}

// forget makes everything that happened so far unknown to change tracking.
func (s *store) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.change(func(v *snapshot) {
		v.version += 3
		sets := make(map[string]*rowSet, len(v.sets))
		for logical, old := range v.sets {
			x := *old
			x.floor, x.deleted = v.version, nil
			sets[logical] = &x
		}
		v.sets = sets
		clear(s.buried)
	})
}

func inserted[T any](in []T, i int, x T) []T {
	out := make([]T, 0, len(in)+1)
	return append(append(append(out, in[:i]...), x), in[i:]...)
}

func without[T any](in []T, i int) []T {
	out := make([]T, 0, len(in)-1)
	return append(append(out, in[:i]...), in[i+1:]...)
}
