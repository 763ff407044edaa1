package emulator

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// snapshot is all rows at one moment; nothing in it is ever changed.
type snapshot struct {
	accounts []*Account // by key
	rows     []any      // the same
	deleted  []tombstone
	version  int64 // no row and no tombstone has a greater one
	floor    int64 // what happened before this version is no longer known
	dir      *directory
}

// tombstone is a row that was there. Tombstones are in the order of their versions. A row that is made again under its id has none;
// one that is restored keeps it, so that change tracking has both to tell.
type tombstone struct {
	id      guid
	version int64
	row     *Account // as it was, in the recycle bin
}

// maxTombstones bounds what is remembered; whoever would need an older one has to start again, as after an expiry.
const maxTombstones = 100_000

// store replaces snapshots; readers never wait. Every change takes a greater version than all before it.
type store struct {
	mu     sync.Mutex
	now    atomic.Pointer[snapshot]
	buried map[guid]bool // who has a tombstone
}

func newStore(o Options, d *directory) *store {
	s := &store{buried: map[guid]bool{}}
	v := &snapshot{accounts: generate(o, d), version: 4_000_000, dir: d}
	for _, a := range v.accounts {
		v.version += 7
		a.Version = v.version
	}
	slices.SortFunc(v.accounts, func(a, b *Account) int { return a.id.compare(b.id) })
	v.rows = make([]any, len(v.accounts))
	for i, a := range v.accounts {
		v.rows[i] = a
	}
	s.now.Store(v)
	return s
}

func (s *store) view() *snapshot { return s.now.Load() }

// find says where the key is or would be.
func (v *snapshot) find(id guid) (int, bool) {
	return slices.BinarySearchFunc(v.accounts, id, func(a *Account, id guid) int { return a.id.compare(id) })
}

func (v *snapshot) account(id guid) *Account {
	if i, ok := v.find(id); ok {
		return v.accounts[i]
	}
	return nil
}

// change publishes what f makes of a copy of the newest snapshot, under a new version; f replaces slices and does not write to them.
func (s *store) change(f func(*snapshot)) {
	v := *s.view()
	v.version += 3
	f(&v)
	s.now.Store(&v)
}

// put stores a copy; the address of the old row stays valid for readers that have it.
func (s *store) put(a Account, now time.Time) string {
	if a.ID == "" {
		a.ID = randomGUID().String()
	}
	id, ok := parseGUID(a.ID)
	if !ok {
		return ""
	}
	a.id, a.ID = id, id.String()
	a.owner, _ = parseGUID(a.OwnerID)
	a.parent, _ = parseGUID(a.ParentID)
	a.ModifiedOn = now.UTC().Truncate(time.Second)
	if a.StatusCode == 0 {
		a.StatusCode = a.StateCode + 1
	}
	if a.CreatedOn.IsZero() {
		a.CreatedOn = a.ModifiedOn
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.change(func(v *snapshot) {
		a.Version = v.version
		if i, there := v.find(id); there {
			v.accounts, v.rows = slices.Clone(v.accounts), slices.Clone(v.rows)
			v.accounts[i], v.rows[i] = &a, &a
		} else {
			v.accounts, v.rows = inserted(v.accounts, i, &a), inserted(v.rows, i, any(&a))
		}
		s.unbury(v, id)
	})
	return a.ID
}

// unbury takes a row's tombstone away, if it has one.
func (s *store) unbury(v *snapshot, id guid) {
	if s.buried[id] {
		delete(s.buried, id)
		v.deleted = slices.DeleteFunc(slices.Clone(v.deleted), func(t tombstone) bool { return t.id == id })
	}
}

// restore brings a deleted row back under its id, with a new version.
func (s *store) restore(id string) bool {
	g, ok := parseGUID(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.view()
	i, there := v.find(g)
	at := slices.IndexFunc(v.deleted, func(t tombstone) bool { return t.id == g })
	if !ok || there || at < 0 {
		return false
	}
	back := *v.deleted[at].row
	s.change(func(v *snapshot) {
		back.Version = v.version
		v.accounts, v.rows = inserted(v.accounts, i, &back), inserted(v.rows, i, any(&back))
	})
	return true
}

func (s *store) delete(id string) bool {
	g, ok := parseGUID(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	i, there := s.view().find(g)
	if !ok || !there {
		return false
	}
	s.change(func(v *snapshot) {
		row := v.accounts[i]
		v.accounts, v.rows = without(v.accounts, i), without(v.rows, i)
		s.unbury(v, g)
		s.bury(v, row)
	})
	return true
}

// bury remembers a deletion; where there are too many, the oldest tenth goes.
func (s *store) bury(v *snapshot, row *Account) {
	if len(v.deleted) >= maxTombstones {
		n := maxTombstones / 10
		for _, t := range v.deleted[:n] {
			delete(s.buried, t.id)
		}
		v.floor = max(v.floor, v.deleted[n-1].version)
		v.deleted = slices.Clone(v.deleted[n:])
	}
	s.buried[row.id] = true
	v.deleted = append(v.deleted, tombstone{row.id, v.version, row}) // readers of older snapshots do not look beyond their length
}

// forget makes everything that happened so far unknown to change tracking.
func (s *store) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.change(func(v *snapshot) {
		v.floor, v.deleted = v.version, nil
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
