package messages

import (
	"bytes"
	"slices"
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
