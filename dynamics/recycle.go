package dynamics

import "sync"

// pages keeps the buffers of pages that were released: a long search then needs
// those of one or two pages, and not of as many as the collector lets pile up.
var pages = sync.Pool{New: func() any { return new(Page) }}

// maxKept bounds what one page may keep in bytes: a huge one must not stay for ever.
const maxKept = 16 << 20

// Release gives the page's buffers to a page that is read later. Neither the page
// nor a slice that Row returned may be used after it; it need not be called. A page
// that several calls share is left to the collector.
func (p *Page) Release() {
	if cap(p.data) > maxKept || p.shared {
		return
	}
	*p = Page{data: p.data[:0], ids: p.ids[:0], etags: p.etags[:0], keys: p.keys[:0], rows: p.rows[:0], deleted: p.deleted[:0]}
	pages.Put(p)
}
