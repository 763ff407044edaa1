package dynamics

import "sync"

// Rows stand in blocks: a page that grows never copies what it has, needs no memory
// for both copies at once, and reserves nothing for rows that have not come. A row
// stands in one block, and a long one in a block of its own.
const (
	leastBlock = 8 << 10
	blockSize  = 256 << 10
	rowsAtOnce = 64 // places of rows and ids that are made at once
)

// blocks keeps blocks of pages that were released, full-sized ones only: what the
// collector does not need elsewhere goes to the next page.
var blocks = sync.Pool{New: func() any { return new([blockSize]byte) }}

// places does the same with places.
var places = sync.Pool{New: func() any { return new([rowsAtOnce]place) }}

// A place is where a row stands.
type place struct {
	block             int
	begin, data, etag int // the row is [begin:data], its entity tag [data:etag]
	key               uint64
	id                [idLength]byte
}

// A pageStore holds the bytes of a page.
type pageStore struct {
	blocks  [][]byte // what has been written of them
	current int      // the block that short rows go to
	rows    []*[rowsAtOnce]place
	deleted []*[rowsAtOnce][idLength]byte
	n, gone int // rows and deleted rows
}

// at returns row i's place.
func (s *pageStore) at(i int) *place { return &s.rows[i/rowsAtOnce][i%rowsAtOnce] }

// room returns an empty slice that n bytes can be appended to, and the block that
// they will stand in.
func (s *pageStore) room(n int) (dst []byte, block int) {
	if len(s.blocks) > 0 {
		if b := s.blocks[s.current]; cap(b)-len(b) >= n {
			return b[len(b):], s.current
		}
	}
	switch size := s.next(n); {
	case n > blockSize/8: // alone, so that little of the current block is left unused
		s.blocks = append(s.blocks, make([]byte, 0, n))
		if len(s.blocks) == 1 {
			s.current = 0
		}
	case size == blockSize:
		s.blocks = append(s.blocks, blocks.Get().(*[blockSize]byte)[:0])
		s.current = len(s.blocks) - 1
	default:
		s.blocks = append(s.blocks, make([]byte, 0, size))
		s.current = len(s.blocks) - 1
	}
	return s.blocks[len(s.blocks)-1], len(s.blocks) - 1
}

// next is the size of the next block for short rows: small pages take little.
func (s *pageStore) next(n int) int {
	size := leastBlock
	if len(s.blocks) > 0 {
		size = 2 * cap(s.blocks[s.current])
	}
	return min(max(size, 4*n), blockSize)
}

// add keeps a row that was written into the room of a block.
func (s *pageStore) add(block int, written []byte, at place) {
	if b := s.blocks[block]; cap(written) == cap(b)-len(b) { // written where there was room for it
		at.block, at.begin = block, len(b)
		s.blocks[block] = b[:len(b)+len(written)]
	} else {
		at.block, at.begin = len(s.blocks), 0
		s.blocks = append(s.blocks, written)
	}
	at.data, at.etag = at.data+at.begin, at.etag+at.begin
	if s.n%rowsAtOnce == 0 {
		s.rows = append(s.rows, places.Get().(*[rowsAtOnce]place))
	}
	s.n++
	*s.at(s.n - 1) = at
}

// drop keeps the id of a deleted row.
func (s *pageStore) drop(id [idLength]byte) {
	if s.gone%rowsAtOnce == 0 {
		s.deleted = append(s.deleted, new([rowsAtOnce][idLength]byte))
	}
	s.deleted[s.gone/rowsAtOnce][s.gone%rowsAtOnce] = id
	s.gone++
}

// release gives the blocks to pages that are read later.
func (s *pageStore) release() {
	for _, b := range s.blocks {
		if cap(b) == blockSize {
			blocks.Put((*[blockSize]byte)(b[:blockSize]))
		}
	}
	for _, at := range s.rows {
		places.Put(at)
	}
	*s = pageStore{}
}

// Release gives the page's memory to a page that is read later. Neither the page
// nor a slice that Row returned may be used after it; it need not be called. A page
// that several calls share is left to the collector.
func (p *Page) Release() {
	if p.shared {
		return
	}
	p.store.release()
	*p = Page{}
}
