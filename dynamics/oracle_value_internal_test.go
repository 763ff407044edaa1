package dynamics

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// moment reads the value that rows are ordered by first.
func (r *oracle) moment() (int64, error) {
	raw := r.raw(r.l.keys[0], partValue)
	if raw == nil {
		return noMoment, nil
	}
	at, err := time.Parse(time.RFC3339, string(bytes.Trim(raw, `"`)))
	if err != nil {
		return 0, pageFault("column " + r.l.properties[r.l.keys[0]] + " does not hold a date and time")
	}
	return at.Unix(), nil // rounds down before 1970 too
}

// key digests what the row is ordered by: the values as they were sent, and of
// lookups the name, by which Dataverse orders them.
func (r *oracle) key() uint64 {
	const offset, prime = 14695981039346656037, 1099511628211 // FNV-1a: the same in every process
	sum := uint64(offset)
	for _, at := range r.l.keys {
		for part := range parts - 1 {
			for _, c := range r.raw(at, part) {
				sum = (sum ^ uint64(c)) * prime
			}
			sum = (sum ^ 0xff) * prime // no JSON holds this byte: parts cannot run together
		}
	}
	return sum
}

func (r *oracle) write(dst []byte) ([]byte, error) {
	dst = append(dst, '{')
	var err error
	for i := range r.l.members {
		m := &r.l.members[i]
		dst = append(dst, m.head...)
		if dst, err = r.value(dst, i); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

// value appends one output member's value. What the column's type does not allow
// is an unusable answer: a planner must not get a wrong value in a right place.
func (r *oracle) value(dst []byte, i int) ([]byte, error) {
	m := &r.l.members[i]
	raw := r.raw(m.source, partValue)
	if raw == nil {
		return append(dst, "null"...), nil
	}
	switch r.l.kinds[m.source] {
	case Text, DateTime, Date:
		if raw[0] == '"' {
			return append(dst, raw...), nil
		}
	case Integer, BigInt:
		if isWhole(raw) {
			return append(dst, raw...), nil
		}
	case Decimal, Double, Money:
		if raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9' {
			return append(dst, raw...), nil // digit for digit
		}
	case Boolean:
		if raw[0] == 't' || raw[0] == 'f' {
			return append(dst, raw...), nil
		}
	case Choice:
		if isWhole(raw) {
			return r.choice(dst, m, raw, r.p.labelsOf(i).texts)
		}
	case Choices:
		if raw[0] == '"' {
			return r.choices(dst, m, raw, r.p.labelsOf(i).texts)
		}
	case UniqueID:
		dst = append(dst, '"')
		if id, ok := oracleGUID(dst, raw); ok {
			return append(id, '"'), nil
		}
	case Lookup:
		return r.lookup(dst, m, raw)
	}
	return nil, r.wrongType(m)
}

func (r *oracle) wrongType(m *member) error {
	return pageFault("column " + r.l.properties[m.source] + " does not hold a " + r.l.kinds[m.source].String())
}

// annotation returns a part that must be a text; nil if absent.
func (r *oracle) annotation(m *member, part int) ([]byte, error) {
	raw := r.raw(m.source, part)
	if raw != nil && raw[0] != '"' {
		return nil, pageFault("an annotation of column " + r.l.properties[m.source] + " is not a text")
	}
	return raw, nil
}

func (r *oracle) choice(dst []byte, m *member, raw []byte, labels map[int]string) ([]byte, error) {
	label, err := r.annotation(m, partLabel)
	if err != nil {
		return nil, err
	}
	dst = append(append(dst, `{"value":`...), raw...)
	dst = append(dst, `,"label":`...)
	if label != nil {
		dst = append(dst, label...)
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
func (r *oracle) choices(dst []byte, m *member, raw []byte, known map[int]string) ([]byte, error) {
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
func (r *oracle) apart(options map[int]string) bool {
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

func (r *oracle) lookup(dst []byte, m *member, raw []byte) ([]byte, error) {
	name, err := r.annotation(m, partLabel)
	if err != nil {
		return nil, err
	}
	table, err := r.annotation(m, partTable)
	if err != nil {
		return nil, err
	}
	id, ok := oracleGUID(append(dst, `{"id":"`...), raw)
	if !ok {
		return nil, r.wrongType(m)
	}
	dst = orNull(append(id, `","name":`...), name)
	dst = orNull(append(dst, `,"entity":`...), table)
	return append(dst, '}'), nil
}

// oracleGUID appends a quoted GUID without its quotes and in lower case.
func oracleGUID(dst, raw []byte) ([]byte, bool) {
	if len(raw) != idLength+2 || raw[0] != '"' {
		return dst, false
	}
	begin := len(dst)
	for i, c := range raw[1 : idLength+1] {
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return dst[:begin], false
			}
		case c >= 'A' && c <= 'F':
			c |= 0x20
		case (c < '0' || c > '9') && (c < 'a' || c > 'f'):
			return dst[:begin], false
		}
		dst = append(dst, c)
	}
	return dst, true
}

// isDeleted reports whether the entry is a $deletedEntity tombstone.
func (r *oracle) isDeleted() bool {
	context := r.unquoted(deletedContext)
	return bytes.HasSuffix(context, []byte("/$deletedEntity"))
}

// finishDeleted keeps the id of a deleted row: a bare GUID, or as OData allows it
// the address of the row, which ends in the key in parentheses.
func (r *oracle) finishDeleted(p *oraclePage) error {
	id := r.unquoted(deletedID)
	if begin := bytes.LastIndexByte(id, '('); begin >= 0 && bytes.HasSuffix(id, []byte{')'}) {
		id = id[begin+1 : len(id)-1]
	}
	quoted := append(append([]byte{'"'}, id...), '"')
	one, ok := oracleGUID(nil, quoted)
	if !ok {
		return pageFault("a deleted row has no id")
	}
	p.gone = append(p.gone, string(one))
	return nil
}

// unquoted returns a text of a deleted row; nil where there is none.
func (r *oracle) unquoted(part int) []byte {
	s := r.at[r.l.deleted+part]
	if s.end == 0 || r.scratch[s.begin] != '"' {
		return nil
	}
	text, err := jsontext.AppendUnquote(r.text[:0], r.scratch[s.begin:s.end])
	if err != nil {
		return nil
	}
	r.text = text
	return text
}
