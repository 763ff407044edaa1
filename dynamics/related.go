package dynamics

import "context"

// relatedPage is one page of a small collection.
type relatedPage[T any] struct {
	Value []T     `json:"value"`
	Next  string  `json:"@odata.nextLink"`
	Error *errAny `json:"error"`
}

// errAny stands for an error in the middle of an answer that began well.
type errAny struct{}

func (p *relatedPage[T]) read(b *body) error {
	*p = relatedPage[T]{}
	if err := into(p)(b); err != nil {
		return err
	}
	if p.Value == nil || p.Error != nil {
		return pageFault(`the answer has no "value"`)
	}
	return nil
}

// related reads a small collection, following its links: the rows that keep holds for
// (nil: all), at most most of them. cut says that there are more, or that more than
// maxRelated had to be looked at.
func related[T any](ctx context.Context, s *Session, op, path, options string, most int, keep func(T) bool) (rows []T, cut bool, err error) {
	var page relatedPage[T]
	r := request{op: op, prefer: "odata.maxpagesize=500", read: page.read}
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
