package emulator

import (
	"slices"
)

// kind is a column's type, as metadata names it.
type kind uint8

const (
	kindGUID kind = iota
	kindText
	kindMemo
	kindInt
	kindBigInt
	kindMoney
	kindDecimal
	kindDateTime
	kindDate
	kindBool
	kindChoice
	kindState
	kindStatus
	kindChoices
	kindLookup
)

func (k kind) textual() bool { return k == kindText || k == kindMemo }

func (k kind) numeric() bool {
	switch k {
	case kindInt, kindBigInt, kindMoney, kindDecimal, kindChoice, kindState, kindStatus:
		return true
	}
	return false
}

// scaled columns hold ten-thousandths.
func (k kind) scaled() bool { return k == kindMoney || k == kindDecimal }

// edm is the type's name in OData.
func (k kind) edm() string {
	switch k {
	case kindGUID, kindLookup:
		return "Edm.Guid"
	case kindInt, kindChoice, kindState, kindStatus:
		return "Edm.Int32"
	case kindBigInt:
		return "Edm.Int64"
	case kindMoney, kindDecimal:
		return "Edm.Decimal"
	case kindDateTime:
		return "Edm.DateTimeOffset"
	case kindDate:
		return "Edm.Date"
	case kindBool:
		return "Edm.Boolean"
	}
	return "Edm.String"
}

// value is one cell. Which members count follows from the kind: s for texts, id for GUIDs and
// lookups, n for the rest (seconds of Unix time for dates); several choices are s, their integers
// joined by commas.
type value struct {
	ok bool // false is null
	s  string
	n  int64
	id guid
}

type option struct {
	value int32
	label string
	state int32            // of a status
	own   map[int32]string // labels in other languages, and those that were set while the server ran
}

func (o option) words() words { return words{o.label, o.own} }

type column struct {
	name, schema, label string
	kind                kind
	length              int
	custom              bool
	options             []option
	global              bool             // a choice that uses a global one
	sdkOnly             bool             // to be read in the SDK; the Web API has no such property
	nav                 string           // lookups: the navigation property; empty means name
	targets             []string         // lookups: the tables whose rows it names
	customer            bool             // a lookup with a navigation property for each of its targets
	base                bool             // money in the organization's currency
	own                 map[int32]string // names in other languages, and those that were set while the server ran
	secured             bool             // by column-level security
	hidden              bool             // from the caller: the column reads as null
	get                 func(v *snapshot, row any) value

	// Of tables whose rows are records: where the cell is among those of its kind, or what the value follows from.
	slot    int
	compute func(in inputs) value
	inputs  []string
}

// inputs are the values that another one is computed from.
type inputs struct {
	v    *snapshot
	row  any
	cols []*column
}

func (in inputs) at(i int) value { return in.cols[i].get(in.v, in.row) }

// stored is whether records have a cell of the column.
func (c *column) stored() bool { return c.slot >= 0 && c.compute == nil }

// navigation is the lookup's navigation property, where it names a row of the table.
func (c *column) navigation(entity string) string {
	switch {
	case c.customer:
		return c.name + "_" + entity
	case c.nav != "":
		return c.nav
	}
	return c.name
}

// property is the name in the Web API.
func (c *column) property() string {
	if c.kind == kindLookup {
		return "_" + c.name + "_value"
	}
	return c.name
}

func (c *column) words() words { return words{c.label, c.own} }

func (c *column) optionLabel(n int64, l *language) string {
	for _, o := range c.options {
		if int64(o.value) == n {
			return o.words().text(l)
		}
	}
	return ""
}

// table is one entity set.
type table struct {
	logical, set, label string
	otc                 int
	key, primary        string
	privilege           string // to read it
	columns             []*column
	props               map[string]*column
	names               map[string]*column // columns by logical name
	slots               int                // cells of a record; 0 where rows are no records
	cells               cellCounts         // by what they hold
	tracking            bool               // changes can be asked for
	product             string             // what brings the table to an environment, "" where every one has it
	first               firstRows          // the rows that a server begins with
	translated          translations       // of labels that language.go does not know
	custom              bool               // added while the server runs
	rows                func(v *snapshot) []any
	byKey               func(v *snapshot, id guid) any // nil when absent
	id                  func(row any) guid
	version             func(row any) int64
	owner               func(row any) guid // whom or whose business unit a row belongs to
	relations           map[string]*relation
}

// translations are texts by LCID and then by the English ones.
type translations map[int32]map[string]string

// of are the texts of a label; nil where there are none.
func (x translations) of(label string) map[int32]string {
	var out map[int32]string
	for lcid, texts := range x {
		if text, ok := texts[label]; ok {
			if out == nil {
				out = map[int32]string{}
			}
			out[lcid] = text
		}
	}
	return out
}

// translate gives the labels of the table their texts.
func (t *table) translate() {
	for _, c := range t.columns {
		c.own = t.translated.of(c.label)
		c.options = slices.Clone(c.options) // sets are shared between tables
		for i := range c.options {
			c.options[i].own = t.translated.of(c.options[i].label)
		}
	}
}

// firstRows is how many rows there are, and what makes them.
type firstRows func(t *table, o Options, d *directory) (n int, rows func() []*record)

// relation is a navigation property, collection-valued unless it leads to one row.
type relation struct {
	name   string
	target *table
	one    bool
	of     func(v *snapshot, row any) []any
}

func (t *table) index() *table {
	t.props, t.names = make(map[string]*column, len(t.columns)), make(map[string]*column, len(t.columns))
	for _, c := range t.columns {
		t.names[c.name] = c
		if !c.sdkOnly {
			t.props[c.property()] = c
		}
	}
	return t
}

// keepRows makes the table one whose rows the store keeps, as records.
func (t *table) keepRows() *table {
	t.translate()
	for _, c := range t.columns {
		t.place(c)
	}
	for _, c := range t.columns {
		if c.compute != nil {
			t.derive(c)
		}
	}
	logical := t.logical
	t.rows = func(v *snapshot) []any { return v.set(logical).rows() }
	t.byKey = func(v *snapshot, id guid) any {
		if r := v.set(logical).row(id); r != nil {
			return r
		}
		return nil
	}
	t.id = func(r any) guid { return r.(*record).id }
	t.owner = func(r any) guid { return r.(*record).owner }
	t.version = func(r any) int64 { return r.(*record).version }
	return t.index()
}

// place gives a column a cell of its own; one that comes back after its removal gets another, as
// the values are gone with the column.
func (t *table) place(c *column) {
	if c.get != nil || c.compute != nil {
		c.slot = -1
		return
	}
	n := t.cells.of(c.kind)
	slot := *n
	c.slot = slot
	*n++
	t.slots++
	if c.name == t.key {
		c.get = func(_ *snapshot, r any) value { return value{ok: true, id: r.(*record).id} }
		return
	}
	switch n {
	case &t.cells.texts:
		c.get = func(_ *snapshot, r any) value { return textValue(r.(*record), slot) }
	case &t.cells.ids:
		c.get = func(_ *snapshot, r any) value { return idValue(r.(*record), slot) }
	default:
		c.get = func(_ *snapshot, r any) value { return numberValue(r.(*record), slot) }
	}
}

// derive has a column's value follow from others.
func (t *table) derive(c *column) {
	var from []*column
	for _, name := range c.inputs {
		for _, x := range t.columns {
			if x.name == name {
				from = append(from, x)
			}
		}
	}
	compute := c.compute
	c.get = func(v *snapshot, r any) value { return compute(inputs{v, r, from}) }
}

// inWebAPI are the columns that the Web API has properties for.
func (t *table) inWebAPI() []*column {
	return slices.DeleteFunc(slices.Clone(t.columns), func(c *column) bool { return c.sdkOnly })
}

// column finds by logical name, as query functions and metadata do: ownerid, not _ownerid_value.
func (t *table) column(logical string) *column { return t.names[logical] }

func (t *table) typeName() string { return "Microsoft.Dynamics.CRM." + t.logical }
