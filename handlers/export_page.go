package handlers

import (
	"cmp"
	"context"
	"errors"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/route"
)

// A pageRead is a page of a range on its way from Dataverse to being delivered.
type pageRead struct {
	of     *openRange
	within bounds // of the range when the page was begun
	size   int    // rows that were asked for, 0 for as many as the search asks for
	round  int    // of readers

	ctx   context.Context // of its turn
	done  func()          // ends its turn
	page  *dynamics.Page
	next  string // place behind it, "" where nothing follows
	link  string // to the page there
	trail trail
	parts []route.Part
	rows  int // in parts
	err   error
}

// end gives back what the page holds.
func (p *pageRead) end() {
	if p.page != nil {
		p.page.Release()
		p.page = nil
	}
	if p.done != nil {
		p.done()
		p.done = nil
	}
	giveParts(p.parts)
	p.parts = nil
}

// fetch reads the page and cuts it, in a goroutine of its own. Of what the goroutine that
// delivers works on it sees only what it was given.
func (e *export) fetch(ctx context.Context, read *pageRead, query *dynamics.Prepared, link string,
	past trail) (err error) {
	if read.ctx, read.done, err = e.call.Job.Turn(ctx); err != nil {
		return err
	}
	size := e.query.PageSize
	if read.size > 0 {
		size = min(size, read.size)
	}
	for {
		read.page, err = e.session.Page(read.ctx, query.WithPageSize(size), link)
		switch {
		case tooLong(err) && size > 1:
			size /= 2
			read.size = size
			continue
		case err != nil:
			return err
		}
		read.trail = past
		if read.next, read.link, err = e.session.After(query, read.page); err != nil {
			return err
		}
		if read.next != "" && read.trail.circles(read.next) {
			return inCircles()
		}
		held := read.page.Len()
		if err = e.cut(read); !errors.Is(err, errManyParts) {
			return err
		}
		if held <= 1 {
			return e.manyParts()
		}
		size = fewerRows(held, e.call.Job.MaxParts)
		read.size = size
		read.page.Release()
		read.page = nil
		e.session.Restart() // the same link is followed again
	}
}

// cut makes the parts of the rows that belong to the range, as it was when the page was
// begun.
func (e *export) cut(read *pageRead) (err error) {
	dropParts(read.ctx, read.parts)
	read.parts = nil
	rows := wantedRows(read.page, func(row int) bool { return read.within.has(read.page.Moment(row)) })
	read.rows = rows.count()
	read.parts, err = e.pack(read.ctx, rows)
	return err
}

// span is what the table learns of the page.
func (p *pageRead) span() pageSpan {
	span := pageSpan{rows: p.page.Len(), next: p.next, link: p.link, trail: p.trail}
	if span.rows > 0 {
		span.last, span.timed = p.page.Moment(span.rows - 1)
		var timed bool
		if span.first, timed = p.page.Moment(0); !timed {
			span.first = span.last
		}
	}
	return span
}

// publish delivers a page that was read.
func (e *export) publish(ctx context.Context, read *pageRead) error {
	defer read.end()
	r := read.of
	e.readers.learn(read.page.Limited(), read.round)
	if read.size > 0 && (e.at.Size == 0 || read.size < e.at.Size) {
		e.at.Size = read.size
	}
	if read.lost(r) { // the later half of the range is another's since
		read.within = r.bounds
		if err := e.cut(read); errors.Is(err, errManyParts) {
			return e.manyParts()
		} else if err != nil {
			return err
		}
	}
	return e.deliver(ctx, read)
}

// lost reports whether the range has given away rows of the page since it was begun.
func (p *pageRead) lost(r *openRange) bool {
	if p.within == r.bounds {
		return false
	}
	for row := range p.page.Len() {
		second, there := p.page.Moment(row)
		if p.within.has(second, there) != r.has(second, there) {
			return true
		}
	}
	return false
}

// deliver moves the rows of a page out of the table, so that the place behind it has them no
// more, and yields its parts. What may be read by then is begun before.
func (e *export) deliver(ctx context.Context, read *pageRead) error {
	ends := e.table.advance(read.of, read.span())
	read.page.Release() // its rows are in the parts
	read.page = nil
	if read.rows > 0 || ends {
		e.empty = 0
	} else if e.empty++; e.empty < maxEmptyPages {
		return nil
	}
	e.at.Rows += read.rows
	var place []byte
	if len(e.table.open) > 0 {
		if read.rows == 0 && e.empty == 0 {
			return nil
		}
		var err error
		place, err = rowsPlace{Rows: e.at.Rows, Size: e.at.Size, Total: e.at.Total,
			Ranges: e.table.snapshot(e.readers.most)}.encode()
		if err != nil {
			return err
		}
	}
	e.empty = 0
	failed := e.start(ctx)
	return cmp.Or(hand(read.parts, place, e.at.Total, e.yield), failed)
}
