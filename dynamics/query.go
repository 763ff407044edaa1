package dynamics

import (
	"errors"
	"strings"
)

// The longest URLs in characters that Dataverse takes: of a request of its own,
// and of a GET inside $batch, where longer queries go.
const (
	MaxURL      = 32768
	MaxBatchURL = 65536
)

// linkRoom is kept free in the URL of a first page for what its nextLink has
// in addition: the paging cookie, encoded twice, and encodings of the server's own.
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

// Query asks for rows of a table.
type Query struct {
	Select  []Output
	Filter  Filter // nil: every row
	OrderBy []Order
	// PageSize is the number of rows on a page, 1 to [MaxPageSize]; 0 means 100.
	PageSize int
	// Count asks for the number of matching rows with the first page, which
	// Dataverse caps at 5000; [Session.Count] is exact.
	Count bool
	// Moments keeps the first column of OrderBy, of type DateTime, for [Page.Moment].
	Moments bool
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
func orderBy(t Table, order []Order) (string, error) {
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
	if !seen[t.Key] {
		keys = append(keys, t.Key+" asc")
	}
	return strings.Join(keys, ","), nil
}

// column returns the logical name of the column that Dataverse calls name in an error,
// "" where the query has no such column.
func (q *Query) column(name string) (logical string) {
	if q == nil {
		return ""
	}
	see := func(c Column) {
		if c.Logical == name || c.Property() == name {
			logical = c.Logical
		}
	}
	for _, o := range q.Select {
		see(o.Column)
	}
	for _, o := range q.OrderBy {
		see(o.Column)
	}
	filterColumns(q.Filter, see)
	return logical
}

func filterColumns(f Filter, see func(Column)) {
	switch f := f.(type) {
	case And:
		for _, m := range f {
			filterColumns(m, see)
		}
	case Or:
		for _, m := range f {
			filterColumns(m, see)
		}
	case Not:
		filterColumns(f.Of, see)
	case Test:
		see(f.Column)
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
