package main

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

type rowsSearch struct {
	ofTable
	client
	shown
	rowsListed
	connection
	Where    filter `placeholder:"FILTER" predictor:"where" help:"Those that match: an expression, or the tree in JSON."`
	Fields   names  `placeholder:"NAME" predictor:"fields" help:"Columns by friendly or logical name; default ${defaults}."`
	OrderBy  orders `placeholder:"NAME" predictor:"order" help:"Order, for example -created_at,name."`
	PageSize count  `placeholder:"N" help:"Rows per page, 1 to 5000."`
	Limit    count  `placeholder:"N" help:"At most this many rows, of as many pages as they fill."`
	Total    bool   `help:"Count the matching ${rows} too."`
	Cursor   string `placeholder:"CURSOR" help:"Go on where an earlier page ended, and show where this one ends."`
	All      bool   `help:"Everything that matches, not one page; a table shows 50,000 ${rows} at most."`

	ShowCursor bool `help:"Show the cursor to go on with below the table; with --limit, too, there is one page then."`
}

// Help shows examples.
func (c *rowsSearch) Help() string {
	x, search := examplesFor(c.table), c.command(messages.VerbSearch)
	return `Examples:
  ` + search + ` --limit 10
  ` + search + ` --where '` + x.choice + ` and ` + x.number + `' \
    --order-by -` + x.order + `
  ` + search + ` --where '{"field":"` + x.text + `","op":"not_null"}' --all --json
  ` + search + ` --all --csv > ` + c.table.Name + `.csv

--json prints a document for each page as crmbridge sends it, --jsonl each ` + c.table.One + ` on a line, --csv what
tables show: the label of a choice, the name of a lookup, with every digit. With --all or --limit they
print page after page as it comes. For files that an ` + "`export`" + ` goes on with after a crash see '` + "crmbridge " + c.table.Name + ` export --help'.

` + c.fieldsHelp() + `

` + c.whereHelp()
}

// follows reports whether one page is not all that is asked for.
func (c *rowsSearch) follows() bool { return c.All || c.Limit > 0 && !c.ShowCursor }

// Run prints one page, or with --all or --limit page after page.
func (c *rowsSearch) Run(ctx context.Context, std *stdio) error {
	where, err := c.Where.tree()
	if err != nil {
		return err
	}
	if c.Fields, err = c.check(c.table, c.Fields); err != nil {
		return err
	}
	in := messages.SearchRequest{
		Target: c.target(), Where: where, Fields: c.Fields, OrderBy: c.OrderBy,
		PageSize: messages.Count(c.PageSize), Cursor: c.Cursor, Limit: messages.Count(c.Limit), IncludeTotal: c.Total,
	}
	if in.PageSize == 0 && in.Cursor == "" { // a cursor has its own
		switch {
		case c.All:
			in.PageSize = messages.MaxPageSize
		case c.follows() && in.Limit > messages.DefaultPageSize:
			in.PageSize = min(in.Limit, messages.MaxPageSize)
		}
	}
	return c.askOften(ctx, func(ctx context.Context, ask *asker) error {
		switch {
		case c.JSON, c.JSONL, c.CSV:
			err = c.stream(ctx, ask, std, in)
		default:
			err = c.tabulate(ctx, ask, std, in)
		}
		return c.placed(c.Where.explain(err))
	})
}

// pages asks for one page, or for one after the other: each when what the one before brought has
// been taken, so that there is never more than a page in memory.
func (c *rowsSearch) pages(ctx context.Context, ask *asker,
	in messages.SearchRequest) iter.Seq2[*messages.Page, error] {
	return func(yield func(*messages.Page, error) bool) {
		for range mostPages {
			page, err := once(ctx, ask, ask.client.Table(c.table).Search, in)
			if !yield(page, err) || err != nil || !c.follows() || page.NextCursor == "" {
				return
			}
			if page.NextCursor == in.Cursor {
				break
			}
			in = messages.SearchRequest{Target: in.Target, Cursor: page.NextCursor}
		}
		yield(nil, errNoProgress())
	}
}

// stream prints each page as it comes: a document for each as crmbridge sent it, or its rows.
func (c *rowsSearch) stream(ctx context.Context, ask *asker, std *stdio, in messages.SearchRequest) error {
	found := c.found()
	progress := std.barOver(c.table.Name, 0)
	defer progress.end()
	if c.Limit > 0 {
		progress.atMost(int64(c.Limit))
	}
	var lines *csvOutput
	for page, err := range c.pages(ctx, ask, in) {
		if err != nil {
			return found.before(err)
		}
		fields := c.columns(c.Fields, page.Rows)
		if c.CSV {
			if lines == nil {
				lines = c.csvOf(std, fields)
			}
			err = lines.rows(page.Rows)
		} else {
			err = c.printPage(std, page, fields)
		}
		if err != nil {
			return err
		}
		found.add(page)
		progress.set(int64(found.rows))
		progress.of(found.total)
	}
	progress.end()
	if c.JSON {
		return nil // the cursor and the total are in the document
	}
	return found.summarize(std)
}

// printPage prints a page as JSON, or its rows as lines of it.
func (c *rowsSearch) printPage(std *stdio, page *messages.Page, fields []string) error {
	rows, err := rowsInOrder(page.Rows, fields)
	if err != nil {
		return err
	}
	if c.JSONL {
		return jsonLinesOf(std, rows)
	}
	return term.JSON(std.out, messages.CodecFor[orderedPage](c.table).Wire(
		&orderedPage{page.Head, rows, page.Total, page.NextCursor}))
}

// An orderedPage is a messages.Page whose rows have their members in order.
type orderedPage struct {
	messages.Head
	Rows       []jsontext.Value `json:"rows" table:"rows"`
	Total      *int64           `json:"total,omitzero"`
	NextCursor string           `json:"next_cursor,omitzero"`
}

// tabulate prints all rows as one table, whose columns are as wide as its widest cells. There is a
// bound to that, which is the one of an answer in stream mode.
func (c *rowsSearch) tabulate(ctx context.Context, ask *asker, std *stdio, in messages.SearchRequest) error {
	progress := std.bar(c.table.Name, 0)
	defer progress.end()
	if c.Limit > 0 {
		progress.atMost(int64(c.Limit))
	}
	var whole *messages.Page
	for page, err := range c.pages(ctx, ask, in) {
		if err != nil {
			return err
		}
		if whole != nil {
			page.Rows = append(whole.Rows, page.Rows...)
			page.Total = cmp.Or(page.Total, whole.Total)
		}
		progress.set(int64(len(page.Rows)))
		progress.of(page.Total)
		if whole = page; len(whole.Rows) >= messages.MaxStreamRows {
			break
		}
	}
	progress.end()
	return c.show(std, whole)
}

// searchFound is what a search has printed.
type searchFound struct {
	table  messages.Table
	rows   int
	total  *int64
	cursor string

	shown bool // the cursor
	all   bool // that was asked for
}

func (c *rowsSearch) found() *searchFound {
	return &searchFound{table: c.table, shown: c.ShowCursor || c.Cursor != "", all: c.follows()}
}

func (f *searchFound) add(page *messages.Page) {
	f.rows += len(page.Rows)
	f.cursor = page.NextCursor
	if page.Total != nil {
		f.total = page.Total
	}
}

// before says of an error what came before it.
func (f *searchFound) before(err error) error {
	if f.rows == 0 {
		return err
	}
	return fmt.Errorf("%w; %s came before, which are not all", err, counted(f.rows, f.table.One, f.table.Name))
}

func (c *rowsSearch) show(std *stdio, page *messages.Page) error {
	fields := c.columns(c.Fields, page.Rows)
	if err := term.Table(std.out, fields, c.cells(c.shown, fields, page.Rows)); err != nil {
		return err
	}
	found := c.found()
	found.add(page)
	return found.summarize(std)
}

// summarize says on stderr how many rows there were, and whether there are more.
func (f *searchFound) summarize(std *stdio) error {
	summary := counted(f.rows, f.table.One, f.table.Name)
	if f.total != nil {
		summary += fmt.Sprintf(" of %d", *f.total)
	}
	switch {
	case f.cursor == "":
	case f.shown: // on a line of its own, to be copied
		summary += "; there are more, from this cursor on:\n" + term.Safe(f.cursor)
	case f.all:
		summary += "; there are more than a table shows: --csv, --jsonl, --json or export"
	default:
		summary += "; there are more: --all, --page-size, or page by page with --show-cursor"
	}
	return term.Prose(std.err, 2, summary)
}

// counted is a number of things.
func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// columns are the columns that a person sees: the fields asked for. A cursor sent alone
// brings the fields of its first query, which only the rows show.
func (o ofTable) columns(fields []string, rows []messages.Row) []string {
	if len(fields) > 0 {
		return fields
	}
	usual := o.table.DefaultFields
	missing := func(name string) bool { return rows[0][name] == nil }
	if len(rows) == 0 || len(rows[0]) == len(usual) && !slices.ContainsFunc(usual, missing) {
		return usual
	}
	return slices.Sorted(maps.Keys(rows[0]))
}
