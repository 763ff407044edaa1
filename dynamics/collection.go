package dynamics

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// A part is a member of a collection answer.
type part int

// Those that are of use, and the others.
const (
	partEnd part = iota // there are no more
	partRows
	partNext
	partDelta
	partCount
	partError
	partOther
)

// readPage turns a collection answer into a page in one pass.
func readPage(b *body, q *Prepared) (*Page, error) {
	p := &Page{}
	if err := p.read(b, q); err != nil {
		return nil, err
	}
	return p, nil
}

// read is readPage into an empty page, which it is again where there is an error.
func (p *Page) read(b *body, q *Prepared) error {
	p.hint = parallelHint(b.header)
	r := newRowReader(q, b, rowDepth)
	err := r.page(p)
	if echo := r.look(); echo != nil { // first: what is wrong else may be its doing
		err = echo
	}
	r.release()
	if err != nil {
		b.kept.Close() // it may stand in p
		p.Release()
		return err
	}
	p.lease = b.kept
	return nil
}

// rowDepth is in how many arrays and objects the values of a page's rows stand.
const rowDepth = 3

// page reads the whole answer.
func (r *rowReader) page(p *Page) error {
	if err := r.expect('{', "the answer is not a JSON object"); err != nil {
		return err
	}
	seen := false
	for first := true; ; first = false {
		what, err := r.part(first)
		if err != nil {
			return err
		}
		switch what {
		case partEnd:
			if !seen {
				return pageFault(`the answer has no "value"`)
			}
			return r.end()
		case partRows:
			if seen {
				return pageFault(`the answer has two members "value"`)
			}
			seen = true
			err = r.rows(p)
		case partNext:
			p.next, err = r.link()
		case partDelta:
			p.delta, err = r.link()
		case partCount:
			err = r.count(p)
		case partError: // begun with 200, failed on the way
			return pageFault("the answer ends in an error")
		default:
			_, err = r.any()
		}
		if err != nil {
			return err
		}
	}
}

// part is done with the name of the answer's next member, up to its colon.
func (r *rowReader) part(first bool) (part, error) {
	c, err := r.next()
	if err != nil {
		return 0, err
	}
	if c == '}' {
		r.window.at++
		return partEnd, nil
	}
	if !first {
		if c != ',' {
			return 0, r.bad()
		}
		r.window.at++
		if c, err = r.next(); err != nil {
			return 0, err
		}
	}
	if c != '"' {
		return 0, r.bad()
	}
	raw, err := r.any()
	if err != nil {
		return 0, err
	}
	r.unquote(raw)
	what := partOther
	switch string(r.text) {
	case "value":
		what = partRows
	case "@odata.nextLink":
		what = partNext
	case "@odata.deltaLink":
		what = partDelta
	case "@odata.count":
		what = partCount
	case "error":
		what = partError
	}
	if c, err = r.next(); err == nil && c != ':' {
		err = r.bad()
	}
	r.window.at++
	return what, err
}

// unquote writes a text's characters into r.text, with U+FFFD for what is no character.
func (r *rowReader) unquote(raw []byte) { r.text, _ = jsontext.AppendUnquote(r.text[:0], raw) }

// any reads a value of any form. It is good until more is read.
func (r *rowReader) any() ([]byte, error) {
	return r.whole(func(w []byte, at int) int { return r.nesting.skip(w, at, 1) })
}

func (r *rowReader) rows(p *Page) error {
	if err := r.expect('[', `"value" is not an array`); err != nil {
		return err
	}
	for rows := 0; ; rows++ {
		c, err := r.next()
		if err != nil {
			return err
		}
		switch {
		case c == ']':
			r.window.at++
			return nil
		case rows == 0:
		case c != ',':
			return r.bad()
		default:
			r.window.at++
			if c, err = r.next(); err != nil {
				return err
			}
		}
		if c != '{' {
			return pageFault(`"value" holds something that is not a row`)
		}
		if rows == MaxPageSize { // whatever was asked for, Dataverse gives no more
			return pageFault("the page has more than 5000 rows")
		}
		if err := r.read(p); err != nil {
			return err
		}
	}
}

func (r *rowReader) link() (string, error) {
	raw, err := r.any()
	if err != nil {
		return "", err
	}
	if raw[0] != '"' {
		return "", pageFault("the link to the next page is not a text")
	}
	r.unquote(raw)
	return string(r.text), nil
}

func (r *rowReader) count(p *Page) error {
	raw, err := r.any()
	if err != nil {
		return err
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		return pageFault("the count is not a whole number")
	}
	p.count, p.counted = n, n >= 0
	return nil
}
