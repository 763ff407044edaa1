package handlers

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/plan"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// changes answers contacts.changes and its like: one page of what changed.
func (o *rowOperations) changes(ctx context.Context, c route.Call,
	in messages.ChangesRequest) iter.Seq2[route.Part, error] {
	if c.Job != nil {
		return o.changesJob(ctx, c, in)
	}
	return func(yield func(route.Part, error) bool) { yield(o.changed(ctx, c, in)) }
}

func (o *rowOperations) changed(ctx context.Context, c route.Call, in messages.ChangesRequest) (part route.Part,
	err error) {
	if err := cmp.Or(checkPageSize(in.PageSize), checkFields(in.Fields)); err != nil {
		return part, err
	}
	session, err := o.open(ctx, c)
	if err != nil {
		return part, err
	}
	w := &changes{call: c, entity: o.entity, session: session, cursors: o.cursorsOf(c, session)}
	if err := w.begin(in); err != nil {
		return part, err
	}
	err = o.Catalog.Replan(session, o.entity, func(p plan.Planner) (err error) {
		if w.query.Select, err = p.Fields(ctx, w.at.Fields); err != nil {
			return err
		}
		if w.rows, err = session.PrepareChanges(o.entity.Rows, w.query); err != nil {
			return err
		}
		part, err = w.next(ctx)
		return err
	})
	return part, err
}

// changes is one request's step along what changed.
type changes struct {
	call    route.Call
	entity  *plan.Entity
	session *dynamics.Session
	query   dynamics.ChangesQuery
	rows    *dynamics.PreparedChanges // query
	cursors cursors
	at      changesPosition
}

// A changesPosition is where a reading of changes goes on, and everything needed for
// that, so that a cursor can be sent alone.
//
// It has no end of its own: it is good for as long as Dataverse keeps its record
// of changes, which the environment's organization settings decide
// (ExpireChangeTrackingInDays; 7 days by default, 30 have been seen) and only
// Dataverse knows. It says so with an error, which becomes cursor_expired.
type changesPosition struct {
	// Fields are those of the first request: Dataverse's link asks for their
	// columns, so that they cannot change on the way.
	Fields []string `json:"f"`
	// Link is Dataverse's link to the next page or to later changes, "" for the
	// first page.
	Link string `json:"l,omitzero"`
	// Asked is the page size that was asked for.
	Asked int `json:"p"`
	// Size is how many rows to ask Dataverse for, so that a page of them fits a
	// message; 0 where as many as were asked for do.
	Size int `json:"s,omitzero"`
}

// begin settles where to go on: at the very first row, or at the cursor's
// place. Fields that come with a cursor must be its own; the page size may change
// with every request.
func (w *changes) begin(in messages.ChangesRequest) error {
	size := int(in.PageSize)
	if in.Cursor == "" {
		w.at.Fields = in.Fields
		if len(in.Fields) == 0 {
			w.at.Fields = w.entity.DefaultFields
		}
		if size == 0 {
			size = messages.DefaultChangesPageSize
		}
		w.at.Asked, w.at.Size = size, size
		return nil
	}
	if err := w.cursors.open(in.Cursor, &w.at); err != nil {
		return err
	}
	if len(in.Fields) > 0 && !slices.Equal(in.Fields, w.at.Fields) {
		return messages.Invalid("cursor", "belongs to other fields; send it alone, or with the fields unchanged")
	}
	if size != 0 {
		w.at.Asked = size
	}
	w.at.Size = min(cmp.Or(w.at.Size, w.at.Asked), w.at.Asked)
	return nil
}

// next makes the reply: the first page that holds changes, in a size that fits the message.
//
// A page of changes is delivered whole or not at all. A page of a search may be split: it
// is read again later, and the answer goes on after the last row that was delivered. A page
// of changes is different each time it is read, and its next link covers every row of the
// page, delivered or not. Had the first reading been delivered in part, a row of that part
// that changed before the second reading would count as delivered, and no later link would
// return it. So a page that does not fit is dropped before any of it is delivered, and the
// same link is read again with fewer rows: the requester knows nothing of the first
// reading, and has all of the second.
//
// A second reading costs a request. So the cursor keeps the size that fits, and the size of
// later pages follows from the rows measured; see sizeAfter.
func (w *changes) next(ctx context.Context) (route.Part, error) {
	for passed, readings := 0, 1; ; {
		page, err := w.read(ctx)
		if tooLong(err) && w.at.Size > 1 {
			w.at.Size /= 2 // not even the client could hold it: nothing was measured
			continue
		}
		if err != nil {
			return route.Part{}, err
		}
		held := page.Len() + page.Deleted()
		if held == 0 && page.NextLink() != "" && passed < maxEmptyPages {
			passed, readings = passed+1, 1
			w.at.Link = page.NextLink()
			page.Release()
			continue
		}
		p, size, err := w.reply(ctx, page, everything(page))
		fits := size <= w.call.Budget
		if err == nil && fits && page.Deleted() > 0 {
			var t delivery
			if t, err = w.settled(ctx, page); err == nil {
				p, size, err = w.reply(ctx, page, t)
			}
		}
		if err != nil {
			page.Release()
			return route.Part{}, err
		}
		if size <= w.call.Budget {
			page.Release() // the reply holds a copy
			return p, nil
		}
		// A single row is as small as it gets, and so is what comes where one was
		// asked for.
		if held <= 1 || w.at.Size <= 1 {
			return route.Part{}, messages.Errorf(messages.TooLarge,
				"one change has %d bytes and the NATS server takes %d in one message; start again without a cursor "+
					"and with fewer fields", size, w.call.Budget)
		}
		if fits { // it did before rows took the place of deletions
			w.at.Size = max(1, min(held, w.at.Size)/2)
		} else {
			w.at.Size = w.fewer(page, size, readings)
		}
		readings++
		page.Release()
	}
}

// tooLong reports an answer beyond what the client reads: a smaller page may help.
func tooLong(err error) bool {
	return dynamics.KindOf(err) == dynamics.TooLarge && !errors.Is(err, dynamics.ErrURLTooLong)
}

// read fetches the page at the position.
func (w *changes) read(ctx context.Context) (*dynamics.ChangesPage, error) {
	return w.session.Changes(ctx, w.rows.WithPageSize(w.at.Size), w.at.Link)
}
