package main

import (
	"bytes"
	"errors"
	"slices"
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
