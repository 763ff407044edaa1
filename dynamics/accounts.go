package dynamics

import (
	"context"

	"github.com/go-json-experiment/json/jsontext"
)

const accounts = "accounts"

// Accounts asks for the first page of q.
func (s *Session) Accounts(ctx context.Context, q Query) (*Page, error) {
	p, err := q.plan()
	if err != nil {
		return nil, err
	}
	page, err := s.page(ctx, p, s.to(accounts, p.options))
	if err != nil {
		return nil, err
	}
	if err := s.checkNext(accountsPage, page); err != nil {
		return nil, err
	}
	return page, nil
}

// Next follows the link of a page of q, byte for byte and with the same
// preferences. A link that leads out of the environment or away from accounts,
// and one whose page this session has had already, is refused as Upstream before
// anything is sent.
func (s *Session) Next(ctx context.Context, q Query, link string) (*Page, error) {
	p, err := q.plan()
	if err != nil {
		return nil, err
	}
	r := request{op: accountsPage}
	if err := s.follow(&r, accounts, link); err != nil {
		return nil, err
	}
	page, err := s.page(ctx, p, r)
	if err != nil {
		return nil, err
	}
	if err := s.markFollowed(r.op, link); err != nil {
		return nil, err
	}
	if err := s.checkNext(accountsPage, page); err != nil {
		return nil, err
	}
	return page, nil
}

const accountsPage = "accounts.page"

// page makes the call that to addresses, or shares the one that is under way.
func (s *Session) page(ctx context.Context, p *plan, to request) (*Page, error) {
	r := to
	r.op, r.prefer, r.hidden = accountsPage, p.prefer, p.hidden
	key, circuit := s.flightKey(r, p.layout), s.client.breakers.of(s.connection, s.environment)
	page, err := s.client.flights.page(ctx, r.op, key, circuit, func() (page *Page, err error) {
		r.read = func(b *body) (err error) {
			page, err = readPage(b, p.layout)
			return err
		}
		if err := s.do(ctx, r); err != nil {
			if page != nil {
				page.Release()
			}
			return nil, err
		}
		return page, nil
	})
	if err != nil {
		return nil, err
	}
	if err := s.confirm(ctx, r.op); err != nil { // it may have waited for another's call
		page.Release()
		return nil, err
	}
	return page, nil
}

// checkNext refuses a page whose link could not be followed, before its rows are
// delivered as if more would come.
func (s *Session) checkNext(op string, p *Page) error {
	if p.next == "" {
		return nil
	}
	return s.follow(&request{op: op}, accounts, p.next)
}

// Account returns one account in the form of [Page.Row]. An unknown id is
// NotFound.
func (s *Session) Account(ctx context.Context, id string, columns []Output) ([]byte, error) {
	key, ok := canonicalGUID(id)
	if !ok {
		return nil, refuse("accounts.get", "", "the account id is not a GUID")
	}
	p, err := Query{Select: columns}.plan()
	if err != nil {
		return nil, err
	}
	var row []byte
	r := request{op: "accounts.get", prefer: p.layout.annotations(), hidden: p.hidden, read: func(b *body) error {
		page := &Page{}
		err := withDecoder(b, func(d *jsontext.Decoder) error { return newRowReader(p.layout, b).read(d, page) })
		if err != nil {
			return err
		}
		if page.ID(0) != key {
			return pageFault("another account than the one that was asked for")
		}
		row = page.Row(0)
		return nil
	}}
	if err := s.get(ctx, r, accounts+"("+key+")", p.selection()); err != nil {
		return nil, err
	}
	return row, nil
}
