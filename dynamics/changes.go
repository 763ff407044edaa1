package dynamics

import (
	"context"
	"net/http"
	"strconv"
	"strings"
)

// ChangesOp is the operation of [Session.Changes] in an [Error] and a [Call].
const ChangesOp = "accounts.changes"

// ChangesQuery asks what changed among the accounts. Dataverse allows neither a
// filter nor an order with change tracking; see
// https://learn.microsoft.com/power-apps/developer/data-platform/use-change-tracking-synchronize-data-external-systems.
type ChangesQuery struct {
	Select []Output
	// PageSize is the number of rows on a page, deleted ones counted, 1 to
	// [MaxPageSize]; 0 means 100. It is no part of a link: the same link may be
	// read again with a smaller one.
	PageSize int
}

// ChangesPage is one page of changes: the rows that were made or changed, as
// they are now, and the ids of those that are gone. Exactly one of NextLink and
// DeltaLink is to be gone on with by [Session.NextChanges]: NextLink while there
// is one, and from the last page DeltaLink, whenever it is wanted to know what
// changed since.
type ChangesPage struct{ *Page }

// Deleted returns the number of deleted rows.
func (p *ChangesPage) Deleted() int { return p.store.gone }

// DeletedID returns the accountid of deleted row i, in lower case. A row that was
// made and deleted between two questions may be among them.
func (p *ChangesPage) DeletedID(i int) string {
	return string(p.store.deleted[i/rowsAtOnce][i%rowsAtOnce][:])
}

// DeltaLink returns the link to what changes after this page, "" where there is a
// NextLink.
func (p *ChangesPage) DeltaLink() string {
	if p.next != "" {
		return ""
	}
	return p.delta
}

// Changes asks for the first page of every account, with tracking from here on.
// Where the table is not tracked the error's kind is Untracked.
func (s *Session) Changes(ctx context.Context, q ChangesQuery) (*ChangesPage, error) {
	p, err := q.plan()
	if err != nil {
		return nil, err
	}
	page := &ChangesPage{}
	r := p.changes(page, true)
	if err := s.get(ctx, r, accounts, p.options); err != nil {
		return nil, err
	}
	if err := s.checkChanges(page, p.size); err != nil {
		return nil, err
	}
	return page, nil
}

// NextChanges follows a NextLink or DeltaLink of a page of q as [Session.Next]
// follows its links. A DeltaLink that Dataverse no longer knows is Expired:
// everything must be read anew.
//
// A link may be followed again with a smaller page size, which gives fewer rows
// from the same place: what the reader did not use of the larger page is not lost.
func (s *Session) NextChanges(ctx context.Context, q ChangesQuery, link string) (*ChangesPage, error) {
	p, err := q.plan()
	if err != nil {
		return nil, err
	}
	page := &ChangesPage{}
	r := p.changes(page, false)
	if err := s.aim(&r, accounts, link, "the link to the next changes"); err != nil {
		return nil, err
	}
	if err := s.inCircles(r.op, sized(link, p.size)); err != nil {
		return nil, err
	}
	if err := s.do(ctx, r); err != nil {
		return nil, err
	}
	if err := s.markFollowed(r.op, sized(link, p.size)); err != nil {
		return nil, err
	}
	if err := s.checkChanges(page, p.size); err != nil {
		return nil, err
	}
	return page, nil
}

// sized is what a session remembers of a link: the same link with another page
// size is another page. No link holds the character between.
func sized(link string, size int) string { return link + "#" + strconv.Itoa(size) }

// checkChanges refuses a page whose links could not be followed. A DeltaLink is
// not looked for in what was followed: where nothing changed, it may be the very
// link that was followed.
func (s *Session) checkChanges(p *ChangesPage, size int) error {
	if p.delta != "" {
		if err := s.aim(&request{op: ChangesOp}, accounts, p.delta, "the link to later changes"); err != nil {
			return err
		}
	}
	if p.next == "" {
		return nil
	}
	if err := s.aim(&request{op: ChangesOp}, accounts, p.next, "the link to the next changes"); err != nil {
		return err
	}
	return s.inCircles(ChangesOp, sized(p.next, size))
}

// plan has no order: Dataverse refuses $orderby here.
func (q ChangesQuery) plan() (*plan, error) {
	p, err := (Query{Select: q.Select, PageSize: q.PageSize}).plan()
	if err != nil {
		return nil, err
	}
	p.layout.track()
	p.options = p.selection()
	p.prefer = trackChanges + "," + p.prefer
	return p, nil
}

// changes asks with the same preferences for every page of changes; see "Page results
// using OData",
// https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/page-results.
func (p *plan) changes(page *ChangesPage, first bool) request {
	return request{op: ChangesOp, prefer: p.prefer, hidden: p.hidden, read: func(b *body) error {
		read, err := readPage(b, p.layout)
		if err != nil {
			return err
		}
		if err := tracked(read, b.header, first); err != nil {
			read.Release()
			return err
		}
		page.Page = read
		return nil
	}}
}

const trackChanges = "odata.track-changes"

// tracked refuses a page without change tracking. A preference may be ignored, or
// left out by something in between, and then the answer is a plain list of accounts:
// taken for changes, it would say for ever that nothing was deleted. The first page
// tells it, so that nobody reads all of them in vain. Links that say that they track
// count too where the header is missing from the answer.
func tracked(p *Page, h http.Header, first bool) error {
	applied := preferenceApplied(h, trackChanges)
	ignored := &Error{Kind: Untracked, Message: "the environment answered without change tracking, although it was asked for"}
	switch link := strings.ToLower(p.next); {
	case p.delta != "" || applied && p.next != "":
		return nil
	case p.next == "" && applied:
		return pageFault("the last page of changes has no link to later ones")
	case p.next == "":
		return ignored
	case first && !strings.Contains(link, "istracking=%22true"):
		return ignored
	}
	return nil
}

// preferenceApplied looks through Preference-Applied, of which there may be
// several lines with several preferences each.
func preferenceApplied(h http.Header, name string) bool {
	for _, line := range h.Values("Preference-Applied") {
		for item := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(item), name) {
				return true
			}
		}
	}
	return false
}

// changesKind finds in the text of a 400 what its code does not tell:
// "Change tracking is not enabled for the entity 'account'. …" comes with the
// code of every fault of a query. 0 says that it is none of this.
func changesKind(message string) Kind {
	message = strings.ToLower(message)
	switch {
	case strings.Contains(message, "change tracking is not enabled"):
		return Untracked
	case strings.Contains(message, "version stamp associated with the client has expired"):
		return Expired
	}
	return 0
}
