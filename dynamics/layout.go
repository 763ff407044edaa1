package dynamics

import (
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// layout says which properties to select and how a row is written from them.
type layout struct {
	properties []string // in the order of $select, each once
	kinds      []ColumnType
	members    []member
	idAt       int            // index of accountid in properties
	keys       []int          // indices of the properties that order the rows
	slots      map[string]int // property or annotation name → 3*index+part
	frame      int            // what a row has around the values, in bytes
	deleted    int            // first slot of a deleted row's members, 0 where none are expected
}

// member is one output of a row.
type member struct {
	head   []byte // `"name":`, with a comma in front from the second on
	source int    // index in properties
	labels map[int]string
	// longest is the most bytes that one of the labels takes as JSON.
	longest int
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

func newLayout(outputs []Output) (*layout, error) {
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
	for i, o := range outputs {
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
		m := member{head: append(head, ':'), source: at, labels: o.Labels}
		for _, text := range o.Labels {
			m.longest = max(m.longest, len(quoted(nil, text)))
		}
		l.members = append(l.members, m)
		l.frame += len(m.head) + memberFrame
	}
	l.idAt = add(accountID)
	if l.kinds[l.idAt] != UniqueID {
		return nil, refuse("query", accountID.Logical, "column accountid is of type GUID")
	}
	return l, nil
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
	p, at := c.Property(), len(l.properties)
	l.properties, l.kinds = append(l.properties, p), append(l.kinds, c.Type)
	l.slots[p] = at * parts
	l.slots[p+"@"+formattedValue] = at*parts + partLabel
	l.slots[p+"@"+lookupTable] = at*parts + partTable
	return at
}

// annotations gives the Prefer item for what this layout reads and no more:
// every annotation makes each row longer.
func (l *layout) annotations() string {
	label, table := false, false
	for _, k := range l.kinds {
		label = label || k == Choice || k == Choices || k == Lookup
		table = table || k == Lookup
	}
	switch {
	case table:
		return fmt.Sprintf(`odata.include-annotations="%s,%s"`, formattedValue, lookupTable)
	case label:
		return fmt.Sprintf(`odata.include-annotations="%s"`, formattedValue)
	}
	return ""
}
