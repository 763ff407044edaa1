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
	op      string
	layout  *layout
	labels  []labels // by member; nil where no member has any
	form    [sha256.Size]byte
	moments bool   // see Query.Moments
	path    string // of the rows
	options string // encoded query options
	prefer  string
	redact  redaction
}

// labels are the labels of one member's choices.
type labels struct {
	texts   map[int]string
	longest int // the most bytes that one of them takes as JSON
}

// Prepare checks q and lays it out for t.
func (s *Session) Prepare(t Table, q Query) (*Prepared, error) {
	p, err := s.client.prepare(t, &q, t.op("page"), false)
	if err != nil {
		return nil, err
	}
	head, tail := p.layout.selection, p.layout.ordering
	if q.Count {
		tail += "&$count=true"
	}
	p.options = head + tail
	if q.Filter != nil {
		e, options, err := fit(q.Filter, func(filter string) string { return head + "&$filter=" + encode(filter) + tail })
		if err != nil {
			return nil, err
		}
		p.options, p.redact.values = options, e.values
	}
	return p, nil
}

// WithPageSize returns p for pages of so many rows, from 1 to [MaxPageSize]. The links
// of a search are followed with the page size of its first page; those of changes with
// any.
func (p *Prepared) WithPageSize(rows int) *Prepared {
	other := *p
	other.prefer = preferences(min(max(rows, 1), MaxPageSize), p.layout)
	return &other
}

// prepare does what is the same for every reading of rows.
func (c *Client) prepare(t Table, q *Query, op string, tracked bool) (*Prepared, error) {
	if err := t.check(op); err != nil {
		return nil, err
	}
	if q.PageSize < 0 || q.PageSize > MaxPageSize {
		return nil, refuse("query", "", "page size %d is not from 1 to %d", q.PageSize, MaxPageSize)
	}
	size := q.PageSize
	if size == 0 {
		size = defaultPageSize
	}
	l, err := c.layouts.of(t, *q, tracked)
	if err != nil {
		return nil, err
	}
	p := &Prepared{table: t, op: op, path: c.root() + t.Set, layout: l, form: l.sum, prefer: preferences(size, l)}
	p.redact.query = q
	p.label(q.Select)
	if q.Moments {
		if len(q.OrderBy) == 0 || q.OrderBy[0].Column.Type != DateTime {
			return nil, refuse("query", "", "moments are of an order by a date and time")
		}
		p.moments = true
		p.form = sha256.Sum256(append(p.form[:], "moments"...)) // pages without them are others
	}
	return p, nil
}

// preferences is the Prefer header for pages of so many rows.
func preferences(size int, l *layout) string {
	text := "odata.maxpagesize=" + strconv.Itoa(size)
	if l.deleted > 0 {
		text = trackChanges + "," + text
	}
	if l.annotations != "" {
		text += "," + l.annotations
	}
	return text
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
