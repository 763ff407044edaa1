package dynamics

import (
	"fmt"
	"sync"
	"unsafe"
)

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
	moment            int64 // see Page.Moment
	id                [idLength]byte
}

// A pageStore holds the bytes of a page.
type pageStore struct {
	blocks  [][]byte // what has been written of them
	current int      // the block that short rows go to
	rows    []*[rowsAtOnce]place
	deleted []*[rowsAtOnce][idLength]byte
	n, gone int   // rows and deleted rows
	size    int64 // of the blocks
}

// at returns row i's place.
func (s *pageStore) at(i int) *place { return &s.rows[i/rowsAtOnce][i%rowsAtOnce] }

// room returns an empty slice that n bytes can be appended to, and the block that
// they will stand in.
func (s *pageStore) room(b *body, n int) (dst []byte, block int, err error) {
	if len(s.blocks) > 0 {
		if b := s.blocks[s.current]; cap(b)-len(b) >= n {
			return b[len(b):], s.current, nil
		}
	}
	alone := n > blockSize/8 // so that little of the current block is left unused
	size := s.next(n)
	if alone {
		size = n
	}
	if err := s.take(b, int64(size)); err != nil {
		return nil, 0, err
	}
	switch {
	case alone:
		s.blocks = append(s.blocks, make([]byte, 0, n))
	case size == blockSize:
		s.blocks = append(s.blocks, blocks.Get().(*[blockSize]byte)[:0])
		s.current = len(s.blocks) - 1
	default:
		s.blocks = append(s.blocks, make([]byte, 0, size))
		s.current = len(s.blocks) - 1
	}
	return s.blocks[len(s.blocks)-1], len(s.blocks) - 1, nil
}

// take asks for memory. A page must not become longer than an answer may be: names
// and labels make rows longer than they came.
func (s *pageStore) take(b *body, n int64) error {
	if s.size += n; s.size > b.most+blockSize {
		return &Error{Kind: TooLarge, Message: fmt.Sprintf("the rows of the answer are longer than %d bytes", b.most),
			Err: errBodyTooLarge}
	}
	return b.hold(b.kept, n)
}

// next is the size of the next block for short rows: small pages take little.
func (s *pageStore) next(n int) int {
	size := leastBlock
	if len(s.blocks) > 0 {
		size = 8 * cap(s.blocks[s.current])
	}
	return min(max(size, 4*n), blockSize)
}

// add keeps a row that was written into the room of a block.
func (s *pageStore) add(b *body, block int, written []byte, at place) error {
	if in := s.blocks[block]; cap(written) == cap(in)-len(in) { // written where there was room for it
		at.block, at.begin = block, len(in)
		s.blocks[block] = in[:len(in)+len(written)]
	} else {
		if err := s.take(b, int64(cap(written))); err != nil { // it came out longer than it should
			return err
		}
		at.block, at.begin = len(s.blocks), 0
		s.blocks = append(s.blocks, written)
	}
	at.data, at.etag = at.data+at.begin, at.etag+at.begin
	if s.n%rowsAtOnce == 0 {
		if err := b.hold(b.kept, int64(unsafe.Sizeof([rowsAtOnce]place{}))); err != nil {
			return err
		}
		s.rows = append(s.rows, places.Get().(*[rowsAtOnce]place))
	}
	s.n++
	*s.at(s.n - 1) = at
	return nil
}

// drop keeps the id of a deleted row.
func (s *pageStore) drop(b *body, id [idLength]byte) error {
	if s.gone%rowsAtOnce == 0 {
		if err := b.hold(b.kept, rowsAtOnce*idLength); err != nil {
			return err
		}
		s.deleted = append(s.deleted, new([rowsAtOnce][idLength]byte))
	}
	s.deleted[s.gone/rowsAtOnce][s.gone%rowsAtOnce] = id
	s.gone++
	return nil
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
	if !p.shared {
		p.store.release()
	}
	p.lease.Close()
	*p = Page{}
}
