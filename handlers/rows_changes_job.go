package handlers

import (
	"cmp"
	"context"
	"errors"
	"iter"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/plan"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// changesJob answers a question for changes that runs as a job: every page to the last,
// which alone has a cursor. The parts of one page are stored together or not at all, so a
// page that is longer than a message is cut, and not read again as in [changes.next].
func (o *rowOperations) changesJob(ctx context.Context, c route.Call,
	in messages.ChangesRequest) iter.Seq2[route.Part, error] {
	return yielding(func(yield func(route.Part) bool) error {
		if err := cmp.Or(checkPageSize(in.PageSize), checkFields(in.Fields)); err != nil {
			return err
		}
		session, err := o.open(ctx, c)
		if err != nil {
			return err
		}
		w := &changes{call: c, entity: o.entity, session: session, cursors: o.cursorsOf(c, session)}
		if err := w.begin(in); err != nil {
			return err
		}
		j := &changesJob{changes: w, catalog: o.Catalog}
		if err := j.begin(in); err != nil {
			return err
		}
		page := &jobPage{}
		next := pageReader(j.next)
		next.read(ctx, page)
		return next.deliver(ctx, page, yield)
	})
}

// A changesJob is one execution of a question for changes that runs as a job.
type changesJob struct {
	*changes
	catalog *plan.Catalog
	sent    int // rows and deletions that were delivered
	trail   trail
	empty   int // pages without anything since the last part
}

// begin settles where the job goes on, and the size of its pages. What the cursor at the
// end says of sizes is for those who ask with it.
func (j *changesJob) begin(in messages.ChangesRequest) error {
	j.at.Size = int(cmp.Or(in.PageSize, messages.MaxPageSize))
	p, there, err := placeOf(j.call.Job)
	if err != nil || !there {
		return err
	}
	if p.Link == "" {
		return badPlace()
	}
	j.at.Link, j.sent, j.trail = p.Link, p.Rows, p.Trail
	if p.Size > 0 {
		j.at.Size = min(p.Size, j.at.Size)
	}
	return nil
}

// next reads one page and makes its parts.
func (j *changesJob) next(ctx context.Context, into *jobPage) (err error) {
	if ctx, into.done, err = j.call.Job.Turn(ctx); err != nil {
		return err
	}
	into.confirm = func(ctx context.Context) error { return j.session.Confirm(ctx, j.entity.Rows) }
	if j.changes.rows != nil {
		return j.step(ctx, into)
	}
	return j.catalog.Replan(j.session, j.entity, func(p plan.Planner) (err error) {
		if j.query.Select, err = p.Fields(ctx, j.at.Fields); err != nil {
			return err
		}
		if j.changes.rows, err = j.session.PrepareChanges(j.entity.Rows, j.query); err != nil {
			return err
		}
		return j.step(ctx, into)
	})
}

// step is [changesJob.next] within its turn.
func (j *changesJob) step(ctx context.Context, into *jobPage) error {
	for {
		page, err := j.read(ctx)
		if tooLong(err) && j.at.Size > 1 {
			j.at.Size /= 2
			continue
		}
		if err != nil {
			return err
		}
		err = j.cut(ctx, page, into)
		held := page.Len() + page.Deleted()
		page.Release()
		if !errors.Is(err, errManyParts) {
			return err
		}
		if held <= 1 || j.at.Size <= 1 {
			return messages.Errorf(messages.TooLarge,
				"a page of changes takes more than %d messages; ask for fewer fields", j.call.Job.MaxParts)
		}
		j.at.Size = fewerRows(min(held, j.at.Size), j.call.Job.MaxParts)
	}
}

// cut makes the parts of a page. Nothing has been changed where its error is errManyParts.
func (j *changesJob) cut(ctx context.Context, page *dynamics.ChangesPage, into *jobPage) (err error) {
	more := page.NextLink() != ""
	t := everything(page)
	if page.Deleted() > 0 {
		if t, err = j.settled(ctx, page); err != nil {
			return err
		}
	}
	k := &packing{call: j.call, entity: j.entity, rows: listedRows(t.rows), deleted: t.deleted, between: noDeletions,
		end: []byte(`,"next_cursor":"","has_more":true}`)}
	k.last = k.end
	if !more {
		to := j.at
		to.Link, to.Size = page.DeltaLink(), 0
		cursor, err := j.cursors.seal(to)
		if err != nil {
			return err
		}
		k.last = []byte(`,"next_cursor":"` + cursor + `","has_more":false}`)
	}
	parts, err := k.parts(ctx)
	if err != nil {
		return err
	}
	into.more = more
	items := len(t.rows) + len(t.deleted)
	if more {
		link, trail := page.NextLink(), j.trail
		if trail.circles(link) {
			return inCircles()
		}
		into.place, err = rowsPlace{Rows: j.sent + items, Size: j.at.Size, Link: link, Trail: trail}.encode()
		if err != nil {
			return err
		}
		j.at.Link, j.trail = link, trail
		if j.empty++; items == 0 && j.empty < maxEmptyPages {
			return nil
		}
	}
	j.sent += items
	j.empty = 0
	into.parts = parts
	return nil
}
