package dynamics

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// isPlain reports whether a value of a column of this type is delivered as it was sent.
func isPlain(kind ColumnType, raw []byte) bool {
	switch c := raw[0]; kind {
	case Text, DateTime, Date:
		return c == '"'
	case Integer, BigInt:
		return isWhole(raw)
	case Decimal, Double, Money: // digit for digit
		return c == '-' || isDigit(c)
	case Boolean:
		return c == 't' || c == 'f'
	}
	return false
}

// value appends the value of an output member that is not plain. What the column's type
// does not allow is an unusable answer: a planner must not get a wrong value in a right
// place.
func (r *rowReader) value(dst []byte, i int, raw []byte) ([]byte, error) {
	m := &r.l.members[i]
	switch m.kind {
	case Choice:
		if isWhole(raw) {
			return r.choice(dst, m, raw, r.p.labelsOf(i).texts)
		}
	case Choices:
		if raw[0] == '"' {
			return r.choices(dst, m, raw, r.p.labelsOf(i).texts)
		}
	case UniqueID:
		dst, id := putGUID(append(dst, '"'))
		if m.source == r.l.idAt {
			*id = r.id
		} else if !lowerGUID(id, raw) {
			return nil, r.wrongType(m)
		}
		return append(dst, '"'), nil
	case Lookup:
		return r.lookup(dst, m, raw)
	}
	return nil, r.wrongType(m)
}

func (r *rowReader) wrongType(m *member) error {
	return pageFault("column " + r.l.properties[m.source] + " does not hold a " + m.kind.String())
}

// annotation returns a part that must be a text; nil if absent.
func (r *rowReader) annotation(m *member, part int) ([]byte, error) {
	raw := r.raw(m.source, part)
	if raw != nil && raw[0] != '"' {
		return nil, pageFault("an annotation of column " + r.l.properties[m.source] + " is not a text")
	}
	return raw, nil
}

func (r *rowReader) choice(dst []byte, m *member, raw []byte, labels map[int]string) ([]byte, error) {
	label, err := r.annotation(m, partLabel)
	if err != nil {
		return nil, err
	}
	dst = put(append(dst, `{"value":`...), raw)
	dst = append(dst, `,"label":`...)
	if label != nil {
		dst = put(dst, label)
	} else {
		n, _ := strconv.Atoi(string(raw))
		dst = quoted(dst, labels[n])
	}
	return append(dst, '}'), nil
}

// choices writes "2,3" with the label of each value.
//
// The labels come joined, "A; B", and how many there are does not tell which is
// whose: a label may hold the separator, and an option that was deleted leaves its
// number in the row and perhaps no label. So each value has the label that metadata
// gives it, unless the joined labels can be told apart: then they are those of now,
// and metadata may be some minutes old.
func (r *rowReader) choices(dst []byte, m *member, raw []byte, known map[int]string) ([]byte, error) {
	label, err := r.annotation(m, partLabel)
	if err != nil {
		return nil, err
	}
	if r.text, err = jsontext.AppendUnquote(r.text[:0], raw); err != nil {
		return nil, err
	}
	r.labels = r.labels[:0]
	if label != nil {
		if r.labels, err = jsontext.AppendUnquote(r.labels, label); err != nil {
			return nil, err
		}
	}
	values, labels := r.text, r.labels
	agree := r.apart(known)
	dst = append(dst, '[')
	for first, more := true, len(values) > 0; more; first = false {
		var one, text []byte
		one, values, more = bytes.Cut(values, []byte{','})
		text, labels, _ = bytes.Cut(labels, []byte("; "))
		one = bytes.TrimSpace(one)
		n, err := strconv.Atoi(string(one))
		if err != nil || !isWhole(one) {
			return nil, r.wrongType(m)
		}
		if !first {
			dst = append(dst, ',')
		}
		dst = append(append(dst, `{"value":`...), one...)
		dst = append(dst, `,"label":`...)
		if agree {
			dst, _ = jsontext.AppendQuote(dst, text)
		} else {
			dst = quoted(dst, known[n])
		}
		dst = append(dst, '}')
	}
	return append(dst, ']'), nil
}

// apart reports whether each value of r.text has its part of r.labels. There must be
// as many parts as values, and none of the labels that metadata knows may hold the
// separator. Where metadata does not know a value, which may then have no label, the
// others must stand where they should.
func (r *rowReader) apart(options map[int]string) bool {
	if len(r.labels) == 0 || bytes.Count(r.labels, []byte("; ")) != bytes.Count(r.text, []byte{','}) {
		return false
	}
	labels, all, same := r.labels, true, true
	for one := range bytes.SplitSeq(r.text, []byte{','}) {
		var text []byte
		text, labels, _ = bytes.Cut(labels, []byte("; "))
		n, _ := strconv.Atoi(string(bytes.TrimSpace(one)))
		known := options[n]
		if strings.Contains(known, "; ") {
			return false
		}
		all = all && known != ""
		same = same && (known == "" || known == string(text))
	}
	return all || same
}

func (r *rowReader) lookup(dst []byte, m *member, raw []byte) ([]byte, error) {
	name, err := r.annotation(m, partLabel)
	if err != nil {
		return nil, err
	}
	table, err := r.annotation(m, partTable)
	if err != nil {
		return nil, err
	}
	dst, id := putGUID(append(dst, `{"id":"`...))
	if !lowerGUID(id, raw) {
		return nil, r.wrongType(m)
	}
	dst = orNull(append(dst, `","name":`...), name)
	dst = orNull(append(dst, `,"entity":`...), table)
	return append(dst, '}'), nil
}

func orNull(dst, raw []byte) []byte {
	if raw == nil {
		return append(dst, "null"...)
	}
	return put(dst, raw)
}

// quoted appends s as a JSON string; what is not UTF-8 in it is replaced.
func quoted(dst []byte, s string) []byte {
	out, err := jsontext.AppendQuote(dst, s)
	if err != nil {
		out, _ = jsontext.AppendQuote(dst, strings.ToValidUTF8(s, "\uFFFD"))
	}
	return out
}

// isWhole reports whether a JSON value is a number of digits only.
func isWhole(raw []byte) bool {
	if len(raw) > 0 && raw[0] == '-' {
		raw = raw[1:]
	}
	for _, c := range raw {
		if !isDigit(c) {
			return false
		}
	}
	return len(raw) > 0
}
