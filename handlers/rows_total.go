package handlers

import "context"

// countCap is where Dataverse's $count stops counting; see section 6.4 of
// https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/count-rows.
const countCap = 5000

// count settles the total with the first page.
func (s *search) count(ctx context.Context) error {
	total, counted := s.page.Count()
	switch {
	case s.page.NextLink() == "" && s.at.Link == "":
		total = int64(s.page.Len())
	case !counted || total >= countCap:
		var err error
		if total, err = s.session.Count(ctx, s.entity.Rows, s.query.Filter); err != nil {
			return err
		}
	}
	s.at.Total = &total
	return nil
}
