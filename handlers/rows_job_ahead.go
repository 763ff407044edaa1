package handlers

import (
	"context"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/route"
)

// A jobPage is a page of a job in one sequence on its way from Dataverse to being stored.
type jobPage struct {
	done  func()       // ends its turn
	parts []route.Part // none: there is nothing of it to store
	place []byte       // behind it, nil where nothing follows
	total *int64
	more  bool // there is a page behind it
	err   error
	// confirm is an error where the page may not be delivered any more. It is asked of a page
	// that waited for the one before it.
	confirm func(context.Context) error
}

// end gives back what the page holds.
func (p *jobPage) end() {
	if p.done != nil {
		p.done()
		p.done = nil
	}
	giveParts(p.parts)
	p.parts = nil
}

// hand yields what there is to store of the page, or is its error.
func (p *jobPage) hand(yield func(route.Part) bool) error {
	if p.err != nil || len(p.parts) == 0 {
		return p.err
	}
	return hand(p.parts, p.place, p.total, yield)
}

// A pageReader reads the next page of a sequence and makes its parts, within a turn that it
// takes for the page. It is called for one page at a time.
type pageReader func(ctx context.Context, into *jobPage) error

// read reads a page. A panic is an error of the page, which holds its turn still.
func (read pageReader) read(ctx context.Context, into *jobPage) {
	into.err = dynamics.Guard(func() error { return read(ctx, into) })()
}

// deliver yields a page and all that follow it. While one is being stored the one behind it
// is read, in a goroutine of its own: one page ahead, and never two. What the reader works on
// is its own until that page is there. When deliver returns, no goroutine of it is left and
// nothing holds a turn.
func (read pageReader) deliver(ctx context.Context, page *jobPage, yield func(route.Part) bool) error {
	if !page.more { // as most jobs have it
		defer page.end()
		return page.hand(yield)
	}
	ctx, stop := context.WithCancel(ctx)
	var ahead chan *jobPage
	defer func() {
		stop()
		page.end()
		if ahead != nil {
			(<-ahead).end()
		}
	}()
	for {
		if page.more && page.err == nil {
			next := make(chan *jobPage, 1)
			ahead = next
			go func() {
				behind := &jobPage{}
				read.read(ctx, behind)
				next <- behind
			}()
		}
		err := page.hand(yield)
		page.end()
		if err != nil || ahead == nil {
			return err
		}
		page, ahead = <-ahead, nil
		if page.err == nil && page.confirm != nil {
			page.err = page.confirm(ctx)
		}
	}
}
