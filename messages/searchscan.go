package messages

import (
	"bytes"
	"slices"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Most requests are searches, and most of these are plain: known members, short texts
// without escapes, no null. Such a body is read here in one pass, with a handful of
// allocations. On any doubt the package json reads it instead, from the beginning: it
// decides what is wrong, and with what words. FuzzSearchScan holds the two together.

// Bounds of what is read here. Beyond them a body may be valid all the same.
const (
	maxScanned      = 64 << 10 // of a body in bytes; maxText and MaxCursor are no less
	maxScannedNodes = 2 * MaxWhereLeaves
)

// A searchScan reads one body of a SearchRequest. Its methods report false on doubt.
type searchScan struct {
	body []byte
	at   int

	text string // body: strings of the request are cut out of it
	raw  []byte // body or a copy, which values are cut out of; nil before the first

	// Nodes of the filter in one piece of memory. What is complete lies at its beginning;
	// the members of lists that are not complete lie at its end, the latest first.
	nodes          []Where
	done, open     int
	leaves, values int

	memory *SearchMemory // nil where there is none
	named  int           // names of the memory that are used
}

// A SearchMemory has room for what a usual search consists of; see [Codec.DecodeIn]. Its zero
// value is empty.
type SearchMemory struct {
	nodes [8]Where
	names [16]string
}

// scanSearch reads body, or reports false. shared says that values may be parts of body.
func scanSearch(body []byte, in *SearchRequest, shared bool, memory *SearchMemory) bool {
	if len(body) > maxScanned {
		return false
	}
	s := searchScan{body: body, text: string(body), memory: memory}
	if shared {
		s.raw = body
	}
	if s.search(in) && s.end() {
		return true
	}
	*in = SearchRequest{}
	return false
}

// The members of a search and of a node, as bits of what has been read.
const (
	seenConnection = 1 << iota
	seenWhere
	seenFields
	seenOrderBy
	seenPageSize
	seenCursor
	seenLimit
	seenIncludeTotal
	seenMode
	seenAnd
	seenOr
	seenNot
	seenField
	seenOp
	seenValue
)

func (s *searchScan) search(in *SearchRequest) bool {
	seen := 0
	for more := s.opens('{', '}'); more; more = s.goesOn() {
		name, ok := s.name()
		if !ok {
			return false
		}
		bit := 0
		switch name {
		case "connection":
			bit = seenConnection
			in.Connection, ok = s.string()
		case "where":
			bit = seenWhere
			in.Where, ok = s.where()
		case "fields":
			bit = seenFields
			in.Fields, ok = s.strings(MaxFields)
		case "order_by":
			bit = seenOrderBy
			in.OrderBy, ok = s.strings(MaxOrderBy)
		case "page_size":
			bit = seenPageSize
			in.PageSize, ok = s.count()
		case "cursor":
			bit = seenCursor
			in.Cursor, ok = s.string()
		case "limit":
			bit = seenLimit
			in.Limit, ok = s.count()
		case "include_total":
			bit = seenIncludeTotal
			in.IncludeTotal, ok = s.bool()
		case "mode":
			bit = seenMode
			in.Mode, ok = s.string()
		}
		if !ok || bit == 0 || seen&bit != 0 {
			return false
		}
		seen |= bit
	}
	return s.closed('}')
}

// where reads a filter. Each node has a brace, so that their number is known before.
func (s *searchScan) where() (*Where, bool) {
	if s.nodes != nil { // twice, which is found later
		return nil, false
	}
	n := bytes.Count(s.body[s.at:], []byte{'{'})
	if n > maxScannedNodes {
		return nil, false
	}
	s.nodes, s.open = s.nodesFor(n), n
	if !s.node(1) {
		return nil, false
	}
	return &s.settle(1)[0], true
}

func (s *searchScan) nodesFor(n int) []Where {
	if s.memory != nil && n <= len(s.memory.nodes) {
		return s.memory.nodes[:n:n]
	}
	return make([]Where, n)
}

// node reads a node and leaves it as the latest of the open ones.
func (s *searchScan) node(depth int) bool {
	if depth > MaxWhereDepth {
		return false
	}
	var w Where
	seen := 0
	for more := s.opens('{', '}'); more; more = s.goesOn() {
		name, ok := s.name()
		if !ok {
			return false
		}
		bit := 0
		switch name {
		case "and":
			bit = seenAnd
			w.And, ok = s.list(depth)
		case "or":
			bit = seenOr
			w.Or, ok = s.list(depth)
		case "not":
			bit = seenNot
			if ok = s.node(depth + 1); ok {
				w.Not = &s.settle(1)[0]
			}
		case "field":
			bit = seenField
			w.Field, ok = s.string()
		case "op":
			bit = seenOp
			var op string
			op, ok = s.string()
			w.Op = Op(op)
			s.leaves++
		case "value":
			bit = seenValue
			w.Value, ok = s.value()
		}
		if !ok || bit == 0 || seen&bit != 0 || s.leaves > MaxWhereLeaves {
			return false
		}
		seen |= bit
	}
	if !s.closed('}') {
		return false
	}
	s.open--
	s.nodes[s.open] = w
	return true
}

// list reads the members of and or or.
func (s *searchScan) list(depth int) ([]Where, bool) {
	n := 0
	for more := s.opens('[', ']'); more; more = s.goesOn() {
		if !s.node(depth + 1) {
			return nil, false
		}
		n++
	}
	return s.settle(n), s.closed(']')
}

// settle moves the n latest open nodes to those that are complete, in their order. The two
// places may overlap.
func (s *searchScan) settle(n int) []Where {
	from, open := s.done, s.nodes[s.open:s.open+n]
	slices.Reverse(open)
	copy(s.nodes[from:], open)
	s.done += n
	s.open += n
	clear(s.nodes[max(s.done, s.open-n):s.open])
	return s.nodes[from:s.done:s.done]
}

// value reads a scalar or a list of scalars, as it is written.
func (s *searchScan) value() (jsontext.Value, bool) {
	s.space()
	begin := s.at
	if s.at < len(s.body) && s.body[s.at] == '[' {
		for more := s.opens('[', ']'); more; more = s.goesOn() {
			if !s.scalar() {
				return nil, false
			}
		}
		if !s.closed(']') {
			return nil, false
		}
	} else if !s.scalar() {
		return nil, false
	}
	if s.raw == nil {
		s.raw = bytes.Clone(s.body)
	}
	return s.raw[begin:s.at:s.at], true
}

// scalar passes over a text, a number, true or false.
func (s *searchScan) scalar() bool {
	if s.values++; s.values > MaxWhereValues {
		return false
	}
	s.space()
	if s.at == len(s.body) {
		return false
	}
	begin := s.at
	switch s.body[s.at] {
	case '"':
		plain, ok := s.quoted()
		return ok && (plain || jsontext.Value(s.body[begin:s.at]).IsValid())
	case 't', 'f':
		_, ok := s.bool()
		return ok
	default:
		return s.number()
	}
}

// number passes over a number: -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?
func (s *searchScan) number() bool {
	s.accept('-')
	if !s.accept('0') && s.digits() == 0 {
		return false
	}
	if s.accept('.') && s.digits() == 0 {
		return false
	}
	if s.accept('e') || s.accept('E') {
		_ = s.accept('+') || s.accept('-')
		return s.digits() > 0
	}
	return true
}

// digits passes over digits and counts them.
func (s *searchScan) digits() int {
	begin := s.at
	for s.at < len(s.body) && s.body[s.at] >= '0' && s.body[s.at] <= '9' {
		s.at++
	}
	return s.at - begin
}

func (s *searchScan) accept(c byte) bool {
	if s.at < len(s.body) && s.body[s.at] == c {
		s.at++
		return true
	}
	return false
}

// count reads a whole number from 1 on that has room in any int.
func (s *searchScan) count() (Count, bool) {
	s.space()
	begin := s.at
	if n := s.digits(); n == 0 || n > 9 || s.body[begin] == '0' {
		return 0, false
	}
	n := 0
	for _, c := range s.body[begin:s.at] {
		n = 10*n + int(c-'0')
	}
	return Count(n), true // what follows must be a comma or an end
}

func (s *searchScan) bool() (is, ok bool) {
	s.space()
	switch rest := s.body[s.at:]; {
	case bytes.HasPrefix(rest, []byte("true")):
		s.at += len("true")
		return true, true
	case bytes.HasPrefix(rest, []byte("false")):
		s.at += len("false")
		return false, true
	}
	return false, false
}

// strings reads a list of at most so many texts.
func (s *searchScan) strings(most int) ([]string, bool) {
	end := bytes.IndexByte(s.body[s.at:], ']')
	if end < 0 {
		return nil, false
	}
	n := bytes.Count(s.body[s.at:s.at+end], []byte{','}) + 1
	if n > most {
		return nil, false
	}
	list := s.namesFor(n)
	for more := s.opens('[', ']'); more; more = s.goesOn() {
		text, ok := s.string()
		if !ok || len(list) == most {
			return nil, false
		}
		list = append(list, text)
	}
	return list, s.closed(']')
}

// namesFor is an empty list with room for n names.
func (s *searchScan) namesFor(n int) []string {
	if s.memory == nil || n > len(s.memory.names)-s.named {
		return make([]string, 0, n)
	}
	s.named += n
	return s.memory.names[s.named-n : s.named-n : s.named]
}

// string reads a text without escapes.
func (s *searchScan) string() (string, bool) {
	s.space()
	begin := s.at
	plain, ok := s.quoted()
	if !plain || !ok {
		return "", false
	}
	return s.text[begin+1 : s.at-1], true
}

// name reads a member's name and the colon.
func (s *searchScan) name() (string, bool) {
	name, ok := s.string()
	s.space()
	return name, ok && s.accept(':')
}

// quoted passes over a text; plain says that it holds no escape, and is valid.
func (s *searchScan) quoted() (plain, ok bool) {
	if !s.accept('"') {
		return false, false
	}
	begin, wide := s.at, false
	plain = true
	for ; s.at < len(s.body); s.at++ {
		switch c := s.body[s.at]; {
		case c == '"':
			s.at++
			return plain && (!wide || utf8.Valid(s.body[begin:s.at-1])), true
		case c == '\\':
			plain = false
			s.at++
		case c < ' ':
			return false, false
		case c >= utf8.RuneSelf:
			wide = true
		}
	}
	return false, false
}

// space passes over white space.
func (s *searchScan) space() {
	for s.at < len(s.body) {
		switch s.body[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return
		}
	}
}

// opens passes over the beginning of an object or an array, and reports whether it has a
// member. Where it does not begin, or has none, closed is what tells.
func (s *searchScan) opens(open, end byte) bool {
	s.space()
	if !s.accept(open) {
		s.at = len(s.body)
		return false
	}
	s.space()
	return s.at < len(s.body) && s.body[s.at] != end
}

// goesOn passes over a comma, and reports whether there was one.
func (s *searchScan) goesOn() bool {
	s.space()
	return s.accept(',')
}

// closed passes over the end of an object or an array.
func (s *searchScan) closed(end byte) bool { return s.accept(end) }

// end reports whether nothing follows.
func (s *searchScan) end() bool {
	s.space()
	return s.at == len(s.body)
}
