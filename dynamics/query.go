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
	// Messages lays the rows of a page out for [Page.Message].
	Messages Messages
}

// fit writes f in the plainest form that Dataverse takes: within its bound on
// conditions, and if possible within its bound on URLs. options appends the query
// options of which the filter, not yet encoded, is part.
func (e *expression) fit(f Filter, options func(dst, filter []byte) []byte) error {
	for form := comparisons; ; form++ {
		e.form, e.text, e.conditions = form, e.text[:0], 0
		err := e.write(f, false, 0)
		switch {
		case err != nil && (form == everyFunction || !errors.Is(err, errTooManyConditions)):
			return err
		case err != nil:
			continue
		}
		if e.options = options(e.options[:0], e.text); form == everyFunction || len(e.options) <= MaxBatchURL-linkRoom {
			return nil
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
	return string(appendEncoded(make([]byte, 0, len(value)+len(value)/2), value))
}

// appendEncoded appends what encode returns.
func appendEncoded[T string | []byte](dst []byte, value T) []byte {
	const upper = "0123456789ABCDEF"
	for i := range len(value) {
		if c := value[i]; unencoded[c] {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', upper[c>>4], upper[c&15])
		}
	}
	return dst
}

// unencoded are the bytes that encode leaves as they are.
var unencoded = func() (set [256]bool) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~(),'") {
		set[c] = true
	}
	return set
}()
