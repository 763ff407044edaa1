package dynamics

import (
	"bytes"
	"math"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// rowReader reads rows one after the other into a page, reusing its buffers: no
// map, struct or string is made for a row.
type rowReader struct {
	p       *Prepared
	l       *layout
	b       *body
	scratch []byte // the raw values of the row's slots
	at      []span // slot → place in scratch
	etag    span
	order   []expected // names in the order of the row before
	text    []byte     // for unquoting
	labels  []byte
	longest int // of the values so far
}

type span struct{ begin, end int } // end 0: not there

// expected is a name as it came in the row before. Rows of one answer have the
// same names in the same order but for missing labels, which makes a comparison
// cheaper than a map.
type expected struct {
	raw  []byte
	slot int
}

const (
	slotUnknown = -1
	slotETag    = -2
)

func newRowReader(p *Prepared, b *body) *rowReader {
	l := p.layout
	slots := l.slotCount()
	return &rowReader{p: p, l: l, b: b, at: make([]span, slots), order: make([]expected, 0, slots+1)}
}

// read reads one object and appends it to p.
func (r *rowReader) read(d *jsontext.Decoder, p *Page) error {
	if err := expect(d, '{', "a row is not a JSON object"); err != nil {
		return err
	}
	clear(r.at)
	r.scratch, r.etag = r.scratch[:0], span{}
	next := 0
	for d.PeekKind() != '}' {
		name, err := d.ReadValue()
		if err != nil {
			return err
		}
		slot, err := r.slot(name, &next)
		if err != nil {
			return err
		}
		if slot == slotUnknown {
			if err := d.SkipValue(); err != nil {
				return err
			}
			continue
		}
		place := &r.etag
		if slot >= 0 {
			place = &r.at[slot]
		}
		if place.end != 0 {
			return pageFault("a row has one member twice")
		}
		v, err := d.ReadValue()
		if err != nil {
			return err
		}
		if err := r.fit(len(v)); err != nil {
			return err
		}
		begin := len(r.scratch)
		if r.scratch, err = r.keep(v); err != nil {
			return err
		}
		*place = span{begin, len(r.scratch)}
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	return r.finish(p)
}

// fit makes room for a value of n bytes in scratch, and for what is made of it on the
// way: small rows have it anyway.
func (r *rowReader) fit(n int) error {
	const small = 32 << 10
	if n > max(r.longest, small) {
		if err := r.b.hold(r.b.work, 2*int64(n-r.longest)); err != nil {
			return err
		}
		r.longest = n
	}
	size := len(r.scratch) + n
	if size <= max(cap(r.scratch), small) {
		return nil
	}
	size += min(size, 1<<20)
	if err := r.b.hold(r.b.work, int64(size)); err != nil {
		return err
	}
	old := int64(cap(r.scratch))
	r.scratch = append(make([]byte, 0, size), r.scratch...)
	if old > small {
		r.b.work.Shrink(old)
	}
	return nil
}

// keep appends a value to scratch, with U+FFFD for half a surrogate pair.
func (r *rowReader) keep(v jsontext.Value) ([]byte, error) {
	switch {
	case v[0] != '"':
		return append(r.scratch, v...), nil
	case !utf8.Valid(v):
		return nil, pageFault("a text is not UTF-8")
	case !bytes.Contains(v, []byte(`\ud`)) && !bytes.Contains(v, []byte(`\uD`)):
		return append(r.scratch, v...), nil
	}
	r.text, _ = jsontext.AppendUnquote(r.text[:0], v) // the error says what is replaced
	return jsontext.AppendQuote(r.scratch, bytes.ToValidUTF8(r.text, []byte("\uFFFD")))
}

// slot finds where the member with this raw, quoted name belongs.
func (r *rowReader) slot(raw []byte, next *int) (int, error) {
	// A missing label makes the row one or two names shorter: look a bit ahead.
	for i := *next; i < len(r.order) && i < *next+3; i++ {
		if bytes.Equal(r.order[i].raw, raw) {
			*next = i + 1
			return r.order[i].slot, nil
		}
	}
	name, err := jsontext.AppendUnquote(r.text[:0], raw)
	if err != nil {
		return 0, err
	}
	r.text = name
	slot, ok := r.l.slots[string(name)]
	switch {
	case ok:
	case string(name) == "@odata.etag":
		slot = slotETag
	default:
		slot = slotUnknown
	}
	if len(r.order) < 4*parts*len(r.l.properties)+16 { // bounded whatever comes
		at := min(*next, len(r.order))
		r.order = append(r.order, expected{})
		copy(r.order[at+1:], r.order[at:])
		if slot < 0 || !bytes.Equal(raw, r.l.quoted[slot]) {
			raw = bytes.Clone(raw)
		} else {
			raw = r.l.quoted[slot]
		}
		r.order[at] = expected{raw: raw, slot: slot}
		*next = at + 1
	}
	return slot, nil
}

// raw returns a part of property i as it was sent, nil if absent or null.
func (r *rowReader) raw(i, part int) []byte {
	s := r.at[i*parts+part]
	if s.end == 0 || r.scratch[s.begin] == 'n' {
		return nil
	}
	return r.scratch[s.begin:s.end]
}

// finish writes the row that was read.
func (r *rowReader) finish(p *Page) error {
	if r.l.deleted > 0 && r.isDeleted() {
		return r.finishDeleted(p)
	}
	at := place{key: r.key(), moment: noMoment}
	if r.p.moments {
		var err error
		if at.moment, err = r.moment(); err != nil {
			return err
		}
	}
	if _, ok := appendGUID(at.id[:0], r.raw(r.l.idAt, partValue)); !ok {
		return pageFault("a row has no " + r.p.table.Key)
	}
	dst, block, err := p.store.room(r.b, r.most())
	if err != nil {
		return err
	}
	dst, err = r.write(dst)
	if err != nil {
		return err
	}
	at.data = len(dst)
	if r.etag.end != 0 {
		raw := r.scratch[r.etag.begin:r.etag.end]
		if raw[0] != '"' {
			return pageFault("a row's entity tag is not a text")
		}
		if dst, err = jsontext.AppendUnquote(dst, raw); err != nil {
			return err
		}
	}
	at.etag = len(dst)
	return p.store.add(r.b, block, dst, at)
}

// noMoment is the moment of a row that has none.
const noMoment = math.MinInt64

// moment reads the value that rows are ordered by first.
func (r *rowReader) moment() (int64, error) {
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

// most is about as long as the row that was read can be when it is written. Only
// choices get longer, by labels that the answer does not have.
func (r *rowReader) most() int {
	n := len(r.scratch) + r.l.frame
	for i := range r.l.members {
		switch m := &r.l.members[i]; r.l.kinds[m.source] {
		case Choice:
			n += r.p.labelsOf(i).longest
		case Choices:
			n += (1 + bytes.Count(r.raw(m.source, partValue), []byte{','})) * (choiceFrame + r.p.labelsOf(i).longest)
		}
	}
	return n
}

// key digests what the row is ordered by: the values as they were sent, and of
// lookups the name, by which Dataverse orders them.
func (r *rowReader) key() uint64 {
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

func (r *rowReader) write(dst []byte) ([]byte, error) {
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
