package dynamics

// A page that is streamed goes into messages whole. Its rows then stand in blocks of a
// message's size, with room for what a message has around them, so that they need not be
// copied once more: in a page of 5000 rows that is a copy of 1.6 MB from memory that no cache
// holds any more, and a buffer for each stream.

// Messages says into what messages the rows of a page go, in bytes. The zero value says
// nothing of them.
type Messages struct {
	Size int // of a message at most
	Head int // what stands before its rows at most
	Tail int // and behind them
}

const (
	messageMost  = 1 << 20   // the usual max_payload of a NATS server
	messageLeast = 512 << 10 // what is much smaller than its block would waste memory
	// messageBlock has room for the row with which a message would be too long.
	messageBlock = messageMost + 16<<10
)

// framed reports whether rows are laid out for messages. Where the client takes short answers
// only, they are not: a page's blocks are bounded by that.
func (m Messages) framed(b *body) bool {
	return m.Size >= messageLeast && m.Size <= messageMost && m.Head >= 0 && m.Tail >= 0 &&
		m.Head+m.Tail <= m.Size/4 && b.most >= 4*messageBlock
}

// rows is how many bytes of a message rows may take.
func (m Messages) rows() int { return m.Size - m.Head - m.Tail }

// messageBlock is a block of a message, with an empty text where its rows begin.
func (s *pageStore) messageBlock(b *body) (block, text []byte, err error) {
	if err := s.take(b, messageBlock); err != nil {
		return nil, nil, err
	}
	kept := messageBlocks.Get().(*[messageBlock]byte)
	s.messages = append(s.messages, kept)
	begin := s.frame.Head
	return kept[:], kept[begin : begin : messageBlock-s.frame.Tail], nil
}

// framedRoom is room for a row that goes into a message. The first rows move to the block of
// theirs when there are enough of them.
func (s *pageStore) framedRoom(b *body) ([]byte, error) {
	var block, text []byte
	if s.made == 2 {
		second, err := s.secondBlock(b)
		if err != nil {
			return nil, err
		}
		text = second[:0]
	} else {
		var err error
		if block, text, err = s.messageBlock(b); err != nil {
			return nil, err
		}
	}
	if s.block = block; !s.grows || len(s.pieces) > 1 {
		s.fresh, s.grows = text, len(s.pieces) == 0 && block == nil
		return text, nil
	}
	s.grows = block == nil
	p := &s.pieces[0]
	p.block, p.text = block, append(text, p.text...)
	return p.text[len(p.text)+1 : len(p.text)+1 : cap(p.text)], nil
}

// overflows reports whether a row is too long for the message of the current piece.
func (s *pageStore) overflows(row int) bool {
	p := &s.pieces[s.current]
	return p.block != nil && len(p.text)+1+row > s.frame.rows()
}

// nextMessage moves a row into a message of its own.
func (s *pageStore) nextMessage(b *body, written []byte, begin int) (int32, error) {
	block, text, err := s.messageBlock(b)
	if err != nil {
		return 0, err
	}
	s.made++
	s.pieces = append(s.pieces, piece{append(text, written...), begin, block})
	s.current = len(s.pieces) - 1
	return int32(s.current), nil
}

// Message returns n rows from the first on with commas between, head before and tail behind
// them, where they stand in the page so that nothing but these has to be written; else nil,
// as for a page that was read by a query without Messages or that several calls have. What it
// returns is the page's memory, and good until the page is released.
func (p *Page) Message(first, n int, head, tail []byte) []byte {
	if n <= 0 || p.shared {
		return nil
	}
	s := p.store
	from, to := s.at(first), s.at(first+n-1)
	at := &s.pieces[from.piece]
	if at.block == nil || at.begin != from.begin || to.piece != from.piece || to.end-at.begin != len(at.text) ||
		len(head) > s.frame.Head || len(tail) > s.frame.Tail {
		return nil
	}
	begin, end := s.frame.Head-len(head), s.frame.Head+len(at.text)
	copy(at.block[begin:], head)
	return append(at.block[begin:end], tail...)
}
