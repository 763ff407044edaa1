package main

import (
	"encoding/binary"
	"errors"
	"unicode/utf8"
)

// errNotJSON is a page that is not JSON, or not the one shape that a page of rows has.
var errNotJSON = errors.New("the page is not JSON of a page's shape")

// A scanner reads a page of rows once, strictly: what RFC 8259 does not allow is an error, and
// so is text that is not UTF-8. It is the bare loop's own, so that the baseline does not move
// with what it is compared with.
type scanner struct {
	in []byte
	at int
	// begin and end are where messages of the page's rows may be cut: each is a run of whole
	// rows of at most most bytes, unless one row alone is larger.
	most  int
	parts []span
	rows  int
}

// A span is a part of a page, from its first byte up to the one behind its last.
type span struct{ from, to int }

// page reads the whole of a page. Its parts are those of the array "value".
func (s *scanner) page() error {
	s.at, s.rows, s.parts = 0, 0, s.parts[:0]
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

// list reads the array of rows and notes where messages end.
func (s *scanner) list() error {
	if !s.take('[') {
		return errNotJSON
	}
	if s.blank(); s.take(']') {
		return nil
	}
	var part span
	for {
		s.blank()
		from := s.at
		if s.at >= len(s.in) || s.in[s.at] != '{' {
			return errNotJSON
		}
		if err := s.value(2); err != nil {
			return err
		}
		s.rows++
		switch {
		case part.to == 0:
			part = span{from, s.at}
		case s.at-part.from > s.most:
			s.parts = append(s.parts, part)
			part = span{from, s.at}
		default:
			part.to = s.at
		}
		s.blank()
		if s.take(']') {
			s.parts = append(s.parts, part)
			return nil
		}
		if !s.take(',') {
			return errNotJSON
		}
	}
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
