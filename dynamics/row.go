package dynamics

import (
	"bytes"
	"math"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// rowReader reads rows one after the other into a page. A row is scanned where it stands
// in the window; its values are copied once, to where they are delivered from. No map,
// struct or string is made for a row, and all of the reader's memory is used again.
type rowReader struct {
	window
	nesting nesting // of values that are skipped
	p       *Prepared
	l       *layout
	row     []byte // the row that was scanned, in the window
	at      []span // slot → place in row, the entity tag's behind the others
	mended  []byte // values that are not delivered as they were sent
	order   order
	id      [idLength]byte // of the row
	done    int            // how much of the row has been scanned
	depth   int            // in how many arrays and objects a row's values stand
	extra   int            // by how much choices without labels in the answer can lengthen a row
	text    []byte         // for unquoting
	labels  []byte
}

// A span is a part of a row, or of mended where begin is negative. end 0: not there.
type span struct{ begin, end int32 }

// The slots of members that are no property's.
const (
	slotUnknown = -1
	slotETag    = -2
)

// rowReaders keeps readers with their windows.
var rowReaders = sync.Pool{New: func() any { return new(rowReader) }}

// newRowReader lends a reader, until its release. A row's values stand in depth arrays and
// objects.
func newRowReader(p *Prepared, b *body, depth int) *rowReader {
	r := rowReaders.Get().(*rowReader)
	r.reset(b)
	if r.order.begin(); r.l != p.layout {
		r.order.reset(p.layout)
	}
	r.p, r.l, r.depth = p, p.layout, depth
	if slots := r.l.slotCount() + 1; cap(r.at) < slots {
		r.at = make([]span, slots)
	} else {
		r.at = r.at[:slots]
	}
	r.extra = r.l.frame
	for i := range r.l.members {
		if r.l.members[i].kind == Choice {
			r.extra += p.labelsOf(i).longest
		}
	}
	return r
}

// maxKept bounds each buffer of a reader that is kept, in bytes.
const maxKept = 16 << 10

func (r *rowReader) release() {
	r.window.release()
	if max(cap(r.mended), cap(r.text), cap(r.labels), cap(r.at)*16) > maxKept {
		return
	}
	r.p, r.row = nil, nil
	rowReaders.Put(r)
}

// one reads an answer that is one row.
func (r *rowReader) one(p *Page) error {
	switch c, err := r.next(); {
	case err != nil:
		return err
	case c != '{':
		return pageFault("a row is not a JSON object")
	}
	if err := r.read(p); err != nil {
		return err
	}
	return r.end()
}

// read reads the row that begins where the window is, and appends it to p.
func (r *rowReader) read(p *Page) error {
	clear(r.at)
	r.mended, r.done, r.order.next = r.mended[:0], 1, 0
	for {
		end, err := r.scan(r.window.text(), r.window.at)
		switch {
		case err != nil:
			return err
		case end >= 0:
			r.row = r.buf[r.window.at : end : r.n+scanPad]
			if err := r.finish(p); err != nil {
				return err
			}
			r.window.at = end
			return nil
		}
		if err := r.fault(end); err != nil {
			return err
		}
	}
}

// scan scans the members of the row that begins at w[begin] which have not been scanned
// yet, and returns where the row ends, or a code.
func (r *rowReader) scan(w []byte, begin int) (int, error) {
	i := begin + r.done
	for {
		next, unmarked := r.order.next, false
		if w[i] <= ' ' {
			i = scanSpace(w, i)
		}
		switch {
		case w[i] == '}':
			return i + 1, nil
		case r.done == 1: // the first member
		case w[i] == ',':
			i++
		default:
			return ends(w, i), nil
		}
		slot, value := r.order.expected(w, i)
		if value < 0 {
			var err error
			if slot, value, err = r.name(w, i); err != nil || value < 0 {
				return value, err
			}
		} else if r.echoes != nil {
			if unmarked = !r.order.again(); unmarked {
				// The name stands in what is still to be looked at.
			} else if i-r.looked < echoExact && i >= r.looked { // too short for an echo
				r.looked = value - 1
			} else if err := r.lookBefore(i, value-1); err != nil {
				return 0, err
			}
		}
		if w[value] <= ' ' {
			value = scanSpace(w, value)
		}
		var found marks
		if c := w[value]; c == '"' {
			i, found = scanText(w, value)
		} else if c == '{' || c == '[' {
			i = r.nesting.skip(w, value, r.depth)
		} else {
			i, _ = scanPlain(w, value)
		}
		if i < 0 {
			r.order.next = next // the member is scanned again
			return i, nil
		}
		if unmarked { // only now: the name stands in what is still to be looked at
			r.order.mark()
		}
		r.done = i - begin
		if slot == slotUnknown {
			continue
		}
		if slot == slotETag {
			slot = len(r.at) - 1
		}
		at := &r.at[slot]
		if at.end != 0 {
			return 0, pageFault("a row has one member twice")
		}
		*at = span{int32(value - begin), int32(i - begin)}
		if found&(markWide|markHalf) != 0 {
			if err := r.mend(at, w[value:i], found); err != nil {
				return 0, err
			}
		}
	}
}

// name reads a name that was not expected, up to its value. It returns the code where
// there is none.
func (r *rowReader) name(w []byte, i int) (slot, value int, err error) {
	if i = scanSpace(w, i); w[i] != '"' {
		return 0, ends(w, i), nil
	}
	end, found := scanText(w, i)
	if end < 0 {
		return 0, end, nil
	}
	if value = scanSpace(w, end); w[value] != ':' {
		return 0, ends(w, value), nil
	}
	raw := w[i:end]
	name := raw[1 : len(raw)-1]
	if found != 0 {
		if name, err = jsontext.AppendUnquote(r.text[:0], raw); err != nil {
			return 0, 0, err
		}
		r.text = name
	}
	slot, known := r.l.slots[string(name)]
	switch {
	case known:
	case string(name) == "@odata.etag":
		slot = slotETag
	default:
		slot = slotUnknown
	}
	r.order.learn(raw, slot)
	return slot, value + 1, nil
}

// mend checks a text's UTF-8, and writes U+FFFD for half a surrogate pair.
func (r *rowReader) mend(at *span, raw []byte, found marks) error {
	if found&markWide != 0 && !utf8.Valid(raw) {
		return pageFault("a text is not UTF-8")
	}
	if found&markHalf == 0 {
		return nil
	}
	r.text, _ = jsontext.AppendUnquote(r.text[:0], raw) // the error says what is replaced
	begin := len(r.mended)
	mended, err := jsontext.AppendQuote(r.mended, bytes.ToValidUTF8(r.text, []byte("\uFFFD")))
	if err != nil {
		return err
	}
	r.mended, *at = mended, span{int32(-1 - begin), int32(len(mended))}
	return nil
}

// member returns what is in a slot, as it is delivered; nil if absent or null.
func (r *rowReader) member(slot int) []byte {
	s := r.at[slot]
	switch {
	case s.end == 0:
		return nil
	case s.begin < 0:
		return r.mended[-1-s.begin : s.end]
	case r.row[s.begin] == 'n':
		return nil
	}
	return r.row[s.begin:s.end]
}

// raw returns a part of property i.
func (r *rowReader) raw(i, part int) []byte { return r.member(i*parts + part) }

// finish writes the row that was read.
func (r *rowReader) finish(p *Page) error {
	if r.l.deleted > 0 && r.isDeleted() {
		return r.finishDeleted(p)
	}
	moment := int64(noMoment)
	if r.p.moments {
		var err error
		if moment, err = r.moment(); err != nil {
			return err
		}
	}
	if !lowerGUID(&r.id, r.raw(r.l.idAt, partValue)) {
		return pageFault("a row has no " + r.p.table.Key)
	}
	if err := p.begin(r.body, r.p); err != nil {
		return err
	}
	dst, err := p.store.room(r.body, r.most())
	if err != nil {
		return err
	}
	if dst, err = r.write(dst); err != nil {
		return err
	}
	tag := r.member(len(r.at) - 1)
	if r.at[len(r.at)-1].end != 0 && (tag == nil || tag[0] != '"') {
		return pageFault("a row's entity tag is not a text")
	}
	at, err := p.store.add(r.body, dst, tag)
	if err != nil {
		return err
	}
	at.key, at.moment, at.id = r.key(), moment, r.id
	return nil
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
	const short = 4 << 10
	n := len(r.row) + len(r.mended)
	if n > short { // most of it may be what nobody asked for
		n = 0
		for _, s := range r.at {
			if s.begin < 0 {
				s.begin = -1 - s.begin
			}
			n += int(s.end - s.begin)
		}
	}
	if n += r.extra + putAtOnce; !r.l.several {
		return n
	}
	for i := range r.l.members {
		if m := &r.l.members[i]; m.kind == Choices {
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
	at, members := r.at, r.l.members
	for i := range members {
		m := &members[i]
		dst = put(dst, m.head)
		var raw []byte
		if s := at[m.source*parts]; s.begin >= 0 {
			raw = r.row[s.begin:s.end]
		} else {
			raw = r.mended[-1-s.begin : s.end]
		}
		if len(raw) == 0 || raw[0] == 'n' {
			dst = append(dst, "null"...)
			continue
		}
		if isPlain(m.kind, raw) {
			dst = put(dst, raw)
			continue
		}
		var err error
		if dst, err = r.value(dst, i, raw); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}
