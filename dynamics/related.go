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

// related reads a whole small collection, following its links.
func related[T any](ctx context.Context, s *Session, op, path, columns string) ([]T, error) {
	var page relatedPage[T]
	r := request{op: op, prefer: "odata.maxpagesize=500", read: page.read}
	if err := s.get(ctx, r, path, "$select="+columns); err != nil {
		return nil, err
	}
	all := page.Value
	followed := map[string]bool{}
	for page.Next != "" {
		link := page.Next
		if followed[link] {
			return nil, unusable(op, "the pages go round in circles", nil)
		}
		followed[link] = true
		if len(all) > maxRelated {
			return nil, &Error{Kind: TooLarge, Op: op, Message: "more related rows than the 5000 that are read"}
		}
		if err := s.follow(&r, path, link); err != nil {
			return nil, err
		}
		if err := s.do(ctx, r); err != nil {
			return nil, err
		}
		all = append(all, page.Value...)
	}
	return all, nil
}
