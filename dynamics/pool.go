package dynamics

import (
	"fmt"
	"sync"
	"unsafe"
)

// Rows stand in blocks, one behind the other with commas between: a page that grows never
// copies what it has, needs no memory for both copies at once, and reserves nothing for
// rows that have not come. A row stands in one block, and a long one in a block of its own.
const (
	firstBlock  = 8 << 10 // what a page has in any case
	secondBlock = 64 << 10
	blockSize   = 256 << 10
	firstTags   = 2 << 10 // bytes of entity tags that a page has room for in any case
	firstRows   = 64      // and places
	rowsAtOnce  = 512     // places that are made at once afterwards
)

// What pages had that were released goes to the next ones, as far as the collector does not
// need it elsewhere. Nothing of it can be read before it has been written again.
var (
	stores       = sync.Pool{New: func() any { return new(pageStore) }}
	secondBlocks = sync.Pool{New: func() any { return new([secondBlock]byte) }}
	blocks       = sync.Pool{New: func() any { return new([blockSize]byte) }}
	places       = sync.Pool{New: func() any { return new([rowsAtOnce]place) }}

	messageBlocks = sync.Pool{New: func() any { return new([messageBlock]byte) }}
)

// A place is where a row stands.
type place struct {
	begin, end  int   // in the page's rows with the commas between, as in a piece
	piece       int32 // that it is in
	tags        int32 // its entity tag, tags[tags][tag:tagEnd]
	tag, tagEnd int32
	key         uint64
	moment      int64 // see Page.Moment
	id          [idLength]byte
}

// A piece is a run of rows that stand one behind the other.
type piece struct {
	text  []byte
	begin int    // of its first row, as in a place
	block []byte // of the message that its rows go into, nil where they go into none
}

// A pageStore holds a page's rows.
type pageStore struct {
	pieces  []piece
	current int    // the piece that short rows are added to
	fresh   []byte // the block of the next piece, nil where the row goes to the current one
	alone   bool   // the next row has a block of its own
	made    int    // blocks for short rows
	tags    [][]byte
	rows    []*[rowsAtOnce]place // the places behind the first
	n, end  int                  // rows, and what they take with the commas between
	deleted []*[firstRows][idLength]byte
	gone    int   // deleted rows
	size    int64 // of the blocks

	seconds []*[secondBlock]byte
	blocks  []*[blockSize]byte

	frame    Messages // for what the rows are laid out, if for anything
	messages []*[messageBlock]byte
	block    []byte // of the piece that fresh becomes
	grows    bool   // the first piece, into larger blocks

	firstBlock [firstBlock]byte
	firstTags  [firstTags]byte
	firstRows  [firstRows]place
}

// begin makes the store of a page that has a row.
func (p *Page) begin(b *body, q *Prepared) (err error) {
	if p.store == nil {
		if p.store, err = newPageStore(b); err == nil && q.query.Messages.framed(b) {
			p.store.frame = q.query.Messages
		}
	}
	return err
}

func newPageStore(b *body) (*pageStore, error) {
	if err := b.hold(b.kept, int64(unsafe.Sizeof(pageStore{}))); err != nil {
		return nil, err
	}
	s := stores.Get().(*pageStore)
	s.tags = append(s.tags, s.firstTags[:0])
	return s, nil
}

// at returns row i's place.
func (s *pageStore) at(i int) *place {
	if uint(i) >= uint(s.n) {
		panic("dynamics: the page has no such row")
	}
	return s.placeOf(i)
}

func (s *pageStore) placeOf(i int) *place {
	if i < firstRows {
		return &s.firstRows[i]
	}
	i -= firstRows
	return &s.rows[i/rowsAtOnce][i%rowsAtOnce]
}

// row returns the text of row i.
func (s *pageStore) row(i int) []byte {
	at := s.at(i)
	p := &s.pieces[at.piece]
	return p.text[at.begin-p.begin : at.end-p.begin : at.end-p.begin]
}

// appendRows appends the rows from first to last, with commas between.
func (s *pageStore) appendRows(dst []byte, first, last int) []byte {
	at, end := s.at(first), s.at(last).end
	begin := at.begin
	for i := at.piece; ; i++ {
		p := &s.pieces[i]
		text := p.text[begin-p.begin : min(end-p.begin, len(p.text))]
		dst = append(dst, text...)
		if begin += len(text) + 1; begin > end {
			return dst
		}
		dst = append(dst, ',')
	}
}

// room returns an empty slice that n bytes can be appended to, for add.
func (s *pageStore) room(b *body, n int) ([]byte, error) {
	if s.fresh = nil; len(s.pieces) > 0 {
		if text := s.pieces[s.current].text; cap(text)-len(text) > n {
			return text[len(text)+1 : len(text)+1 : cap(text)], nil
		}
	}
	if s.alone = n > blockSize/8; s.alone { // so that little of the current block is left unused
		if err := s.take(b, n); err != nil {
			return nil, err
		}
		s.fresh, s.grows = make([]byte, 0, n), false
		return s.fresh, nil
	}
	if s.made == 0 && n > firstBlock {
		s.made = 1
	}
	if s.made++; s.made > 1 && s.frame.Size > 0 {
		return s.framedRoom(b)
	}
	switch s.made {
	case 1: // newPageStore has counted it
		s.fresh, s.grows = s.firstBlock[:0], len(s.pieces) == 0
	case 2:
		block, err := s.secondBlock(b)
		if err != nil {
			return nil, err
		}
		s.fresh = block[:0]
	default:
		if err := s.take(b, blockSize); err != nil {
			return nil, err
		}
		block := blocks.Get().(*[blockSize]byte)
		s.blocks = append(s.blocks, block)
		s.fresh = block[:0]
	}
	return s.fresh, nil
}

func (s *pageStore) secondBlock(b *body) (*[secondBlock]byte, error) {
	if err := s.take(b, secondBlock); err != nil {
		return nil, err
	}
	block := secondBlocks.Get().(*[secondBlock]byte)
	s.seconds = append(s.seconds, block)
	return block, nil
}

// take asks for memory. A page must not become longer than an answer may be: names
// and labels make rows longer than they came.
func (s *pageStore) take(b *body, n int) error {
	more := int64(blockSize)
	if s.frame.Size > 0 {
		more = 2 * messageBlock
	}
	if s.size += int64(n); s.size > b.most+more {
		return &Error{Kind: TooLarge, Message: fmt.Sprintf("the rows of the answer are longer than %d bytes", b.most),
			Err: errBodyTooLarge}
	}
	return b.hold(b.kept, int64(n))
}

// add keeps a row that was written into the room that there was last, with its entity tag.
// What else is known of it (its key, moment and id) belongs into the place that it returns, which
// may have been another row's.
func (s *pageStore) add(b *body, written, rowTag []byte) (*place, error) {
	begin := s.end
	if s.n > 0 {
		begin++
	}
	tags, tag, err := s.addTag(b, rowTag)
	if err != nil {
		return nil, err
	}
	if i := s.n - firstRows; i >= 0 && i%rowsAtOnce == 0 {
		if err := b.hold(b.kept, int64(unsafe.Sizeof([rowsAtOnce]place{}))); err != nil {
			return nil, err
		}
		s.rows = append(s.rows, places.Get().(*[rowsAtOnce]place))
	}
	piece, err := s.addText(b, written, begin)
	if err != nil {
		return nil, err
	}
	at := s.placeOf(s.n)
	at.begin, at.end, at.piece = begin, begin+len(written), piece
	at.tags, at.tag, at.tagEnd = tags, tag, tag+int32(len(rowTag))
	s.n, s.end = s.n+1, at.end
	return at, nil
}

// addText adds a row to a piece, or makes one of it.
func (s *pageStore) addText(b *body, written []byte, begin int) (int32, error) {
	room := cap(s.fresh)
	if s.fresh == nil {
		text := s.pieces[s.current].text
		if room = cap(text) - len(text) - 1; cap(written) == room && s.current == len(s.pieces)-1 {
			if s.overflows(len(written)) {
				return s.nextMessage(b, written, begin)
			}
			text = text[:len(text)+1+len(written)]
			text[len(text)-len(written)-1] = ','
			s.pieces[s.current].text = text
			return int32(s.current), nil
		}
	}
	var block []byte
	if s.fresh != nil && !s.alone && cap(written) == room {
		block = s.block
	}
	s.pieces = append(s.pieces, piece{written, begin, block})
	last := len(s.pieces) - 1
	if cap(written) != room { // it came out longer than it should
		return int32(last), s.take(b, cap(written))
	}
	if !s.alone || s.fresh == nil {
		s.current = last
	}
	return int32(last), nil
}

// addTag keeps an entity tag.
func (s *pageStore) addTag(b *body, tag []byte) (tags, at int32, err error) {
	last := &s.tags[len(s.tags)-1]
	if len(tag) > cap(*last)-len(*last) {
		var room []byte
		if len(tag) > secondBlock/8 {
			if err := s.take(b, len(tag)); err != nil {
				return 0, 0, err
			}
			room = make([]byte, 0, len(tag))
		} else {
			block, err := s.secondBlock(b)
			if err != nil {
				return 0, 0, err
			}
			room = block[:0]
		}
		s.tags = append(s.tags, room)
		last = &s.tags[len(s.tags)-1]
	}
	at = int32(len(*last))
	*last = append(*last, tag...)
	return int32(len(s.tags) - 1), at, nil
}

// drop keeps the id of a deleted row.
func (s *pageStore) drop(b *body, id [idLength]byte) error {
	if s.gone%firstRows == 0 {
		if err := b.hold(b.kept, firstRows*idLength); err != nil {
			return err
		}
		s.deleted = append(s.deleted, new([firstRows][idLength]byte))
	}
	s.deleted[s.gone/firstRows][s.gone%firstRows] = id
	s.gone++
	return nil
}

// maxPieces bounds the pieces for which a store keeps room.
const maxPieces = 64

// release gives the memory to pages that are read later.
func (s *pageStore) release() {
	for _, block := range s.seconds {
		secondBlocks.Put(block)
	}
	for _, block := range s.blocks {
		blocks.Put(block)
	}
	for _, block := range s.messages {
		messageBlocks.Put(block)
	}
	for _, at := range s.rows {
		places.Put(at)
	}
	clear(s.messages)
	s.frame, s.messages, s.block = Messages{}, s.messages[:0], nil
	s.grows = false
	clear(s.seconds)
	clear(s.blocks)
	clear(s.rows)
	clear(s.pieces)
	clear(s.tags)
	if cap(s.pieces) > maxPieces {
		s.pieces = nil
	}
	s.seconds, s.blocks, s.rows, s.pieces, s.tags = s.seconds[:0], s.blocks[:0], s.rows[:0], s.pieces[:0], s.tags[:0]
	s.current, s.fresh, s.alone, s.made = 0, nil, false, 0
	s.n, s.end, s.deleted, s.gone, s.size = 0, 0, nil, 0, 0
	stores.Put(s)
}

// Release gives the page's memory to a page that is read later. Neither the page
// nor a slice that Row returned may be used after it; it need not be called. A page
// that several calls share is left to the collector.
func (p *Page) Release() {
	if p.store != nil && !p.shared {
		p.store.release()
	}
	p.lease.Close()
	*p = Page{}
}
