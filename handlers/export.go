package handlers

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/plan"
	"github.com/crmbridge/crmbridge/messages"
)

// A parallel export is a search that runs as a job and whose rows come in no promised
// order: several ranges of the time of creation are read at once; see export_ranges.go. It
// begins like any search, with one page, in the order of creation. Where that has a next
// link, what is left is cut into a range for each reader. Who has finished a range takes
// the later half of another's.
//
// One goroutine, that which asks for parts, owns the table of ranges and delivers. Each
// page that is read has a goroutine of its own, and a range has one page under way at most.
// A page that has come is taken out of the table, and the place behind it is that of the whole
// table by then. While it is being stored, its range is read on: that page is in the place
// still, as all that are under way.

const (
	// smallTable is up to how many rows of a table, as Dataverse last counted them, a job
	// is read in sequence: it takes ten pages.
	smallTable = 50_000
	// countWait bounds the question for that number, which is only a hint.
	countWait = 10 * time.Second
)

// mayReadInParallel decides how the job is read. It is asked before the first page: rows
// that were stored in another order belong to no range.
func (j *searchJob) mayReadInParallel(ctx context.Context) bool {
	byTime := slices.ContainsFunc(j.entity.Fields, func(f messages.TableField) bool {
		return f.Logical == dynamics.CreatedOn().Logical && f.Type == messages.FieldDateTime
	})
	if !byTime || j.call.Job.Sequential || j.asked.Limit > 0 || len(j.asked.OrderBy) > 0 {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, countWait)
	defer cancel()
	rows, err := j.session.RecordCount(ctx, j.entity.Rows)
	return err != nil || rows == 0 || rows >= smallTable // no count, or 0, says nothing
}

// An export is one execution of a search in parallel, from its second page on.
type export struct {
	*searchJob
	table   *rangeTable
	readers readers
	first   *pageRead // of the range that it is of, nil where that begins anew
	reading int       // pages under way
	read    chan *pageRead
}

func (j *searchJob) newExport(table *rangeTable, number readers) *export {
	return &export{searchJob: j, table: table, readers: number, read: make(chan *pageRead, mostReaders)}
}

// split makes the ranges of what the first page and its next link are the beginning of, and
// the export. Nothing has been changed where its error is errManyParts.
func (j *searchJob) split(ctx context.Context) error {
	page := j.search.page
	number := newReaders(page.ParallelHint(), j.userCalls)
	table, err := j.slices(ctx, page, int64(number.now))
	if err != nil {
		return err
	}
	e, first := j.newExport(table, number), table.open[0]
	if first.whole { // else it begins anew, with the rows of this page that it has
		read := &pageRead{ctx: ctx, page: page, of: first, within: first.bounds}
		if read.next, read.link, err = j.session.After(j.rows, page); err != nil {
			return err
		}
		if read.trail.circles(read.next) {
			return inCircles()
		}
		if err := e.cut(read); err != nil {
			return err
		}
		first.busy = true
		e.first, j.search.page = read, nil
	}
	j.export = e
	return nil
}

// begin runs an export from its first page on, whose turn ends when that is stored.
func (e *export) begin(ctx context.Context, page *jobPage) error {
	if e.first == nil {
		page.end()
	} else {
		e.first.done = page.done
	}
	return e.run(ctx)
}

// slices makes the ranges of what the first page and all that follow it hold. The first
// one is that of the page.
func (j *searchJob) slices(ctx context.Context, page *dynamics.Page, n int64) (*rangeTable, error) {
	newest, there, err := j.session.Newest(ctx, j.entity.Rows, j.query.Filter)
	if err != nil {
		return nil, err
	}
	from, timed := page.Moment(page.Len() - 1)
	switch {
	case !there: // all are without a time, but for what is made from now on
		from, newest, timed = 0, time.Unix(0, 0), false
	case !timed: // the range begins behind those that are
		oldest, _, err := j.session.Oldest(ctx, j.entity.Rows, j.query.Filter)
		if err != nil {
			return nil, err
		}
		from = oldest.Unix()
	}
	return slicedTable(from, newest.Unix(), timed, n), nil
}

// goOnInParallel goes on at the place of a job that is read in parallel.
func (j *searchJob) goOnInParallel(ctx context.Context,
	planned func(context.Context, func(context.Context, plan.Planner) error) error) error {
	table, err := j.ranges.table()
	if err != nil {
		return err
	}
	j.at, j.byTime = j.from, true
	turn, done, err := j.call.Job.Turn(ctx) // the plan may take calls
	if err != nil {
		return err
	}
	err = planned(turn, j.plan)
	done()
	if err != nil {
		return err
	}
	return j.newExport(table, readers{}.bounded(j.ranges.Readers, j.userCalls)).run(ctx)
}

// run reads and delivers until no range is open. It returns when all of its goroutines
// have ended, and nothing holds a turn.
func (e *export) run(ctx context.Context) (err error) {
	ctx, stop := context.WithCancel(ctx)
	defer func() {
		stop()
		for ; e.reading > 0; e.reading-- {
			(<-e.read).end()
		}
	}()
	if e.first != nil {
		defer e.first.end()
		if err := e.deliver(ctx, e.first); err != nil {
			return err
		}
		e.first.end()
	}
	for len(e.table.open) > 0 {
		if err := e.start(ctx); err != nil {
			return err
		}
		if e.reading == 0 { // all had come when ctx ended, and none was begun since
			return cmp.Or(context.Cause(ctx), errors.New("no range of an export can be read"))
		}
		read := <-e.read
		e.reading--
		if read.err != nil {
			read.end()
			return e.fail(ctx, read.err, stop)
		}
		if err := e.publish(ctx, read); err != nil {
			return err
		}
	}
	return nil
}

// fail ends the execution with an error of one page. What others have read by then is
// delivered first where the error says nothing of it: it would be read again.
func (e *export) fail(ctx context.Context, cause error, stop func()) error {
	stop()
	deliver := slices.Contains([]dynamics.Kind{dynamics.Throttled, dynamics.Overloaded, dynamics.Unavailable,
		dynamics.Upstream}, dynamics.KindOf(cause))
	for e.reading > 0 {
		read := <-e.read
		e.reading--
		if read.err != nil || !deliver {
			read.end()
		} else if err := e.publish(ctx, read); err != nil {
			return err
		}
	}
	return e.fault(cause)
}

// start has as many pages read as there may be. Where ctx has ended, none is begun.
func (e *export) start(ctx context.Context) error {
	for e.reading < e.readers.now && ctx.Err() == nil {
		r := e.table.free()
		if r == nil {
			return nil
		}
		if err := e.prepare(r); err != nil {
			return err
		}
		r.busy = true
		e.reading++
		read := &pageRead{of: r, within: r.bounds, size: e.at.Size, round: e.readers.round}
		rows, link, trail := r.rows, r.link, r.trail
		go func() {
			read.err = dynamics.Guard(func() error { return e.fetch(ctx, read, rows, link, trail) })()
			e.read <- read
		}()
	}
	return nil
}

// prepare makes the query of a range and the link to go on at.
func (e *export) prepare(r *openRange) (err error) {
	if r.rows == nil {
		if r.rows, err = e.rangeQuery(r); err != nil {
			return err
		}
	}
	if r.link == "" && r.place != "" {
		r.link, err = e.session.LinkTo(r.rows, r.place)
	}
	return err
}

// rangeQuery is the query of a range: that of the search, which counts too where it was
// asked to, or that of the rows within bounds.
func (e *export) rangeQuery(r *openRange) (*dynamics.Prepared, error) {
	if r.whole {
		return e.rows, nil
	}
	query := e.query
	query.Filter, query.Count = r.asked.Within(query.Filter), false
	return e.session.Prepare(e.entity.Rows, query)
}
