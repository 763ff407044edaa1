package dynamics

import (
	"errors"
	"io"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	// maxValue bounds one text or number of an answer in bytes. Dataverse's longest
	// text has 1,048,576 characters, of which JSON makes six bytes each at most
	// (https://learn.microsoft.com/power-apps/maker/data-platform/types-of-fields).
	// The decoder holds a value whole, in a buffer that doubles.
	maxValue = 8 << 20
	// maxSmallBody bounds an answer of one row or number, whose form is known, in bytes.
	maxSmallBody = 128 << 10
	// smallBuffer is what a decoder's buffer has in any case; see exchangeBuffers.
	smallBuffer = 16 << 10
)

// decoders keeps their read buffers: growing one for each page costs more than
// reading a small page does.
var decoders = sync.Pool{New: func() any { return new(jsontext.Decoder) }}

// withDecoder lends read a decoder over b and insists that the document is the
// whole answer. Escapes that are not Unicode are let in, since SQL Server keeps
// half of an emoji that was cut at a column's length; rows mend what they use.
// Names are not checked for duplicates by the decoder, which would cost a third
// more, and remember all names of an object; rows check those that they use.
func withDecoder(b *body, read func(*jsontext.Decoder) error, options ...jsontext.Options) error {
	d := decoders.Get().(*jsontext.Decoder)
	d.Reset(&watched{body: b, d: d, begin: b.read},
		append([]jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}, options...)...)
	defer func() {
		d.Reset(eofReader{})
		if cap(d.UnreadBuffer()) <= smallBuffer { // what one huge value needed must not stay
			decoders.Put(d)
		}
	}()
	if err := read(d); err != nil {
		return err
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return pageFault("there is trailing data after the answer's JSON")
	}
	return nil
}

type eofReader struct{}

func (eofReader) Read([]byte) (int, error) { return 0, io.EOF }

// watched bounds what a decoder buffers: each value, and all of it by the budget.
type watched struct {
	*body
	d     *jsontext.Decoder
	begin int64
	held  int64
}

// Read is called when the decoder's buffer holds no whole token. Before it is filled
// there must be room for its double, which the decoder makes of it next, in addition to it.
func (w *watched) Read(p []byte) (int, error) {
	value := w.read - w.begin - w.d.InputOffset()
	if value > maxValue && w.err == nil {
		w.err = pageFault("a value is longer than any that Dataverse keeps")
	}
	if need := 3 * (value + int64(len(p))); need > max(w.held, 3*smallBuffer) && w.err == nil {
		w.err = w.hold(w.work, need-w.held)
		w.held = need
	}
	return w.body.Read(p[:min(int64(len(p)), max(maxValue+1-value, 0))]) // one more shows a value that is longer
}

// into reads one small JSON document and nothing after it. Half of an emoji, which
// SQL Server keeps of a text that was cut at a column's length, becomes U+FFFD: one
// name must not keep a user's roles, or all columns, from being read.
func into(v any) func(*body) error {
	return func(b *body) error {
		return withDecoder(b, func(d *jsontext.Decoder) error { return json.UnmarshalDecode(d, v) },
			jsontext.AllowDuplicateNames(false))
	}
}

// members calls read for each member of the object that comes next; read must read
// the value. It reports false for null.
func members(d *jsontext.Decoder, fault string, read func(name string) error) (bool, error) {
	if d.PeekKind() == 'n' {
		_, err := d.ReadToken()
		return false, err
	}
	if err := expect(d, '{', fault); err != nil {
		return false, err
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return false, err
		}
		if err := read(name.String()); err != nil {
			return false, err
		}
	}
	_, err := d.ReadToken()
	return true, err
}

// elements calls read for each element of the array that comes next; read must read
// it. It reports false for null.
func elements(d *jsontext.Decoder, fault string, read func() error) (bool, error) {
	if d.PeekKind() == 'n' {
		_, err := d.ReadToken()
		return false, err
	}
	if err := expect(d, '[', fault); err != nil {
		return false, err
	}
	for d.PeekKind() != ']' {
		if err := read(); err != nil {
			return false, err
		}
	}
	_, err := d.ReadToken()
	return true, err
}

// expect reads one token of the kind k.
func expect(d *jsontext.Decoder, k jsontext.Kind, fault string) error {
	t, err := d.ReadToken()
	if err != nil {
		return err
	}
	if t.Kind() != k {
		return pageFault(fault)
	}
	return nil
}

func readString(d *jsontext.Decoder) (string, error) {
	t, err := d.ReadToken()
	if err != nil {
		return "", err
	}
	if t.Kind() != '"' {
		return "", pageFault("the link to the next page is not a text")
	}
	return t.String(), nil
}
