package dynamics

import (
	"context"
	"net/http"
	"strings"
)

// opChanges ends the name of the operation of [Session.Changes]; see [Error.OfChanges].
const opChanges = "changes"

// ChangesQuery asks what changed among the rows of a table. Dataverse allows neither a
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
// they are now, and the ids of those that are gone. Continue with NextLink while it is
// set; keep DeltaLink, which the last page has, for the next poll. [Session.Changes]
// takes either.
type ChangesPage struct{ *Page }

// Deleted returns the number of deleted rows.
func (p *ChangesPage) Deleted() int {
	if p.store == nil {
		return 0
	}
	return p.store.gone
}

// DeletedID returns the primary key of deleted row i, in lower case. A row that was
// made and deleted between two questions may be among them.
func (p *ChangesPage) DeletedID(i int) string {
	return string(p.store.deleted[i/firstRows][i%firstRows][:])
}

// DeltaLink returns the link to what changes after this page, "" where there is a
// NextLink.
func (p *ChangesPage) DeltaLink() string {
	if p.next != "" {
		return ""
	}
	return p.delta
}

// PreparedChanges is a [ChangesQuery] that has been checked and laid out for a table.
type PreparedChanges struct{ rows *Prepared }

// PrepareChanges checks q and lays it out for t. It has no order: Dataverse refuses
// $orderby here.
func (s *Session) PrepareChanges(t Table, q ChangesQuery) (*PreparedChanges, error) {
	p, err := s.client.prepare(t, Query{Select: q.Select, PageSize: q.PageSize}, opChanges, true)
	if err != nil {
		return nil, err
	}
	p.options = p.layout.selection
	return &PreparedChanges{p}, nil
}

// WithPageSize returns p for pages of so many rows, from 1 to [MaxPageSize].
func (p *PreparedChanges) WithPageSize(rows int) *PreparedChanges {
	return &PreparedChanges{p.rows.WithPageSize(rows)}
}

// Changes reads one page of p. Where link is "" it is the first page of every row, with
// tracking from here on; where the table is not tracked the error's kind is Untracked.
// Else link is the NextLink or DeltaLink of a page before, and is followed as
// [Session.Page] follows links. A DeltaLink that Dataverse no longer knows is Expired:
// everything must be read anew.
//
// A link may be followed again with a smaller page size, which gives fewer rows
// from the same place: what the reader did not use of the larger page is not lost.
func (s *Session) Changes(ctx context.Context, p *PreparedChanges, link string) (*ChangesPage, error) {
	rows := p.rows
	page := &ChangesPage{}
	if link == "" {
		if err := s.getOf(ctx, rows.table, rows.changes(page, true), rows.table.Set, rows.options); err != nil {
			return nil, err
		}
		if err := s.checkChanges(page, rows); err != nil {
			return nil, err
		}
		return page, nil
	}
	r := rows.changes(page, false)
	if err := s.permits(rows.table, r.op); err != nil {
		return nil, err
	}
	if err := s.setURL(&r, rows.table.Set, link, "the link to the next changes"); err != nil {
		return nil, err
	}
	if err := s.checkLoop(r.op, sized(link, rows)); err != nil {
		return nil, err
	}
	if err := s.do(ctx, r); err != nil {
		return nil, err
	}
	if err := s.markFollowed(r.op, sized(link, rows)); err != nil {
		return nil, err
	}
	if err := s.checkChanges(page, rows); err != nil {
		return nil, err
	}
	return page, nil
}

// sized is what a session remembers of a link: the same link with another page
// size is another page. No link holds the character between.
func sized(link string, p *Prepared) string { return link + "#" + p.prefer }

// checkChanges refuses a page whose links could not be followed. A DeltaLink is
// not looked for in what was followed: where nothing changed, it may be the very
// link that was followed.
func (s *Session) checkChanges(page *ChangesPage, p *Prepared) error {
	if page.delta != "" {
		if err := s.setURL(&request{op: p.op}, p.table.Set, page.delta, "the link to later changes"); err != nil {
			return err
		}
	}
	if page.next == "" {
		return nil
	}
	if err := s.setURL(&request{op: p.op}, p.table.Set, page.next, "the link to the next changes"); err != nil {
		return err
	}
	return s.checkLoop(p.op, sized(page.next, p))
}

// changes asks with the same preferences for every page of changes; see "Page results
// using OData",
// https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/page-results.
func (p *Prepared) changes(page *ChangesPage, first bool) request {
	return request{op: p.op, table: p.table, prefer: p.prefer, redact: p.redact, expected: p.expected,
		read: func(b *body) error {
			read, err := readPage(b, p)
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
// left out by something in between, and then the answer is a plain list of rows:
// taken for changes, it would say for ever that nothing was deleted. The first page
// tells it, so that nobody reads all of them in vain. Links that say that they track
// count too where the header is missing from the answer.
func tracked(p *Page, h http.Header, first bool) error {
	applied := preferenceApplied(h, trackChanges)
	ignored := &Error{Kind: Untracked, Message: "the environment answered without change tracking, " +
		"although it was asked for"}
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
