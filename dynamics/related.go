package dynamics

import (
	"context"
	"unsafe"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxRelatedPage bounds the rows of one page of a small collection. Metadata comes
// in one page: a table has some hundred columns, and a few thousand at most.
const maxRelatedPage = 20_000

// maxRelatedBody bounds one page of a small collection in bytes, but for metadata's.
const maxRelatedBody = 8 << 20

// relatedPage is one page of a small collection.
type relatedPage[T any] struct {
	Value []T
	Next  string
}

func (p *relatedPage[T]) read(b *body) error {
	return p.readRows(b, func(d *jsontext.Decoder, row *T) error {
		begin := d.InputOffset()
		if err := json.UnmarshalDecode(d, row); err != nil {
			return err
		}
		return b.keep(d.InputOffset() - begin) // its texts are no longer than that
	})
}

// readRows reads a page row by row, so that what the rows become is counted while
// they come: a short text can become a large value. read counts what is not in
// the row itself.
func (p *relatedPage[T]) readRows(b *body, read func(*jsontext.Decoder, *T) error) error {
	*p = relatedPage[T]{}
	return withDecoder(b, func(d *jsontext.Decoder) error {
		seen := false
		whole, err := members(d, "the answer is not a JSON object", func(name string) (err error) {
			switch name {
			case "value":
				if seen {
					return pageFault(`the answer has two members "value"`)
				}
				seen, err = elements(d, `"value" is not an array`, func() error { return p.add(b, d, read) })
				return err
			case "@odata.nextLink":
				p.Next, err = readString(d)
				return err
			case "error": // begun with 200, failed on the way
				return pageFault("the answer ends in an error")
			}
			return d.SkipValue()
		})
		if err == nil && !(whole && seen) {
			return pageFault(`the answer has no "value"`)
		}
		return err
	})
}

// add reads one row.
func (p *relatedPage[T]) add(b *body, d *jsontext.Decoder, read func(*jsontext.Decoder, *T) error) error {
	if len(p.Value) == maxRelatedPage {
		return &Error{Kind: TooLarge, Message: "more rows than the 20,000 that are read of a collection",
			Err: errBodyTooLarge}
	}
	var row T
	if err := read(d, &row); err != nil {
		return err
	}
	if err := b.keep(growth * int64(unsafe.Sizeof(row))); err != nil {
		return err
	}
	p.Value = append(p.Value, row)
	return nil
}

// growth is how many times the size of an element a slice may take that grows by
// appending: what it has, a half free, and the old one while it is copied.
const growth = 3

// related reads a small collection, following its links: the rows that keep holds for
// (nil: all), at most most of them. cut says that there are more, or that more than
// maxRelated had to be looked at.
func related[T any](ctx context.Context, s *Session, op, path, options string, most int, keep func(T) bool) (rows []T,
	cut bool, err error) {
	var page relatedPage[T]
	r := request{op: op, prefer: "odata.maxpagesize=500", most: maxRelatedBody, read: page.read}
	if err := s.get(ctx, r, path, options); err != nil {
		return nil, false, err
	}
	rows = []T{}
	followed := map[string]bool{}
	for read := 0; ; {
		read += len(page.Value)
		for _, row := range page.Value {
			if keep != nil && !keep(row) {
				continue
			}
			if len(rows) == most {
				return rows, true, nil
			}
			rows = append(rows, row)
		}
		link := page.Next
		switch {
		case link == "":
			return rows, false, nil
		case followed[link]:
			return nil, false, unusable(op, "the pages go round in circles", nil)
		case read >= maxRelated:
			return rows, true, nil
		}
		followed[link] = true
		if err := s.follow(&r, path, link); err != nil {
			return nil, false, err
		}
		if err := s.do(ctx, r); err != nil {
			return nil, false, err
		}
	}
}
