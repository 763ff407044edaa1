package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

type rowsSearch struct {
	ofTable
	client
	shown
	connection
	Where    filter `placeholder:"FILTER" predictor:"where" help:"Those that match: an expression, or the tree in JSON."`
	Fields   names  `placeholder:"NAME" predictor:"fields" help:"Columns by friendly or logical name; default ${defaults}."`
	OrderBy  orders `placeholder:"NAME" predictor:"order" help:"Order, for example -created_at,name."`
	PageSize count  `placeholder:"N" help:"Rows per page, 1 to 5000."`
	Limit    count  `placeholder:"N" help:"At most this many rows."`
	Total    bool   `help:"Count the matching ${rows} too."`
	Cursor   string `placeholder:"CURSOR" help:"Go on where an earlier page ended, and show where this one ends."`
	All      bool   `help:"Everything that matches, up to 50,000 rows, not one page."`

	ShowCursor bool `help:"Show the cursor to go on with below the table."`
}

// Help shows examples.
func (c *rowsSearch) Help() string {
	x, search := examplesFor(c.table), c.command(messages.VerbSearch)
	return `Examples:
  ` + search + ` --limit 10
  ` + search + ` --where '` + x.choice + ` and ` + x.number + `' \
    --order-by -` + x.order + `
  ` + search + ` --where '{"field":"` + x.text + `","op":"not_null"}' --all --json

` + c.fieldsHelp() + `

` + c.whereHelp()
}

// Run prints one page, or with --all everything.
func (c *rowsSearch) Run(ctx context.Context, std *stdio) error {
	where, err := c.Where.tree()
	if err != nil {
		return err
	}
	in := messages.SearchRequest{
		Target: c.target(), Where: where, Fields: c.Fields, OrderBy: c.OrderBy,
		PageSize: messages.Count(c.PageSize), Cursor: c.Cursor, Limit: messages.Count(c.Limit), IncludeTotal: c.Total,
	}
	return c.ask(ctx, func(ctx context.Context, ask *messages.Client) error {
		page, err := c.pages(ctx, ask, in)
		if err != nil {
			return c.Where.explain(err)
		}
		answer := messages.CodecFor[messages.Page](c.table).Wire(page)
		return c.print(std, answer, func() error { return c.show(std, page) })
	})
}

// pages reads one page, or all parts of a stream into one.
func (c *rowsSearch) pages(
	ctx context.Context, ask *messages.Client, in messages.SearchRequest,
) (*messages.Page, error) {
	if !c.All {
		return ask.Table(c.table).Search(ctx, in)
	}
	var whole *messages.Page
	for page, err := range ask.Table(c.table).Stream(ctx, in) {
		if err != nil {
			return nil, err
		}
		if whole != nil {
			page.Rows = append(whole.Rows, page.Rows...)
		}
		whole = page
	}
	return whole, nil
}

func (c *rowsSearch) show(std *stdio, page *messages.Page) error {
	fields := c.columns(c.Fields, page.Rows)
	if err := term.Table(std.out, fields, c.cells(c.shown, fields, page.Rows)); err != nil {
		return err
	}
	summary := counted(len(page.Rows), c.table.One, c.table.Name)
	if page.Total != nil {
		summary += fmt.Sprintf(" of %d", *page.Total)
	}
	switch asked := c.ShowCursor || c.Cursor != ""; {
	case page.NextCursor == "":
	case asked:
		// On a line of its own, to be copied, and never cut.
		summary += "; there are more, from this cursor on:\n" + term.Safe(page.NextCursor)
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

type rowsGet struct {
	ofTable
	client
	shown
	connection
	ID     string `arg:"" name:"row" help:"Id of the ${row} (GUID)."`
	Fields names  `placeholder:"NAME" predictor:"fields" help:"Columns by friendly or logical name; default ${defaults}."`
}

// Help shows examples and names the fields.
func (c *rowsGet) Help() string {
	one := `"$(` + c.command(messages.VerbSearch) + ` --limit 1 --json | jq -r '.` + c.table.Name + `[0].id')"`
	return "Examples:\n  " + c.command(messages.VerbGet) + " \\\n    " + one + "\n\n" + c.fieldsHelp()
}

// Run prints one row.
func (c *rowsGet) Run(ctx context.Context, std *stdio) error {
	return c.ask(ctx, func(ctx context.Context, ask *messages.Client) error {
		row, err := ask.Table(c.table).Get(ctx, messages.GetRequest{
			Target: c.target(), ID: c.ID, Fields: c.Fields})
		if err != nil {
			return err
		}
		return c.print(std, map[string]any{c.table.One: row}, func() error {
			fields := c.Fields
			if len(fields) == 0 {
				fields = c.table.DefaultFields
			}
			var pairs [][2]string
			cells := c.cells(c.shown, fields, []messages.Row{row})[0]
			for i, field := range fields {
				pairs = append(pairs, [2]string{field, cells[i]})
			}
			return term.Pairs(std.out, pairs)
		})
	})
}
