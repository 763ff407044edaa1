package handlers

import (
	"context"

	"github.com/crmbridge/crmbridge/dynamics"
)

// A page that is larger than a message would be read anew for each of the messages
// that it takes in page mode, whole each time. So after the first page has shown how
// long the rows are, all pages are asked for in a size that fits: one call for each
// message, and one more for the first. In stream mode a page stays where it is until
// all of it has been delivered.

// fillOfPages is the share of a message, in eighths, that the rows of a page are
// expected to fill: those of later pages may be longer, and a page that does not fit
// is read twice.
const fillOfPages = 7

// resizable reports whether another page size may be asked for: only at the very
// beginning, since all links of a search are followed with the preferences of its
// first page ("Page results using OData",
// https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/page-results).
//
// A job reads all of its pages itself, and has to end with rows of any length. Where a
// link has a cookie, which says behind which row its page begins, it is followed with
// another size rather than not at all.
func (s *search) resizable() bool {
	if s.call.Job != nil {
		return !dynamics.WithoutCookie(s.at.Link)
	}
	return s.at.Link == "" && !s.resumed && s.sent == 0
}

// fit reads the first page again in fewer rows where not all of them fit the message.
func (s *search) fit(ctx context.Context) error {
	if s.stream || !s.resizable() {
		return nil
	}
	most := s.rowsWanted()
	rows, err := s.fitting(most)
	if err != nil || rows >= most || rows <= 1 {
		return err
	}
	s.release()
	s.at.Size = max(1, rows*fillOfPages/8)
	return s.load(ctx)
}
