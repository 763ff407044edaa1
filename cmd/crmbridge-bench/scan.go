package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"unicode/utf8"
)

// errNotJSON is a page that is not JSON, or not the one shape that a page of rows has.
var errNotJSON = errors.New("the page is not JSON of a page's shape")

// A scanner reads a page of rows once, strictly, and writes what is wanted of it: what RFC 8259
// does not allow is an error, and so is text that is not UTF-8. It is the bare loop's own, so
// that the baseline does not move with what it is compared with.
type scanner struct {
	in []byte
	at int

	wanted map[string]string // names of members of a row that are written, and under which names
	shape  []member          // of the row before
	out    []byte
	most   int    // bytes of a message, unless one row alone is larger
	parts  []span // messages in out
	rows   int
}

// A span is a part of a buffer, from its first byte up to the one behind its last.
type span struct{ from, to int }

// A member is one of a row, as rows have it in the same place as a rule.
type member struct {
	name []byte // with quotes and colon
	out  []byte // the same of what is written; nil where nothing is
}

// What stands around the rows of a message.
const opening, closing = `{"value":[`, `]}`

// page reads the whole of a page and writes the rows of its array "value".
func (s *scanner) page() error {
	s.at, s.rows, s.parts, s.out = 0, 0, s.parts[:0], s.out[:0]
	seen := false
	err := s.object(func(name []byte) error {
		if string(name) != "value" || seen {
			return s.value(1)
		}
		seen = true
		return s.list()
	})
	if err != nil || !seen {
		return errNotJSON
	}
	if s.blank(); s.at != len(s.in) {
		return errNotJSON
	}
	return nil
}

// list reads the array of rows.
func (s *scanner) list() error {
	if !s.take('[') {
		return errNotJSON
	}
	if s.blank(); s.take(']') {
		return nil
	}
	from := 0 // of the message
	for s.out = append(s.out, opening...); ; s.out = append(s.out, ',') {
		row := len(s.out)
		s.blank()
		if err := s.row(); err != nil {
			return err
		}
		s.rows++
		if len(s.out)+len(closing)-from > s.most && row > from+len(opening) {
			s.parts = append(s.parts, span{from, row - 1 + len(closing)})
			from = row - 1 + len(closing)
			s.out = slices.Insert(s.out, row, []byte(closing[1:]+opening)...)
			s.out[row-1] = closing[0] // in place of the comma
		}
		s.blank()
		if s.take(']') {
			s.out = append(s.out, closing...)
			s.parts = append(s.parts, span{from, len(s.out)})
			return nil
		}
		if !s.take(',') {
			return errNotJSON
		}
	}
}

// row reads a row and writes what is wanted of it. Names are looked for where the row before
// had them.
func (s *scanner) row() error {
	if !s.take('{') {
		return errNotJSON
	}
	begin := len(s.out)
	s.out = append(s.out, '{')
	if s.blank(); s.take('}') {
		s.out = append(s.out, '}')
		return nil
	}
	for i := 0; ; i++ {
		s.blank()
		if i == len(s.shape) {
			s.shape = append(s.shape, member{})
		}
		m := &s.shape[i]
		if len(m.name) > 0 && bytes.HasPrefix(s.in[s.at:], m.name) {
			s.at += len(m.name)
		} else if err := s.name(m); err != nil {
			return err
		}
		s.blank()
		from := s.at
		if err := s.value(3); err != nil {
			return err
		}
		if m.out != nil {
			if len(s.out) > begin+1 {
				s.out = append(s.out, ',')
			}
			s.out = append(append(s.out, m.out...), s.in[from:s.at]...)
		}
		s.blank()
		if s.take(',') {
			continue
		}
		if !s.take('}') {
			return errNotJSON
		}
		s.out = append(s.out, '}')
		return nil
	}
}

// name reads a member's name, and what becomes of it.
func (s *scanner) name(m *member) error {
	from := s.at
	if err := s.text(); err != nil {
		return err
	}
	name := s.in[from+1 : s.at-1]
	if s.blank(); !s.take(':') {
		return errNotJSON
	}
	*m = member{name: append(append([]byte{'"'}, name...), '"', ':')}
	if out, ok := s.wanted[string(name)]; ok {
		m.out = []byte(`"` + out + `":`)
	}
	return nil
}

// object reads an object whose members' values are read by member.
func (s *scanner) object(member func(name []byte) error) error {
	if s.blank(); !s.take('{') {
		return errNotJSON
	}
	if s.blank(); s.take('}') {
		return nil
	}
	for {
		s.blank()
		from := s.at + 1
		if err := s.text(); err != nil {
			return err
		}
		name := s.in[from : s.at-1]
		if s.blank(); !s.take(':') {
			return errNotJSON
		}
		if s.blank(); s.at >= len(s.in) {
			return errNotJSON
		}
		if err := member(name); err != nil {
			return err
		}
		s.blank()
		if s.take('}') {
			return nil
		}
		if !s.take(',') {
			return errNotJSON
		}
	}
}

// deepest is how many values may hold each other.
const deepest = 64

// value reads any value, whose first byte is at hand.
func (s *scanner) value(depth int) error {
	if s.at >= len(s.in) || depth > deepest {
		return errNotJSON
	}
	switch c := s.in[s.at]; c {
	case '"':
		return s.text()
	case '{':
		return s.members(depth)
	case '[':
		return s.items(depth)
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	default:
		return s.number()
	}
}

// members reads an object of any values. It is [scanner.object] without a call for each.
func (s *scanner) members(depth int) error {
	s.at++ // the bracket
	if s.blank(); s.take('}') {
		return nil
	}
	for {
		s.blank()
		if err := s.text(); err != nil {
			return err
		}
		if s.blank(); !s.take(':') {
			return errNotJSON
		}
		s.blank()
		if err := s.value(depth + 1); err != nil {
			return err
		}
		s.blank()
		if s.take(',') {
			continue
		}
		if s.take('}') {
			return nil
		}
		return errNotJSON
	}
}

func (s *scanner) items(depth int) error {
	s.at++ // the bracket
	if s.blank(); s.take(']') {
		return nil
	}
	for {
		s.blank()
		if err := s.value(depth + 1); err != nil {
			return err
		}
		s.blank()
		if s.take(',') {
			continue
		}
		if s.take(']') {
			return nil
		}
		return errNotJSON
	}
}

// blank goes over white space, of which pages have none as a rule.
func (s *scanner) blank() {
	for s.at < len(s.in) && s.in[s.at] <= ' ' {
		switch s.in[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return
		}
	}
}

func (s *scanner) take(c byte) bool {
	if s.at < len(s.in) && s.in[s.at] == c {
		s.at++
		return true
	}
	return false
}

func (s *scanner) word(w string) error {
	if len(s.in)-s.at < len(w) || string(s.in[s.at:s.at+len(w)]) != w {
		return errNotJSON
	}
	s.at += len(w)
	return nil
}

// text reads a string with its quotes, eight bytes at a time where they are plain ASCII.
func (s *scanner) text() error {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	in, at := s.in, s.at
	if at >= len(in) || in[at] != '"' {
		return errNotJSON
	}
	at++
	from, ascii := at, true
	for {
		for len(in)-at >= 8 {
			w := binary.LittleEndian.Uint64(in[at:])
			quote, slash := w^(ones*'"'), w^(ones*'\\')
			// A top bit is set for a quote, a backslash, a control character or what is not ASCII.
			// A borrow may set one behind the first such byte, never before it.
			if ((quote-ones)|(slash-ones)|(w-ones*' ')|w)&tops != 0 {
				break
			}
			at += 8
		}
		// The byte that stopped the loop is among the next eight.
		for at < len(in) && plain[in[at]] {
			at++
		}
		if at >= len(in) {
			return errNotJSON
		}
		switch c := in[at]; {
		case c == '"':
			if !ascii && !utf8.Valid(in[from:at]) {
				return errNotJSON
			}
			s.at = at + 1
			return nil
		case c == '\\':
			n := escape(in[at:])
			if n == 0 {
				return errNotJSON
			}
			at += n
		case c < ' ':
			return errNotJSON
		default:
			ascii = false
			for at < len(in) && in[at] >= utf8.RuneSelf {
				at++
			}
		}
	}
}

// plain are the bytes that stand for themselves in a string, of ASCII.
var plain = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// escape is how many bytes an escape sequence takes; 0 where it is none.
func escape(in []byte) int {
	if len(in) < 2 {
		return 0
	}
	switch in[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(in) < 6 {
			return 0
		}
		for _, c := range in[2:6] {
			if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
				return 0
			}
		}
		return 6
	}
	return 0
}

// number reads a number by the grammar.
func (s *scanner) number() error {
	in, at := s.in, s.at
	if at < len(in) && in[at] == '-' {
		at++
	}
	begun := at
	at = digits(in, at)
	if at == begun || in[begun] == '0' && at-begun > 1 {
		return errNotJSON
	}
	if at < len(in) && in[at] == '.' {
		begun = at + 1
		if at = digits(in, begun); at == begun {
			return errNotJSON
		}
	}
	if at < len(in) && in[at]|0x20 == 'e' {
		if at++; at < len(in) && (in[at] == '+' || in[at] == '-') {
			at++
		}
		begun = at
		if at = digits(in, begun); at == begun {
			return errNotJSON
		}
	}
	s.at = at
	return nil
}

func digits(in []byte, at int) int {
	for at < len(in) && in[at]-'0' <= 9 {
		at++
	}
	return at
}
