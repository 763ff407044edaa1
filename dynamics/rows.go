package dynamics

import (
	"bytes"
	"context"
)

// Page reads one page of p: the first where link is "", else the one that the link of a
// page before leads to. A link is followed byte for byte and with the same preferences.
// One that leads out of the environment or away from the table's rows, and one whose
// page this session has had already, is refused as Upstream before anything is sent.
func (s *Session) Page(ctx context.Context, p *Prepared, link string) (*Page, error) {
	if err := s.permits(p.table, p.op); err != nil {
		return nil, err
	}
	r := request{op: p.op}
	if link == "" {
		r = s.to(p.table.Set, p.options)
		r.op = p.op
	} else if err := s.follow(&r, p.table.Set, link); err != nil {
		return nil, err
	}
	page, err := s.page(ctx, p, r)
	if err != nil {
		return nil, err
	}
	if link != "" {
		if err := s.markFollowed(r.op, link); err != nil {
			return nil, err
		}
	}
	if err := s.checkNext(p, page); err != nil {
		return nil, err
	}
	return page, nil
}

// page makes the call that r addresses, or shares the one in flight.
func (s *Session) page(ctx context.Context, p *Prepared, r request) (*Page, error) {
	r.table, r.prefer, r.redact = p.table, p.prefer, p.redact
	key, circuit := s.flightKey(ctx, r, p), s.client.breakers.of(s.connection, s.environment)
	page, err := s.client.flights.page(ctx, r.op, key, circuit, func() (page *Page, err error) {
		r.read = func(b *body) (err error) {
			page, err = readPage(b, p)
			return err
		}
		if p.moments { // who reads in that order reads several pages at once
			r.limited = new(bool)
		}
		if err := s.do(ctx, r); err != nil {
			if page != nil {
				page.Release()
			}
			return nil, err
		}
		page.limited = r.limited != nil && *r.limited
		return page, nil
	})
	if err != nil {
		return nil, err
	}
	if err := s.confirmOf(ctx, p.table, r.op); err != nil { // it may have waited for another's call
		page.Release()
		return nil, err
	}
	return page, nil
}

// checkNext refuses a page whose link could not be followed, before its rows are
// delivered as if more would come.
func (s *Session) checkNext(p *Prepared, page *Page) error {
	if page.next == "" {
		return nil
	}
	return s.follow(&request{op: p.op}, p.table.Set, page.next)
}

// Row returns one row of t in the form of [Page.Row]. An unknown id is NotFound.
func (s *Session) Row(ctx context.Context, t Table, id string, columns []Output) ([]byte, error) {
	op := t.op("get")
	key, ok := canonicalGUID(id)
	if !ok {
		return nil, refuse(op, "", "the id is not a GUID")
	}
	p, err := s.client.prepare(t, &Query{Select: columns}, op, false)
	if err != nil {
		return nil, err
	}
	var row []byte
	r := request{op: op, prefer: p.layout.annotations, redact: p.redact, read: func(b *body) error {
		page := &Page{}
		r := newRowReader(p, b, 1)
		err := r.one(page)
		r.release()
		if err == nil && page.ID(0) != key {
			err = pageFault("another row than the one that was asked for")
		}
		if err == nil {
			row = bytes.Clone(page.Row(0))
		}
		page.Release()
		return err
	}}
	if err := s.getOf(ctx, t, r, t.Set+"("+key+")", p.layout.selection); err != nil {
		return nil, err
	}
	return row, nil
}
