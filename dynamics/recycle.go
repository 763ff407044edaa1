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
	p.data, p.ids, p.etags, p.keys, p.rows = p.data[:0], p.ids[:0], p.etags[:0], p.keys[:0], p.rows[:0]
	p.next, p.count, p.counted = "", 0, false
	pages.Put(p)
}
