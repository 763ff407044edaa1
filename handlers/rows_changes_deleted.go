package handlers

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/crmbridge/crmbridge/dynamics"
)

// A deleted row can come back: Dataverse's recycle bin restores it under its id
// for up to 30 days (https://learn.microsoft.com/power-apps/developer/data-platform/restore-deleted-records).
// Change tracking may then list the deletion and the row, in an order that Microsoft does
// not document, so that a reader who applies deletions last would lose a row that exists.
// So deleted ids are read once more: those that exist are delivered as rows, and only the
// others as deleted. That holds over pages too: an id that is deleted on one page and a
// row on another is read when its page is, and later changes follow with the delta link,
// which covers everything since the first page.

const (
	// lookedAtOnce ids go into one query: with their columns they stay below the
	// 500 conditions and mostly the 32 KB that Dataverse takes.
	lookedAtOnce = 400
	// looksAtOnce queries may be under way, of at most 13 for a page.
	looksAtOnce = 4
)

// settled is what is delivered of a page of which some ids are deleted.
func (w *changes) settled(ctx context.Context, page *dynamics.ChangesPage) (t delivery, err error) {
	t = everything(page)
	there, err := w.stillThere(ctx, t.deleted)
	if err != nil {
		return t, err
	}
	gone := make(map[string]bool, len(t.deleted))
	t.deleted = slices.DeleteFunc(t.deleted, func(id string) bool {
		twice := gone[id]
		gone[id] = there[id] == nil
		return twice || !gone[id]
	})
	rows := t.rows[:0]
	for i, row := range t.rows {
		if id := page.ID(i); !gone[id] { // else it went after its row was read
			rows = append(rows, row)
			delete(there, id)
		}
	}
	for i := range page.Deleted() {
		id := page.DeletedID(i)
		if row := there[id]; row != nil {
			rows = append(rows, row)
			delete(there, id)
		}
	}
	t.rows = rows
	return t, nil
}

// stillThere finds those of the ids that are still there, with their rows.
func (w *changes) stillThere(ctx context.Context, ids []string) (map[string][]byte, error) {
	chunks := slices.Collect(slices.Chunk(ids, lookedAtOnce))
	found := make([]map[string][]byte, len(chunks))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(looksAtOnce)
	for i, chunk := range chunks {
		group.Go(dynamics.Guard(func() (err error) {
			found[i], err = w.rowsOf(ctx, chunk)
			return err
		}))
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	there := map[string][]byte{}
	for _, some := range found {
		for id, row := range some {
			there[id] = row
		}
	}
	return there, nil
}

// rowsOf reads rows by their ids.
func (w *changes) rowsOf(ctx context.Context, ids []string) (map[string][]byte, error) {
	query, err := w.session.Prepare(w.entity.Rows, dynamics.Query{Select: w.query.Select, PageSize: len(ids),
		Filter: dynamics.Test{Column: w.entity.ID(), Op: dynamics.In, Values: ids}})
	if err != nil {
		return nil, err
	}
	rows := map[string][]byte{}
	page, err := w.session.Page(ctx, query, "")
	for range len(ids) { // pages at most, whatever size the other side makes them
		if err != nil {
			return nil, err
		}
		for i := range page.Len() {
			rows[page.ID(i)] = slices.Clone(page.Row(i))
		}
		link := page.NextLink()
		page.Release()
		if link == "" {
			break
		}
		page, err = w.session.Page(ctx, query, link)
	}
	return rows, err
}
