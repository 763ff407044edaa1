package dynamics

import (
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// Page is one page of rows in the form in which they are delivered. It is read
// only and may be shared; the slices that Row returns must not be changed.
type Page struct {
	data    []byte // rows, one behind the other
	ids     []byte // 36 bytes a row
	etags   []byte
	keys    []uint64
	rows    []rowEnd
	next    string
	delta   string // of a page of changes
	deleted []byte // 36 bytes a deleted row, of a page of changes
	count   int64
	counted bool
	shared  bool // several calls have it; see flights
}

type rowEnd struct{ data, etag int }

const idLength = 36

// Len returns the number of rows.
func (p *Page) Len() int { return len(p.rows) }

// Row returns row i as a JSON object with the members of Query.Select in order.
func (p *Page) Row(i int) []byte {
	begin := 0
	if i > 0 {
		begin = p.rows[i-1].data
	}
	return p.data[begin:p.rows[i].data:p.rows[i].data]
}

// ID returns the accountid of row i, in lower case.
func (p *Page) ID(i int) string { return string(p.ids[i*idLength : (i+1)*idLength]) }

// ETag returns row i's entity tag, "" if there was none.
func (p *Page) ETag(i int) string {
	begin := 0
	if i > 0 {
		begin = p.rows[i-1].etag
	}
	return string(p.etags[begin:p.rows[i].etag])
}

// Key digests the values of Query.OrderBy in row i. Equal keys of one row, read at
// two times by the same query, say that it has kept its place among the others.
func (p *Page) Key(i int) uint64 { return p.keys[i] }

// NextLink returns the link to the next page for [Session.Next], "" on the last.
func (p *Page) NextLink() string { return p.next }

// WithoutCookie reports whether the link to the next page has a page's number and no
// place to go on from: such pages end at [MaxSimplePaging] rows.
func (p *Page) WithoutCookie() bool {
	link := strings.ToLower(p.next)
	return strings.Contains(link, "pagenumber") && !strings.Contains(link, "pagingcookie")
}

// Count returns what Dataverse counted, capped by it at 5000 (-1 where it did not
// count is false), and whether it did.
func (p *Page) Count() (int64, bool) { return p.count, p.counted }

// errPage is a document that is valid JSON and no page.
type errPage string

func (e errPage) Error() string { return string(e) }

func pageFault(message string) error { return unusable("", message, errPage(message)) }

// decoders keeps their read buffers: growing one for each page costs more than
// reading a small page does.
var decoders = sync.Pool{New: func() any { return new(jsontext.Decoder) }}

// withDecoder lends read a decoder over b and insists that the document is the
// whole answer. Escapes that are not Unicode are let in, since SQL Server keeps
// half of an emoji that was cut at a column's length; rows mend what they use.
// Names are not checked for duplicates by the decoder, which would cost a third
// more; rows check those that they use.
func withDecoder(b io.Reader, read func(*jsontext.Decoder) error) error {
	d := decoders.Get().(*jsontext.Decoder)
	d.Reset(b, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	defer func() {
		d.Reset(eofReader{})
		if cap(d.UnreadBuffer()) <= 1<<20 { // one huge value must not stay for ever
			decoders.Put(d)
		}
	}()
	if err := read(d); err != nil {
		return err
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return pageFault("there is something behind the answer's JSON")
	}
	return nil
}

type eofReader struct{}

func (eofReader) Read([]byte) (int, error) { return 0, io.EOF }

// readPage turns a collection answer into a page in one pass.
func readPage(b io.Reader, l *layout, size int) (*Page, error) {
	p := pages.Get().(*Page)
	r := newRowReader(l)
	err := withDecoder(b, func(d *jsontext.Decoder) error {
		seen, err := readCollection(d, p, r, size)
		if err == nil && !seen {
			return pageFault(`the answer has no "value"`)
		}
		return err
	})
	if err != nil {
		p.Release()
		return nil, err
	}
	return p, nil
}

func readCollection(d *jsontext.Decoder, p *Page, r *rowReader, size int) (seen bool, err error) {
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
			if err := readRows(d, p, r, size); err != nil {
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

func readRows(d *jsontext.Decoder, p *Page, r *rowReader, size int) error {
	if err := expect(d, '[', `"value" is not an array`); err != nil {
		return err
	}
	p.rows = slices.Grow(p.rows, size)
	p.ids = slices.Grow(p.ids, size*idLength)
	p.keys = slices.Grow(p.keys, size)
	for d.PeekKind() == '{' {
		if err := r.read(d, p); err != nil {
			return err
		}
		if n := len(p.rows); n == 16 && size > n {
			// The first rows tell how long the page will be: one allocation.
			p.data = slices.Grow(p.data, len(p.data)/n*(size-n)*9/8)
			p.etags = slices.Grow(p.etags, len(p.etags)/n*(size-n)*9/8)
		}
	}
	return expect(d, ']', `"value" holds something that is not a row`)
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

func (p *Page) readCount(d *jsontext.Decoder) error {
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
