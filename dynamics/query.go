package dynamics

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxURL is the longest URL in characters that Dataverse takes outside of $batch.
const MaxURL = 32768

// MaxPageSize is the greatest number of rows that Dataverse puts on a page.
const MaxPageSize = 5000

const defaultPageSize = 100

// Output is one member of a row as it is delivered.
type Output struct {
	Column
	// As is the member's name: the name that the requester asked by.
	As string
	// Labels gives the labels of a choice where Dataverse sends none, and
	// those of several choices, whose joined label cannot always be taken
	// apart. May be nil.
	Labels map[int]string
}

// Order is one sort key. Rows without a value sort as Dataverse sorts them.
type Order struct {
	Column Column
	Desc   bool
}

// Query asks for accounts.
type Query struct {
	Select  []Output
	Filter  Filter // nil: every account
	OrderBy []Order
	// PageSize is the number of rows on a page, 1 to [MaxPageSize]; 0 means 100.
	PageSize int
	// Count asks for the number of matching rows with the first page, which
	// Dataverse caps at 5000; [Session.Count] is exact.
	Count bool
}

// accountID is the key of every row; pages are ordered and continued by it.
var accountID = Column{Logical: "accountid", Type: UniqueID}

// plan is a checked query, ready for a URL and for reading rows.
type plan struct {
	layout  *layout
	options string // encoded query options
	prefer  string
	size    int
	hidden  hidden
}

func (q Query) plan() (*plan, error) {
	if q.PageSize < 0 || q.PageSize > MaxPageSize {
		return nil, refuse("query", "", "page size %d is not from 1 to %d", q.PageSize, MaxPageSize)
	}
	size := q.PageSize
	if size == 0 {
		size = defaultPageSize
	}
	l, err := newLayout(q.Select)
	if err != nil {
		return nil, err
	}
	p := &plan{layout: l, size: size}
	options := []string{"$select=" + encode(strings.Join(l.properties, ","))}
	if q.Filter != nil {
		e, err := express(q.Filter)
		if err != nil {
			return nil, err
		}
		options = append(options, "$filter="+encode(e.text.String()))
		p.hidden.values = e.values
	}
	order, err := orderBy(q.OrderBy)
	if err != nil {
		return nil, err
	}
	options = append(options, "$orderby="+encode(order))
	if q.Count {
		options = append(options, "$count=true")
	}
	p.options = strings.Join(options, "&")
	p.prefer = "odata.maxpagesize=" + strconv.Itoa(size)
	if a := l.annotations(); a != "" {
		p.prefer += "," + a
	}
	p.hidden.columns = q.columns()
	return p, nil
}

func express(f Filter) (*expression, error) {
	e := &expression{}
	if err := e.write(f, false, 0); err != nil {
		return nil, err
	}
	return e, nil
}

// orderBy makes the order total: without a unique last key rows repeat or go
// missing at page boundaries. Dataverse refuses a column that comes twice.
func orderBy(order []Order) (string, error) {
	var keys []string
	seen := map[string]bool{}
	for _, o := range order {
		if err := o.Column.check(); err != nil {
			return "", err
		}
		if seen[o.Column.Logical] {
			return "", refuse("query", o.Column.Logical, "column %s is twice in the order", o.Column.Logical)
		}
		seen[o.Column.Logical] = true
		direction := " asc"
		if o.Desc {
			direction = " desc"
		}
		keys = append(keys, o.Column.Property()+direction)
	}
	if !seen[accountID.Logical] {
		keys = append(keys, accountID.Logical+" asc")
	}
	return strings.Join(keys, ","), nil
}

// columns maps what Dataverse may name in an error to logical names.
func (q Query) columns() map[string]string {
	names := map[string]string{}
	add := func(c Column) { names[c.Property()], names[c.Logical] = c.Logical, c.Logical }
	for _, o := range q.Select {
		add(o.Column)
	}
	for _, o := range q.OrderBy {
		add(o.Column)
	}
	filterColumns(q.Filter, add)
	return names
}

func filterColumns(f Filter, add func(Column)) {
	switch f := f.(type) {
	case And:
		for _, m := range f {
			filterColumns(m, add)
		}
	case Or:
		for _, m := range f {
			filterColumns(m, add)
		}
	case Not:
		filterColumns(f.Of, add)
	case Test:
		add(f.Column)
	}
}

// encode percent-encodes one option's value. Bytes outside the set below are
// encoded, UTF-8 byte by byte: "+" as %2B, space as %20 (a "+" would depend on
// the reader), "#&%" and quotes of other kinds likewise. Parentheses, commas and
// apostrophes stay readable; they mean the same encoded or not.
func encode(value string) string {
	const upper = "0123456789ABCDEF"
	var b strings.Builder
	b.Grow(len(value) + len(value)/2)
	for i := range len(value) {
		c := value[i]
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("-._~(),'", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(upper[c>>4])
		b.WriteByte(upper[c&15])
	}
	return b.String()
}

// layout says which properties to select and how a row is written from them.
type layout struct {
	properties []string // in the order of $select, each once
	kinds      []ColumnType
	members    []member
	idAt       int            // index of accountid in properties
	slots      map[string]int // property or annotation name → 3*index+part
}

// member is one output of a row.
type member struct {
	head   []byte // `"name":`, with a comma in front from the second on
	source int    // index in properties
	labels map[int]string
}

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
			at = len(l.properties)
			index[p] = at
			l.properties, l.kinds = append(l.properties, p), append(l.kinds, c.Type)
			l.slots[p] = at * parts
			l.slots[p+"@"+formattedValue] = at*parts + partLabel
			l.slots[p+"@"+lookupTable] = at*parts + partTable
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
		l.members = append(l.members, member{head: append(head, ':'), source: at, labels: o.Labels})
	}
	l.idAt = add(accountID)
	if l.kinds[l.idAt] != UniqueID {
		return nil, refuse("query", accountID.Logical, "column accountid is of type unique id")
	}
	return l, nil
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

// selection is the query of a single row.
func (p *plan) selection() string {
	return "$select=" + encode(strings.Join(p.layout.properties, ","))
}
