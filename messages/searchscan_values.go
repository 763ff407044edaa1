package messages

import (
	"bytes"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

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
