package dynamics

import (
	"errors"
	"strconv"
	"strings"
)

// The longest URLs in characters that Dataverse takes: of a request of its own,
// and of a GET inside $batch, where longer queries go.
const (
	MaxURL      = 32768
	MaxBatchURL = 65536
)

// linkRoom is kept free in the URL of a first page for what its nextLink has
// beside it: the paging cookie, encoded twice, and encodings of the server's own.
const linkRoom = 8 << 10

// MaxPageSize is the greatest number of rows that Dataverse puts on a page.
const MaxPageSize = 5000

const defaultPageSize = 100

// MaxSimplePaging is how many rows can be paged through in an order that includes a
// lookup. Such an order is one by another table's column, whose pages have no paging
// cookie: "Page large result sets", simple paging,
// https://learn.microsoft.com/power-apps/developer/data-platform/fetchxml/page-results.
const MaxSimplePaging = 50_000

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
	if err := l.orderedBy(q.OrderBy); err != nil {
		return nil, err
	}
	p := &plan{layout: l, size: size}
	order, err := orderBy(q.OrderBy)
	if err != nil {
		return nil, err
	}
	head, tail := p.selection(), "&$orderby="+encode(order)
	if q.Count {
		tail += "&$count=true"
	}
	p.options = head + tail
	if q.Filter != nil {
		e, options, err := fit(q.Filter, func(filter string) string { return head + "&$filter=" + encode(filter) + tail })
		if err != nil {
			return nil, err
		}
		p.options, p.hidden.values = options, e.values
	}
	p.prefer = "odata.maxpagesize=" + strconv.Itoa(size)
	if a := l.annotations(); a != "" {
		p.prefer += "," + a
	}
	p.hidden.columns = q.columns()
	return p, nil
}

// fit writes f in the plainest form that Dataverse takes: within its bound on
// conditions, and if possible within its bound on URLs. options gives the query
// options of which the filter, not yet encoded, is part.
func fit(f Filter, options func(filter string) string) (*expression, string, error) {
	for form := comparisons; ; form++ {
		e := &expression{form: form}
		err := e.write(f, false, 0)
		switch {
		case err != nil && (form == everyFunction || !errors.Is(err, errTooManyConditions)):
			return nil, "", err
		case err != nil:
			continue
		}
		if text := options(e.text.String()); form == everyFunction || len(text) <= MaxBatchURL-linkRoom {
			return e, text, nil
		}
	}
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

// selection is the query of a single row.
func (p *plan) selection() string {
	return "$select=" + encode(strings.Join(p.layout.properties, ","))
}
