package main

import (
	"encoding/binary"
	"unicode/utf8"
)

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
