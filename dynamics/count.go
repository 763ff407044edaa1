package dynamics

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sync/errgroup"
)

const (
	// maxCountCalls bounds the requests of one count: 5,000,000 rows if each had
	// to be read.
	maxCountCalls = 1000
	// countParallel is how many of them may be under way at once, of the 52 that
	// Dataverse allows a user over all processes.
	countParallel = 4
	// firstRanges and furtherRanges are into how many a range is split that Dataverse
	// does not count: the whole is known only to be above 50,000.
	firstRanges   = 8
	furtherRanges = 4
)

// Count returns the number of rows of t that match f, exact for unchanging data;
// nil counts all. Dataverse's $count stops at 5000 and its aggregates refuse more
// than 50,000 rows ("Aggregate data using OData", limitations,
// https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/aggregate-data).
// What is refused is counted by ranges of the time of creation, and what cannot be
// split, or where the environment has no aggregates, by reading ids page by
// page. More than 1000 requests are not made for it: kind TooLarge.
func (s *Session) Count(ctx context.Context, t Table, f Filter) (int64, error) {
	c := &counter{session: s, table: t, filter: f}
	n, err := c.aggregate(ctx, f)
	switch {
	case KindOf(err) == AggregateLimit:
		return c.countByRange(ctx)
	case withoutAggregates(err):
		return c.read(ctx, f)
	}
	return n, err
}

// Exceeds reports whether more than the 50,000 rows that Dataverse aggregates
// match f, which is also [MaxSimplePaging], in one request. What cannot be found out
// so is an error.
func (s *Session) Exceeds(ctx context.Context, t Table, f Filter) (bool, error) {
	n, err := (&counter{session: s, table: t, filter: f}).aggregate(ctx, f)
	if KindOf(err) == AggregateLimit {
		return true, nil
	}
	return n > MaxSimplePaging, err
}

// withoutAggregates tells an environment that does not take $apply from one that
// refuses this filter, as far as that can be told: a filter that is wrong is
// refused again when ids are read by it. A query that costs too much would cost more so.
func withoutAggregates(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && !e.OfQuery() && (e.Kind == Invalid && e.Status == http.StatusBadRequest ||
		e.Status == http.StatusNotImplemented)
}

// A counter is one count at work.
type counter struct {
	session *Session
	table   Table
	filter  Filter // nil: every row
	calls   atomic.Int64
}

// op is the count's operation.
func (c *counter) op() string { return c.table.op("count") }

// spend takes one request from those that the count may make.
func (c *counter) spend() error {
	if c.calls.Add(1) > maxCountCalls {
		return &Error{Kind: TooLarge, Op: c.op(),
			Message: "counting takes more than 1000 requests; give a narrower filter"}
	}
	return nil
}

// aggregate has Dataverse count.
func (c *counter) aggregate(ctx context.Context, f Filter) (int64, error) {
	if err := c.spend(); err != nil {
		return 0, err
	}
	r := request{op: c.op(), most: maxSmallBody}
	const aggregation = "aggregate($count as c)"
	options := "$apply=" + encode(aggregation)
	if f != nil {
		e := expressions.Get().(*expression)
		defer e.release()
		if err := e.fit(f, func(dst, filter []byte) []byte {
			dst = appendEncoded(append(dst, "$apply="...), "filter(")
			return appendEncoded(appendEncoded(dst, filter), ")/"+aggregation)
		}); err != nil {
			return 0, err
		}
		options = string(e.options)
		r.redact.query, r.redact.form = &Query{Filter: f}, e.form
	}
	var count int64
	r.read = func(b *body) (err error) {
		count, err = readCount(b)
		return err
	}
	err := c.session.getOf(ctx, c.table, r, c.table.Set, options)
	return count, err
}

// readCount reads {"value":[{"c":N}]}. No row at all is an aggregate over nothing.
func readCount(b *body) (int64, error) {
	var answer struct {
		Value *[]struct {
			C *int64 `json:"c"`
		} `json:"value"`
	}
	if err := into(&answer)(b); err != nil {
		return 0, err
	}
	switch rows := answer.Value; {
	case rows != nil && len(*rows) == 0:
		return 0, nil
	case rows != nil && len(*rows) == 1 && (*rows)[0].C != nil && *(*rows)[0].C >= 0:
		return *(*rows)[0].C, nil
	}
	return 0, pageFault("the answer holds no count")
}

// read counts the rows of all pages.
func (c *counter) read(ctx context.Context, f Filter) (total int64, err error) {
	p, err := c.session.Prepare(c.table, Query{Filter: f, PageSize: MaxPageSize})
	if err != nil {
		return 0, err
	}
	for link := ""; ; {
		if err := c.spend(); err != nil {
			return 0, err
		}
		page, err := c.session.Page(ctx, p, link)
		if err != nil {
			return 0, err
		}
		total += int64(page.Len())
		link = page.NextLink()
		page.Release()
		if link == "" {
			return total, nil
		}
	}
}

// moment returns the least or, with desc, the greatest time of creation of the
// rows that match, and whether there is one.
func (c *counter) moment(ctx context.Context, desc bool) (at time.Time, there bool, err error) {
	p, err := c.session.Prepare(c.table, Query{
		Select:   []Output{{Column: createdOn, As: "at"}},
		Filter:   both(c.filter, Test{Column: createdOn, Op: NotNull}),
		OrderBy:  []Order{{Column: createdOn, Desc: desc}},
		PageSize: 1,
	})
	if err == nil {
		err = c.spend()
	}
	if err != nil {
		return time.Time{}, false, err
	}
	page, err := c.session.Page(ctx, p, "")
	if err != nil || page.Len() == 0 {
		return time.Time{}, false, err
	}
	var row struct {
		At time.Time `json:"at"`
	}
	if err := json.Unmarshal(page.Row(0), &row); err != nil || row.At.IsZero() {
		return time.Time{}, false, unusable(c.op(), "the time of a row's creation cannot be read", err)
	}
	return row.At.UTC(), true, nil
}

// countByRange counts what is too much for one aggregate, range by range of the time
// of creation.
func (c *counter) countByRange(ctx context.Context) (int64, error) {
	todo := []TimeRange{{WithoutTime: true}}
	low, there, err := c.moment(ctx, false)
	if err != nil {
		return 0, err
	}
	if there {
		high, _, err := c.moment(ctx, true)
		if err != nil {
			return 0, err
		}
		whole := TimeRange{From: low.Unix(), To: max(high.Unix(), low.Unix()) + 1, FromAny: true, ToAny: true}
		todo = append(todo, whole.Split(firstRanges)...)
	}
	var total atomic.Int64
	for len(todo) > 0 {
		refused := make([]bool, len(todo))
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(countParallel)
		for i, one := range todo {
			group.Go(Guard(func() error {
				n, err := c.countRange(ctx, one)
				if refused[i] = KindOf(err) == AggregateLimit; refused[i] {
					return nil
				}
				total.Add(n)
				return err
			}))
		}
		if err := group.Wait(); err != nil {
			return 0, err
		}
		var next []TimeRange
		for i, one := range todo {
			if refused[i] {
				next = append(next, one.Split(furtherRanges)...)
			}
		}
		todo = next
	}
	return total.Load(), nil
}

// countRange counts one range, by reading it where it cannot be split further.
func (c *counter) countRange(ctx context.Context, one TimeRange) (int64, error) {
	f := one.Within(c.filter)
	n, err := c.aggregate(ctx, f)
	if KindOf(err) == AggregateLimit && !one.Divisible() || withoutAggregates(err) {
		return c.read(ctx, f)
	}
	return n, err
}
