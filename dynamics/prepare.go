package dynamics

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"strconv"
)

// Prepared is a query that has been checked and laid out for a table, ready for any
// number of pages. It is read only and may be shared, by sessions too.
type Prepared struct {
	table   Table
	query   Query
	op      string
	layout  *layout
	labels  []labels // by member; nil where no member has any
	form    [sha256.Size]byte
	moments bool   // see Query.Moments
	path    string // of the rows
	options string // encoded query options
	prefer  string
	// expected is how long a page is in bytes, as far as it can be told before.
	expected int64
	redact   redaction
}

// labels are the labels of one member's choices.
type labels struct {
	texts   map[int]string
	longest int // the most bytes that one of them takes as JSON
}

// Prepare checks q and lays it out for t.
func (s *Session) Prepare(t Table, q Query) (*Prepared, error) {
	return s.PrepareIn(new(Prepared), t, q)
}

// PrepareIn is Prepare in p, memory of the caller's. Once pages of p have been asked for, p is
// used until the calls for them are over, and not after that.
func (s *Session) PrepareIn(p *Prepared, t Table, q Query) (*Prepared, error) {
	if err := s.client.prepareIn(p, &t, &q, verbPage, false); err != nil {
		return nil, err
	}
	if q.Filter == nil {
		p.options = p.layout.selection + p.ending()
		return p, nil
	}
	e := expressions.Get().(*expression)
	defer e.release()
	if err := e.fit(q.Filter, func(dst, filter []byte) []byte {
		dst = append(append(dst, p.layout.selection...), "&$filter="...)
		return append(appendEncoded(dst, filter), p.ending()...)
	}); err != nil {
		return nil, err
	}
	p.options, p.redact.form = string(e.options), e.form
	return p, nil
}

// ending is what stands behind the filter.
func (p *Prepared) ending() string {
	if p.query.Count {
		return p.layout.ordering + "&$count=true"
	}
	return p.layout.ordering
}

// WithPageSize returns p for pages of so many rows, from 1 to [MaxPageSize]. The links
// of a search are followed with the page size of its first page; those of changes with
// any.
func (p *Prepared) WithPageSize(rows int) *Prepared {
	other := *p
	other.sized(min(max(rows, 1), MaxPageSize))
	return &other
}

func (p *Prepared) sized(rows int) {
	p.prefer, p.expected = p.layout.preferences(rows), int64(rows)*int64(p.layout.row)
}

// prepare does what is the same for every reading of rows.
func (c *Client) prepare(t Table, q Query, verb string, tracked bool) (*Prepared, error) {
	p := new(Prepared)
	return p, c.prepareIn(p, &t, &q, verb, tracked)
}

func (c *Client) prepareIn(p *Prepared, t *Table, q *Query, verb string, tracked bool) error {
	if q.PageSize < 0 || q.PageSize > MaxPageSize {
		return refuse("query", "", "page size %d is not from 1 to %d", q.PageSize, MaxPageSize)
	}
	size := q.PageSize
	if size == 0 {
		size = defaultPageSize
	}
	l, err := c.layouts.of(t, q, verb, tracked)
	if err != nil {
		return err
	}
	*p = Prepared{table: *t, query: *q, op: l.op, path: l.path, layout: l, form: l.sum}
	p.sized(size)
	p.redact.query = &p.query
	p.label(q.Select)
	if q.Moments {
		if len(q.OrderBy) == 0 || q.OrderBy[0].Column.Type != DateTime {
			return refuse("query", "", "moments are of an order by a date and time")
		}
		p.moments = true
		p.form = sha256.Sum256(append(p.form[:], "moments"...)) // pages without them are others
	}
	return nil
}

// preferences is the Prefer header for pages of so many rows.
func (l *layout) preferences(size int) string {
	kept := &l.prefers[size%len(l.prefers)]
	if p := kept.Load(); p != nil && p.size == size {
		return p.text
	}
	text := "odata.maxpagesize=" + strconv.Itoa(size)
	if l.deleted > 0 {
		text = trackChanges + "," + text
	}
	if l.annotations != "" {
		text += "," + l.annotations
	}
	kept.Store(&preference{size, text})
	return text
}

// A preference is kept with its layout: most requests ask for pages of few sizes.
type preference struct {
	size int
	text string
}

// label takes over the labels of the outputs, which are part of what tells rows of two
// queries apart.
func (p *Prepared) label(outputs []Output) {
	if !slices.ContainsFunc(outputs, func(o Output) bool { return len(o.Labels) > 0 }) {
		return
	}
	p.labels = make([]labels, len(outputs))
	sum := sha256.New()
	sum.Write(p.form[:])
	var space []byte
	for i, o := range outputs {
		p.labels[i].texts = o.Labels
		sum.Write(binary.AppendUvarint(space[:0], uint64(len(o.Labels))))
		for _, value := range slices.Sorted(maps.Keys(o.Labels)) {
			text := o.Labels[value]
			space = quoted(space[:0], text)
			p.labels[i].longest = max(p.labels[i].longest, len(space))
			sum.Write(appendTexts(binary.AppendVarint(space[:0], int64(value)), text))
		}
	}
	p.form = [sha256.Size]byte(sum.Sum(nil))
}

// labelsOf are the labels of a member.
func (p *Prepared) labelsOf(member int) labels {
	if p.labels == nil {
		return labels{}
	}
	return p.labels[member]
}
