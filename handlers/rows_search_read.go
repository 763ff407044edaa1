package handlers

import (
	"context"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/plan"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// maxEmptyPages bounds how many pages are read for one part while they have no row to
// deliver.
const maxEmptyPages = 5

// first makes the query and reads the first page.
func (s *search) first(ctx context.Context, p plan.Planner) (err error) {
	s.close()
	s.at = s.from
	if err = s.plan(ctx, p); err != nil {
		return err
	}
	if s.place != "" {
		if s.at.Link, err = s.session.LinkTo(s.rows, s.place); err != nil {
			return err
		}
	}
	return s.load(ctx)
}

// plan makes the query.
func (s *search) plan(ctx context.Context, p plan.Planner) (err error) {
	if s.query, err = p.Search(ctx, s.asked); err != nil {
		return err
	}
	if s.byTime {
		s.query.OrderBy, s.query.Moments = []dynamics.Order{{Column: dynamics.CreatedOn()}}, true
	}
	if s.stream && s.call.Job == nil {
		if err = s.makeHead(); err != nil {
			return err
		}
		// A row has a comma, as where rows are counted that fit a message.
		s.query.Messages = dynamics.Messages{Size: s.call.Budget, Head: len(s.head), Tail: plainTail + 1}
	}
	s.rows, err = s.session.PrepareIn(&s.prepared, s.entity.Rows, s.query)
	return err
}

// next makes the answer's next part.
func (s *search) next(ctx context.Context) (route.Part, error) {
	for s.row == s.page.Len() && s.page.NextLink() != "" && s.loads < maxEmptyPages {
		if err := s.load(ctx); err != nil {
			return route.Part{}, err
		}
	}
	if err := s.fit(ctx); err != nil {
		return route.Part{}, err
	}
	s.loads = 0
	return s.cut(ctx)
}

// maxSearchedPages bounds how many pages are looked through for the place of a
// cursor: rows that came in front of it push it back.
const maxSearchedPages = 20

// load reads the page at the position and finds the row to go on with.
func (s *search) load(ctx context.Context) error {
	s.loads++
	if s.page != nil {
		s.at.Link, s.at.Marks = s.page.NextLink(), nil
	}
	for range maxSearchedPages {
		if err := s.read(ctx); err != nil {
			return err
		}
		row, found := resume(s.page, s.at.Marks)
		if found {
			s.row = row
			s.readAhead(ctx)
			return nil
		}
		if s.page.NextLink() == "" {
			break
		}
		s.at.Link = s.page.NextLink()
	}
	return messages.Invalid("cursor", "the %s around its place are all gone or have moved since it was made; "+
		"start the search again", s.entity.Name)
}

// release gives the page's buffers to the next one: it has been delivered, or
// passed over.
func (s *search) release() {
	if s.page != nil {
		s.page.Release()
		s.page = nil
	}
}

// read fetches the page at the position.
func (s *search) read(ctx context.Context) (err error) {
	s.release()
	rows, size := s.sized()
	err = s.fetch(ctx, rows)
	if tooLong(err) && s.resizable() && size > 1 {
		s.at.Size = size / 2 // not even the client could hold it: nothing was measured
		return s.read(ctx)
	}
	if dynamics.KindOf(err) == dynamics.PagesEnd {
		return s.pagesEnd(err)
	}
	if dynamics.KindOf(err) == dynamics.Expired && !s.resumed {
		return linkRefused(err)
	}
	if err == nil && s.query.Count && s.at.Total == nil {
		err = s.count(ctx)
	}
	if err == nil && s.at.Link == "" && !s.checked {
		s.checked = true
		err = s.checkEnd(ctx)
	}
	return err
}

// sized is the query for pages of the size that fits, and that size.
func (s *search) sized() (rows *dynamics.Prepared, size int) {
	if size = s.query.PageSize; s.at.Size > 0 && s.at.Size < size {
		return s.rows.WithPageSize(s.at.Size), s.at.Size
	}
	return s.rows, size
}

// fetch has the page at the position, which may have been begun before.
func (s *search) fetch(ctx context.Context, rows *dynamics.Prepared) (err error) {
	var begun bool
	if s.page, begun, err = s.taken(ctx, s.at.Link); begun {
		return err
	}
	if !s.stream { // then no page is read ahead
		s.page, err = s.session.Page(ctx, rows, s.at.Link)
		return err
	}
	began := time.Now()
	s.page, err = s.session.Page(ctx, rows, s.at.Link)
	s.took = time.Since(began)
	return err
}

// linkRefused is the error where Dataverse does not take a link that it has just given.
func linkRefused(err error) error {
	return messages.Errorf(messages.UpstreamError,
		"Dataverse did not take its own link to the next page; send the request again").Because(err)
}

// resume finds the first row after what was delivered of a page: the one after
// the last delivered row that is still in its place. Rows that keep their place
// keep their order, so what lies before it has been delivered, or is new, and
// what follows has not.
func resume(page *dynamics.Page, marks []mark) (row int, found bool) {
	if len(marks) == 0 {
		return 0, true
	}
	rows := make(map[string]int, page.Len())
	for i := range page.Len() {
		rows[page.ID(i)] = i
	}
	for i := len(marks) - 1; i >= 0; i-- {
		if row, there := rows[marks[i].ID]; there && page.Key(row) == marks[i].Key {
			return row + 1, true
		}
	}
	return 0, false
}
