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

// searchJob answers a search that runs as a job: every page, from the place where the job
// goes on. Each page is read within a turn, which lasts until its parts are stored; the next
// one is read meanwhile.
func (o *rowOperations) searchJob(ctx context.Context, c route.Call,
	in messages.SearchRequest) iter.Seq2[route.Part, error] {
	return yielding(func(yield func(route.Part) bool) error {
		if in.Cursor != "" {
			return noCursor()
		}
		in.PageSize = cmp.Or(in.PageSize, messages.MaxPageSize)
		s, err := o.newSearch(ctx, c, in)
		if err != nil {
			return err
		}
		j := &searchJob{search: s, yield: yield, userCalls: o.UserCalls}
		if err := j.begin(); err != nil {
			return err
		}
		return j.run(ctx, o.Catalog)
	})
}

func noCursor() error {
	return messages.Invalid("cursor", "a job reads everything from the beginning; leave cursor out")
}

// errEnough says that nobody wants further parts.
var errEnough = errors.New("no further parts are wanted")

// yielding makes a sequence of what yields parts and returns an error.
func yielding(run func(yield func(route.Part) bool) error) iter.Seq2[route.Part, error] {
	return func(yield func(route.Part, error) bool) {
		err := run(func(part route.Part) bool { return yield(part, nil) })
		if err != nil && !errors.Is(err, errEnough) {
			yield(route.Part{}, err)
		}
	}
}

// A searchJob is one execution of a search that runs as a job.
type searchJob struct {
	*search
	yield     func(route.Part) bool
	trail     trail
	ranges    *rangesPlace // of a search in parallel that goes on
	export    *export      // the same, once it has been begun
	userCalls int          // see Operations.UserCalls
	empty     int          // pages without a row since the last part
}

// begin settles where the job goes on.
func (j *searchJob) begin() error {
	p, there, err := placeOf(j.call.Job)
	if err != nil || !there {
		return err
	}
	j.resumed, j.place, j.trail, j.ranges = true, p.At, p.Trail, p.Ranges
	j.from.Rows, j.from.Size, j.from.Total = p.Rows, p.Size, p.Total
	if (p.At == "") == (p.Ranges == nil) {
		return badPlace()
	}
	return nil
}

// run delivers everything from the job's place on.
func (j *searchJob) run(ctx context.Context, catalog *plan.Catalog) error {
	planned := func(ctx context.Context, try func(context.Context, plan.Planner) error) error {
		return catalog.Replan(j.session, j.entity, func(p plan.Planner) error { return try(ctx, p) })
	}
	if j.ranges != nil {
		return j.goOnInParallel(ctx, planned)
	}
	page := &jobPage{}
	pageReader(func(ctx context.Context, into *jobPage) error {
		return j.next(ctx, into, func(ctx context.Context) error {
			j.byTime = j.place == "" && j.mayReadInParallel(ctx)
			return planned(ctx, j.first)
		})
	}).read(ctx, page)
	if j.export != nil && page.err == nil {
		return j.export.begin(ctx, page)
	}
	next := pageReader(func(ctx context.Context, into *jobPage) error { return j.next(ctx, into, j.load) })
	return next.deliver(ctx, page, j.yield)
}

// next reads one page of the sequence and makes its parts. Where the first page shows that
// the job is one in parallel, j.export has it.
func (j *searchJob) next(ctx context.Context, into *jobPage, read func(context.Context) error) (err error) {
	if ctx, into.done, err = j.call.Job.Turn(ctx); err != nil {
		return err
	}
	into.confirm = j.confirm
	defer j.release()
	if err := read(ctx); err != nil {
		return j.fault(err)
	}
	for j.byTime && j.search.page.NextLink() != "" {
		if err := j.split(ctx); !errors.Is(err, errManyParts) {
			return err
		}
		if err := j.smaller(ctx); err != nil {
			return err
		}
	}
	parts, rows, more, err := j.cutPage(ctx)
	if err != nil {
		return err
	}
	j.at.Rows += rows
	into.more, into.total = more, j.at.Total
	if more {
		if into.place, err = j.placeAfter(j.search.page); err != nil {
			return err
		}
		if j.empty++; rows == 0 && j.empty < maxEmptyPages {
			return nil
		}
	}
	j.empty = 0
	into.parts = parts
	return nil
}

// confirm asks whether the connection still is what it was.
func (s *search) confirm(ctx context.Context) error { return s.session.Confirm(ctx, s.entity.Rows) }

// fault is the error of a page of a job: a place that Dataverse does not take comes from
// Dataverse, and from no requester.
func (j *searchJob) fault(err error) error {
	if dynamics.KindOf(err) == dynamics.Expired {
		return linkRefused(err)
	}
	return err
}

// cutPage makes the parts of the page, in fewer rows where it takes too many.
func (j *searchJob) cutPage(ctx context.Context) (parts []route.Part, rows int, more bool, err error) {
	for {
		page := j.search.page
		rows, more = page.Len(), page.NextLink() != ""
		if limit := int(j.asked.Limit); limit > 0 {
			rows = min(rows, limit-j.at.Rows)
			more = more && j.at.Rows+rows < limit
		}
		if parts, err = j.pack(ctx, firstRows(page, rows)); !errors.Is(err, errManyParts) {
			return parts, rows, more, err
		}
		if err = j.smaller(ctx); err != nil {
			return nil, 0, false, err
		}
	}
}

// smaller reads a page that takes too many parts again in fewer rows.
func (j *searchJob) smaller(ctx context.Context) error {
	held := j.search.page.Len()
	if held <= 1 || !j.resizable() {
		return j.manyParts()
	}
	j.at.Size = fewerRows(held, j.call.Job.MaxParts)
	j.session.Restart() // the same link is followed again
	if err := j.read(ctx); err != nil {
		return j.fault(err)
	}
	return nil
}

// fewerRows is how many rows to ask for where a page of so many takes more than the most
// parts: one row may take a part, so that this many fit in any case.
func fewerRows(rows, most int) int { return max(1, min(rows/2, most)) }

func (j *searchJob) manyParts() error {
	return messages.Errorf(messages.TooLarge, "a page of %s takes more than %d messages, and in this order it cannot "+
		"be read in smaller pages; ask for fewer fields, or give a smaller page_size", j.entity.Name,
		j.call.Job.MaxParts)
}

// pack makes the parts of rows of a page.
func (j *searchJob) pack(ctx context.Context, rows *pageRows) ([]route.Part, error) {
	end := searchEnd{}.tail(nil, j.at.Total)[1:]
	k := &packing{call: j.call, entity: j.entity, rows: rows, end: end, last: end}
	return k.parts(ctx)
}

// placeAfter moves the sequence behind a page, and is the place there.
func (j *searchJob) placeAfter(page *dynamics.Page) ([]byte, error) {
	at, link, err := j.session.After(j.rows, page)
	if err != nil {
		return nil, err
	}
	j.at.Link = link
	if j.trail.circles(at) {
		return nil, inCircles()
	}
	return rowsPlace{Rows: j.at.Rows, Size: j.at.Size, Total: j.at.Total, At: at, Trail: j.trail}.encode()
}

// hand yields the parts of a page, the last of them with the place behind it; without
// one it ends the answer.
func hand(parts []route.Part, place []byte, total *int64, yield func(route.Part) bool) error {
	for i, part := range parts {
		part.Total = total
		if i == len(parts)-1 {
			if part.Last = place == nil; !part.Last {
				part.Place = func() ([]byte, error) { return place, nil }
			}
		}
		if !yield(part) {
			return errEnough
		}
	}
	return nil
}
