package dynamics

import (
	"bytes"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// The oracle reads a page as it was read before there was a scanner: token by token, with
// jsontext, each value copied into scratch and out again. What it takes for a page, a value
// and an error is what the scanner must.

// An oraclePage is what there is to know of a page.
type oraclePage struct {
	rows        []oracleRow
	gone        []string
	next, delta string
	count       int64
	counted     bool
}

type oracleRow struct {
	text, id, tag string
	key           uint64
	moment        int64
}

// oracleOf reads a page.
func oracleOf(b *body, q *Prepared) (*oraclePage, error) {
	p, r := &oraclePage{}, newOracle(q)
	err := withDecoder(b, func(d *jsontext.Decoder) error {
		seen, err := oracleCollection(d, p, r)
		if err == nil && !seen {
			return pageFault(`the answer has no "value"`)
		}
		return err
	})
	return p, err
}

func oracleCollection(d *jsontext.Decoder, p *oraclePage, r *oracle) (seen bool, err error) {
	if err := expect(d, '{', "the answer is not a JSON object"); err != nil {
		return false, err
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return seen, err
		}
		switch name.String() {
		case "value":
			if seen {
				return seen, pageFault(`the answer has two members "value"`)
			}
			seen = true
			if err := oracleRows(d, p, r); err != nil {
				return seen, err
			}
		case "@odata.nextLink":
			if p.next, err = readString(d); err != nil {
				return seen, err
			}
		case "@odata.deltaLink":
			if p.delta, err = readString(d); err != nil {
				return seen, err
			}
		case "@odata.count":
			if err := p.readCount(d); err != nil {
				return seen, err
			}
		case "error": // begun with 200, failed on the way
			return seen, pageFault("the answer ends in an error")
		default:
			if err := d.SkipValue(); err != nil {
				return seen, err
			}
		}
	}
	_, err = d.ReadToken()
	return seen, err
}

func oracleRows(d *jsontext.Decoder, p *oraclePage, r *oracle) error {
	if err := expect(d, '[', `"value" is not an array`); err != nil {
		return err
	}
	for d.PeekKind() == '{' {
		if len(p.rows)+len(p.gone) == MaxPageSize { // whatever was asked for, Dataverse gives no more
			return pageFault("the page has more than 5000 rows")
		}
		if err := r.read(d, p); err != nil {
			return err
		}
	}
	return expect(d, ']', `"value" holds something that is not a row`)
}

func (p *oraclePage) readCount(d *jsontext.Decoder) error {
	v, err := d.ReadValue()
	if err != nil {
		return err
	}
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil {
		return pageFault("the count is not a whole number")
	}
	p.count, p.counted = n, n >= 0
	return nil
}

// oracle reads rows one after the other into a page, reusing its buffers: no
// map, struct or string is made for a row.
type oracle struct {
	p       *Prepared
	l       *layout
	scratch []byte       // the raw values of the row's slots
	at      []oracleSpan // slot → place in scratch
	etag    oracleSpan
	order   []oracleName // names in the order of the row before
	text    []byte       // for unquoting
	labels  []byte
}

type oracleSpan struct{ begin, end int } // end 0: not there

// oracleName is a name as it came in the row before. Rows of one answer have the
// same names in the same order but for missing labels, which makes a comparison
// cheaper than a map.
type oracleName struct {
	raw  []byte
	slot int
}

func newOracle(p *Prepared) *oracle {
	l := p.layout
	slots := l.slotCount()
	return &oracle{p: p, l: l, at: make([]oracleSpan, slots), order: make([]oracleName, 0, slots+1)}
}

// read reads one object and appends it to p.
func (r *oracle) read(d *jsontext.Decoder, p *oraclePage) error {
	if err := expect(d, '{', "a row is not a JSON object"); err != nil {
		return err
	}
	clear(r.at)
	r.scratch, r.etag = r.scratch[:0], oracleSpan{}
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
		begin := len(r.scratch)
		if r.scratch, err = r.keep(v); err != nil {
			return err
		}
		*place = oracleSpan{begin, len(r.scratch)}
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	return r.finish(p)
}

// keep appends a value to scratch, with U+FFFD for half a surrogate pair.
func (r *oracle) keep(v jsontext.Value) ([]byte, error) {
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
func (r *oracle) slot(raw []byte, next *int) (int, error) {
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
		r.order = append(r.order, oracleName{})
		copy(r.order[at+1:], r.order[at:])
		if slot < 0 || !bytes.Equal(raw, r.l.quoted[slot]) {
			raw = bytes.Clone(raw)
		} else {
			raw = r.l.quoted[slot]
		}
		r.order[at] = oracleName{raw: raw, slot: slot}
		*next = at + 1
	}
	return slot, nil
}

// raw returns a part of property i as it was sent, nil if absent or null.
func (r *oracle) raw(i, part int) []byte {
	s := r.at[i*parts+part]
	if s.end == 0 || r.scratch[s.begin] == 'n' {
		return nil
	}
	return r.scratch[s.begin:s.end]
}

// finish writes the row that was read.
func (r *oracle) finish(p *oraclePage) error {
	if r.l.deleted > 0 && r.isDeleted() {
		return r.finishDeleted(p)
	}
	at := oracleRow{key: r.key(), moment: noMoment}
	if r.p.moments {
		var err error
		if at.moment, err = r.moment(); err != nil {
			return err
		}
	}
	id, ok := oracleGUID(nil, r.raw(r.l.idAt, partValue))
	if !ok {
		return pageFault("a row has no " + r.p.table.Key)
	}
	at.id = string(id)
	text, err := r.write(nil)
	if err != nil {
		return err
	}
	at.text = string(text)
	if r.etag.end != 0 {
		raw := r.scratch[r.etag.begin:r.etag.end]
		if raw[0] != '"' {
			return pageFault("a row's entity tag is not a text")
		}
		tag, err := jsontext.AppendUnquote(nil, raw)
		if err != nil {
			return err
		}
		at.tag = string(tag)
	}
	p.rows = append(p.rows, at)
	return nil
}
