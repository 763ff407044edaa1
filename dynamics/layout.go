package dynamics

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/go-json-experiment/json/jsontext"
)

// layout says which properties to select and how a row is written from them. It does
// not change once it is made, and queries of the same fields share it. Labels are no
// part of it: they are one environment's.
type layout struct {
	properties []string // in the order of $select, each once
	kinds      []ColumnType
	members    []member
	idAt       int            // index of the table's key in properties
	keys       []int          // indices of the properties that order the rows
	slots      map[string]int // property or annotation name → 3*index+part
	quoted     [][]byte       // the names of slots as JSON writes them
	frame      int            // what a row has around the values, in bytes
	several    bool           // a member is of type Choices
	deleted    int            // first slot of a deleted row's members, 0 where none are expected

	op          string            // accounts.page
	path        string            // of the rows
	selection   string            // $select=…
	ordering    string            // &$orderby=…
	annotations string            // item of the Prefer header, "" for none
	sum         [sha256.Size]byte // tells layouts apart
	row         int               // how long a row of an answer may be expected to be, in bytes
	prefers     [8]atomic.Pointer[preference]
}

// member is one output of a row.
type member struct {
	head   []byte // `"name":`, with a comma in front from the second on
	source int    // index in properties
	kind   ColumnType
}

// memberFrame is what a value has around it at most, `{"id":"","name":"","entity":""}`
// or `{"value":,"label":null}`, and choiceFrame what each of several choices has.
const (
	memberFrame = 48
	choiceFrame = 32
)

const (
	formattedValue = "OData.Community.Display.V1.FormattedValue"
	lookupTable    = "Microsoft.Dynamics.CRM.lookuplogicalname"
)

// The parts of a property that an answer may carry.
const (
	partValue = iota
	partLabel
	partTable
	parts
)

// layouts keeps layouts that were used, since most requests ask for the same fields.
type layouts struct {
	root  string // of the Web API
	mu    sync.Mutex
	known map[string]*layout
}

// maxLayouts and maxLayoutKey bound what is kept: longer lists of fields are laid out
// each time.
const (
	maxLayouts   = 256
	maxLayoutKey = 4 << 10
)

// of returns the layout of q's fields and order; tracked says that rows may be deleted
// ones.
func (k *layouts) of(t *Table, q *Query, verb string, tracked bool) (*layout, error) {
	var space [1 << 10]byte
	key := layoutKey(space[:0], t, q, verb, tracked)
	k.mu.Lock()
	l := k.known[string(key)]
	k.mu.Unlock()
	if l != nil {
		return l, nil
	}
	if err := t.check(t.op(verb)); err != nil {
		return nil, err
	}
	l, err := newLayout(*t, q, tracked)
	if err != nil {
		return nil, err
	}
	l.op, l.path = t.op(verb), k.root+t.Set
	l.sum = sha256.Sum256(key)
	if len(key) <= maxLayoutKey {
		k.keep(string(key), l)
	}
	return l, nil
}

func (k *layouts) keep(key string, l *layout) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known == nil {
		k.known = map[string]*layout{}
	}
	for other := range k.known { // any one: most are used again, and it is made again soon
		if len(k.known) < maxLayouts {
			break
		}
		delete(k.known, other)
	}
	k.known[key] = l
}

// layoutKey holds everything that a layout is made from.
func layoutKey(key []byte, t *Table, q *Query, verb string, tracked bool) []byte {
	key = appendTexts(key, t.Name, t.Set, t.Logical, t.Key, verb)
	key = binary.AppendUvarint(key, uint64(len(q.Select)))
	for _, o := range q.Select {
		key = appendTexts(append(key, byte(o.Type)), o.Logical, o.As)
	}
	for _, o := range q.OrderBy {
		key = appendTexts(append(key, byte(o.Column.Type)), o.Column.Logical)
		key = appendBool(key, o.Desc)
	}
	return appendBool(key, tracked)
}

// appendTexts appends texts so that they cannot run together.
func appendTexts(dst []byte, texts ...string) []byte {
	for _, t := range texts {
		dst = append(binary.AppendUvarint(dst, uint64(len(t))), t...)
	}
	return dst
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func newLayout(t Table, q *Query, tracked bool) (*layout, error) {
	l := &layout{slots: map[string]int{}, idAt: -1}
	index, names := map[string]int{}, map[string]bool{}
	add := func(c Column) int {
		p := c.Property()
		at, ok := index[p]
		if !ok {
			at = l.add(c)
			index[p] = at
		}
		return at
	}
	for i, o := range q.Select {
		if err := o.check(); err != nil {
			return nil, err
		}
		if names[o.As] {
			return nil, refuse("query", o.Logical, "two outputs have the name %q", o.As)
		}
		names[o.As] = true
		at := add(o.Column)
		if l.kinds[at] != o.Type {
			return nil, refuse("query", o.Logical, "column %s is asked for as two types", o.Logical)
		}
		head, err := jsontext.AppendQuote([]byte(nil), o.As)
		if err != nil {
			return nil, refuse("query", o.Logical, "the output name of column %s is not valid UTF-8", o.Logical)
		}
		if i > 0 {
			head = append([]byte{','}, head...)
		}
		m := member{head: slices.Grow(append(head, ':'), putAtOnce), source: at, kind: o.Type}
		l.members = append(l.members, m)
		l.several = l.several || o.Type == Choices
		l.frame += len(m.head) + memberFrame
	}
	l.idAt = add(t.key())
	if l.kinds[l.idAt] != UniqueID {
		return nil, refuse("query", t.Key, "column %s is of type GUID", t.Key)
	}
	if err := l.orderedBy(q.OrderBy); err != nil {
		return nil, err
	}
	order, err := orderBy(t, q.OrderBy)
	if err != nil {
		return nil, err
	}
	l.selection, l.ordering = "$select="+encode(strings.Join(l.properties, ",")), "&$orderby="+encode(order)
	l.annotations = l.annotate()
	l.row = l.expect()
	if tracked {
		l.track()
	}
	l.quoted = make([][]byte, l.slotCount())
	for name, slot := range l.slots {
		if l.quoted[slot], err = jsontext.AppendQuote(nil, name); err != nil {
			return nil, err // which cannot be: names have been checked
		}
	}
	return l, nil
}

// slotCount is how many members of a row may be of use.
func (l *layout) slotCount() int {
	if l.deleted > 0 {
		return l.deleted + deletedParts
	}
	return len(l.properties) * parts
}

// orderedBy adds the columns that rows are ordered by, which need not be asked
// for otherwise: their values tell whether a row is still where it was.
func (l *layout) orderedBy(order []Order) error {
	for _, o := range order {
		if err := o.Column.check(); err != nil {
			return err
		}
		at := slices.Index(l.properties, o.Column.Property())
		if at < 0 {
			at = l.add(o.Column)
		}
		if l.kinds[at] != o.Column.Type {
			return refuse("query", o.Column.Logical, "column %s is used as two types", o.Column.Logical)
		}
		l.keys = append(l.keys, at)
	}
	return nil
}

// add appends a column's property and returns its index.
func (l *layout) add(c Column) int {
	p, at := strings.Clone(c.Property()), len(l.properties) // of what it may be part of nothing is kept
	l.properties, l.kinds = append(l.properties, p), append(l.kinds, c.Type)
	l.slots[p] = at * parts
	l.slots[p+"@"+formattedValue] = at*parts + partLabel
	l.slots[p+"@"+lookupTable] = at*parts + partTable
	return at
}

// annotate gives the Prefer item for what this layout reads and no more: every
// annotation makes each row longer.
func (l *layout) annotate() string {
	label, table := false, false
	for _, k := range l.kinds {
		label = label || k == Choice || k == Choices || k == Lookup
		table = table || k == Lookup
	}
	switch {
	case table:
		return `odata.include-annotations="` + formattedValue + `,` + lookupTable + `"`
	case label:
		return `odata.include-annotations="` + formattedValue + `"`
	}
	return ""
}

// usual is how long a value with what stands around it usually is, in bytes.
const usual = 24

// expect is about how long a row of an answer is in bytes, with its entity tag.
func (l *layout) expect() int {
	n := 2 * usual
	for i, p := range l.properties {
		n += len(p) + usual
		if k := l.kinds[i]; k == Choice || k == Choices || k == Lookup {
			n += len(p) + len(formattedValue) + usual
		}
		if l.kinds[i] == Lookup {
			n += len(p) + len(lookupTable) + 2*usual
		}
	}
	return n
}
