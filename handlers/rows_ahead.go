package handlers

import (
	"context"
	"errors"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/budget"
	"github.com/crmbridge/crmbridge/messages"
)

// In stream mode the next page is on its way while the rows of the one before are
// published: one page at most, and only where somebody wants its rows. Its error comes
// when its rows would, so that no row before it is lost.
//
// A page that waits to be delivered is memory of the request and nothing else: its call is
// over, and has given back its turn of the user's.

// A pageAhead is a page that is read while another is delivered.
type pageAhead struct {
	link   string
	cancel context.CancelFunc
	done   chan struct{} // closed when what follows is there
	page   *dynamics.Page
	took   time.Duration
	err    error
}

// callRoom is about what a call takes besides the page that it reads.
const callRoom = 1 << 20

// readAhead begins to read the page after the present one.
func (s *search) readAhead(ctx context.Context) {
	link := s.page.NextLink()
	if !s.stream || s.ahead != nil || link == "" || s.call.Job != nil || !s.wantsMore() || !s.timely(ctx) {
		return
	}
	if !budget.From(ctx).Ample(int64(s.page.Size(0, s.page.Len())) + callRoom) {
		return
	}
	rows, _ := s.sized()
	ctx, cancel := context.WithCancel(ctx)
	ahead := &pageAhead{link: link, cancel: cancel, done: make(chan struct{})}
	s.ahead = ahead
	session := s.session
	go func() {
		defer close(ahead.done)
		began := time.Now()
		ahead.err = dynamics.Guard(func() (err error) {
			ahead.page, err = session.Page(ctx, rows, link)
			return err
		})()
		ahead.took = time.Since(began)
	}()
}

// wantsMore reports whether rows after the present page belong to the answer.
func (s *search) wantsMore() bool {
	left := s.page.Len() - s.row
	return (s.asked.Limit == 0 || s.at.Rows+left < int(s.asked.Limit)) && s.sent+left < messages.MaxStreamRows
}

// timely reports whether the deadline leaves time for a page like the one before.
func (s *search) timely(ctx context.Context) bool {
	deadline, bounded := ctx.Deadline()
	return !bounded || time.Until(deadline) > s.took
}

// taken returns the page behind a link where it has been begun; ok is false where it has to
// be read here.
func (s *search) taken(ctx context.Context, link string) (page *dynamics.Page, ok bool, err error) {
	ahead := s.ahead
	if ahead == nil {
		return nil, false, nil
	}
	if ahead.link != link {
		s.drop()
		return nil, false, nil
	}
	proceed := budget.From(ctx).Pause()
	<-ahead.done // which comes at once when the request ends: it has the request's context
	proceed()
	page, err, s.took = ahead.page, ahead.err, ahead.took
	s.ahead = nil
	ahead.cancel()
	if _, full := errors.AsType[*budget.Error](err); full && ctx.Err() == nil {
		return nil, false, nil // there may be room by now, without the page before
	}
	if err == nil { // it has waited to be delivered
		err = s.session.Confirm(ctx, s.entity.Rows)
	}
	if err != nil && page != nil {
		page.Release()
		page = nil
	}
	return page, true, err
}

// drop ends what is read ahead, and waits for its end.
func (s *search) drop() {
	if s.ahead == nil {
		return
	}
	s.ahead.cancel()
	<-s.ahead.done
	if s.ahead.page != nil {
		s.ahead.page.Release()
	}
	s.ahead = nil
}
