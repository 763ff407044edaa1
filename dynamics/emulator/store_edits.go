package emulator

import "slices"

// edit is what became of a row; nil is none.
type edit struct{ before, after *record }

// keptEdits is how many edits a set remembers at least.
const keptEdits = mostEdits

// edited remembers an edit. Readers of older sets do not look beyond their length.
func (x *rowSet) edited(before, after *record) {
	if len(x.edits) >= 2*keptEdits {
		x.edits = slices.Clone(x.edits[len(x.edits)-keptEdits:])
	}
	x.edits = append(x.edits, edit{before, after})
	x.all++
}

// between are the edits that make the second set of the first, which may be the later one; false
// where they are not known.
func between(from, to *rowSet) ([]edit, bool) {
	n := to.all - from.all
	switch {
	case from.line != to.line || from.line == nil || n > len(to.edits) || -n > len(from.edits):
		return nil, false
	case n >= 0:
		return to.edits[len(to.edits)-n:], true
	}
	back := slices.Clone(from.edits[len(from.edits)+n:])
	slices.Reverse(back)
	for i, e := range back {
		back[i] = edit{e.after, e.before}
	}
	return back, true
}

// netOf is what all edits of each row come to.
func netOf(edits []edit) map[guid]edit {
	out := make(map[guid]edit, len(edits))
	for _, e := range edits {
		id := guid{}
		if e.before != nil {
			id = e.before.id
		} else {
			id = e.after.id
		}
		if first, again := out[id]; again {
			e.before = first.before
		}
		out[id] = e
	}
	return out
}

// rewrite replaces a row by what f makes of it under a new version; false where there is none.
func (s *store) rewrite(t *table, id guid, f func(r *record, version int64) *record) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, there := s.view().set(t.logical).find(id)
	if !there {
		return false
	}
	s.changeSet(t.logical, func(version int64, x *rowSet) {
		before := x.list[i].(*record)
		after := f(before, version)
		x.edited(before, after)
		x.list = slices.Clone(x.list)
		x.list[i] = after
	})
	return true
}

// rewriteAll replaces rows by what f makes of them, each under a version of its own; nil leaves one as it is.
func (s *store) rewriteAll(t *table, f func(r *record, version int64) *record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.change(func(v *snapshot) {
		x := *v.set(t.logical)
		rows := x.rows()
		x.list, x.made = make([]any, len(rows)), nil
		x.line, x.edits = new(int), nil // nobody wants to follow so many
		for i, r := range rows {
			x.list[i] = r
			if after := f(r.(*record), v.version+3); after != nil {
				v.version += 3
				x.list[i] = after
			}
		}
		v.put(t.logical, &x)
	})
}
