package dynamics

import (
	"bytes"
	"context"
	"sync"
	"time"
)

// Page reads one page of p: the first where link is "", else the one that the link of a
// page before leads to. A link is followed byte for byte and with the same preferences.
// One that leads out of the environment or away from the table's rows, and one whose
// page this session has had already, is refused as Upstream before anything is sent.
func (s *Session) Page(ctx context.Context, p *Prepared, link string) (*Page, error) {
	if _, permitted := s.stands(p.table.Name, time.Time{}); !permitted {
		return nil, s.permits(p.table, p.op)
	}
	c := pageCalls.Get().(*pageCall)
	c.query, c.got = p, &Page{}
	page, err := s.pageBy(ctx, c, p, link)
	c.release()
	return page, err
}

// pageBy is Page by means of c.
func (s *Session) pageBy(ctx context.Context, c *pageCall, p *Prepared, link string) (*Page, error) {
	r := &c.request
	r.op, r.table, r.prefer, r.redact, r.expected, r.page = p.op, p.table, p.prefer, p.redact, p.expected, c
	if link == "" {
		r.origin, r.path, r.query = s.environment, p.path, p.options
	} else if err := s.follow(r, p.table.Set, link); err != nil {
		return nil, err
	}
	page, err := s.page(ctx, c)
	if err != nil {
		return nil, err
	}
	if link != "" {
		err = s.markFollowed(r.op, link)
	}
	if err == nil {
		err = s.checkNext(p, page)
	}
	if err != nil {
		page.Release()
		return nil, err
	}
	return page, nil
}

// A pageCall is a call for a page: what is sent, what is read, and who waits for it.
type pageCall struct {
	request
	flight
	query *Prepared
	got   *Page // where it is read into
}

// pageCalls keeps calls that are over, empty.
var pageCalls = sync.Pool{New: func() any { return new(pageCall) }}

// release is called when the call is over. One that others waited for may still be looked
// at by them.
func (c *pageCall) release() {
	if c.done != nil {
		return
	}
	*c = pageCall{}
	pageCalls.Put(c)
}

// answered reads the answer.
func (r *request) answered(b *body) error {
	if r.page != nil {
		return r.page.got.read(b, r.page.query)
	}
	return r.read(b)
}

// make makes the call.
func (c *pageCall) make(ctx context.Context, s *Session) (*Page, error) {
	if c.query.moments { // who reads in that order reads several pages at once
		c.limited = new(bool)
	}
	if err := s.run(ctx, &c.request); err != nil {
		c.got.Release()
		return nil, err
	}
	c.got.limited = c.limited != nil && *c.limited
	return c.got, nil
}

// page makes the call, or shares the one in flight.
func (s *Session) page(ctx context.Context, c *pageCall) (*Page, error) {
	c.circuit = s.client.breakers.of(s.connection, s.environment)
	page, mine, err := s.client.flights.page(ctx, s, c)
	if err != nil || mine {
		return page, err
	}
	if err := s.confirmOf(ctx, c.table, c.op, time.Now()); err != nil { // it has waited for another's call
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
	return s.checkLink(p, page.next)
}

// Row returns one row of t in the form of [Page.Row]. An unknown id is NotFound.
func (s *Session) Row(ctx context.Context, t Table, id string, columns []Output) ([]byte, error) {
	op := t.op("get")
	key, ok := canonicalGUID(id)
	if !ok {
		return nil, refuse(op, "", "the id is not a GUID")
	}
	p, err := s.client.prepare(t, Query{Select: columns}, verbGet, false)
	if err != nil {
		return nil, err
	}
	var row []byte
	r := request{op: op, prefer: p.layout.annotations, redact: p.redact, read: func(b *body) error {
		page := &Page{}
		r := newRowReader(p, b, 1)
		err := r.one(page)
		if echo := r.look(); echo != nil {
			err = echo
		}
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
