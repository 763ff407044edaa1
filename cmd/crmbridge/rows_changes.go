package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

type rowsChanges struct {
	ofTable
	client
	shown
	rowsListed
	connection
	Cursor     string `xor:"cursor" placeholder:"CURSOR" help:"Go on where an earlier run ended; by default begin with every ${row}."`
	CursorFile string `xor:"cursor" placeholder:"FILE" help:"Read the cursor from this file if it is there, and keep the next one in it."`
	Fields     names  `placeholder:"NAME" predictor:"fields" help:"Columns by friendly or logical name; default ${defaults}, or those of the cursor; --csv goes on with a cursor only where the fields that it was begun with are given."`
	PageSize   count  `placeholder:"N" help:"Rows per page, 1 to 5000."`
	ShowCursor bool   `help:"Show the cursor to go on with next time, where it is in no file."`

	usualFields bool // that CSV has because none are named
}

// Help shows examples.
func (c *rowsChanges) Help() string {
	changes := c.command(messages.VerbChanges) + " --cursor-file demo-" + c.table.Name + ".cursor"
	return `What changed since last time. The first run begins with every ` + c.table.One + `; later ones, with its
cursor, bring what was made, changed or deleted since. A run that fails leaves the cursor file as it
was, so that the next one brings the same changes again, and misses none. A cursor file belongs to one
table. With --json each page is one document as crmbridge sent it, in order: of ` + c.table.Name + ` that come
twice the later state counts.

` + c.fieldsHelp() + `

Examples:
  ` + changes + ` \
    --fields ` + strings.Join(c.table.DefaultFields, ",") + `
  ` + changes + ` \
    --json | jq -r '.deleted[]'`
}

// Run follows the changes to their end and prints them page by page.
func (c *rowsChanges) Run(ctx context.Context, std *stdio) error {
	if err := c.checkCSV(); err != nil {
		return err
	}
	in := messages.ChangesRequest{Target: c.target(),
		Cursor: c.Cursor, Fields: c.Fields, PageSize: messages.Count(c.PageSize)}
	if c.CursorFile != "" {
		lock, err := lockCursor(c.CursorFile)
		if err != nil {
			return err
		}
		defer lock.unlock()
		if in.Cursor, err = readCursor(c.CursorFile, c.table); err != nil {
			return err
		}
	}
	return c.askOften(ctx, func(ctx context.Context, ask *asker) error {
		found, err := c.follow(ctx, ask, std, in)
		if err != nil {
			return c.placed(flaggedAs(c.advise(err, in.Cursor), c.CursorFile != "", "cursor", "--cursor-file"))
		}
		next := "--cursor-file FILE keeps where to go on next time, --show-cursor shows it"
		switch {
		case c.CursorFile != "":
			if err := writeCursor(c.CursorFile, c.table, found.cursor); err != nil {
				return err
			}
			next = "next time: the cursor is in " + c.CursorFile
		case c.ShowCursor || c.Cursor != "":
			next = "next time from this cursor on:\n" + term.Safe(found.cursor)
		}
		if (c.JSON || c.JSONL) && c.CursorFile == "" && !found.more {
			return nil // the cursor is in the last document
		}
		return found.summarize(std, next)
	})
}

// changesFound is what a run has printed.
type changesFound struct {
	table         messages.Table
	rows, deleted int
	cursor        string
	more          bool
}

// String counts what was printed.
func (f *changesFound) String() string {
	return fmt.Sprintf("%s made or changed, %d deleted", counted(f.rows, f.table.One, f.table.Name), f.deleted)
}

func (f *changesFound) summarize(std *stdio, next string) error {
	summary := f.String()
	if f.more {
		summary += fmt.Sprintf("; there are more after %d pages: run it again", mostPages)
	}
	return term.Prose(std.err, 2, summary+"; "+next)
}

// follow asks until there is no more, and prints each page as it comes, so that a
// first run over a large environment needs no more memory than a page.
func (c *rowsChanges) follow(
	ctx context.Context, ask *asker, std *stdio, in messages.ChangesRequest,
) (*changesFound, error) {
	found := changesFound{table: c.table}
	printPage := c.printer(std)
	progress := std.barOver(c.table.Name+" made or changed", 0)
	defer progress.end()
	for range mostPages {
		page, err := once(ctx, ask, ask.client.Table(c.table).Changes, in)
		if err != nil {
			return nil, err
		}
		if err := printPage(page); err != nil {
			return nil, err
		}
		found.rows += len(page.Rows)
		found.deleted += len(page.Deleted)
		found.cursor, found.more = page.NextCursor, page.HasMore
		if page.NextCursor == "" || page.HasMore && page.NextCursor == in.Cursor {
			return nil, errNoProgress()
		}
		if !page.HasMore {
			break
		}
		in = messages.ChangesRequest{Target: in.Target, Cursor: page.NextCursor, PageSize: in.PageSize}
		progress.set(int64(found.rows))
		if found.deleted > 0 {
			progress.says(fmt.Sprintf("%d deleted", found.deleted))
		}
	}
	return &found, nil
}

// checkCSV asks for the fields that the columns of CSV show, by name also where a cursor stands for
// them: so the columns are the same in every run, whatever comes first.
func (c *rowsChanges) checkCSV() (err error) {
	if c.Fields, err = c.check(c.table, c.Fields); err == nil && c.CSV && len(c.Fields) == 0 {
		c.Fields, c.usualFields = c.table.DefaultFields, true
	}
	return err
}

// printer prints pages in the form that was asked for.
func (c *rowsChanges) printer(std *stdio) func(*messages.ChangesReply) error {
	lines := c.csvOf(std, c.Fields)
	lines.extra = []string{"deleted"}
	return func(page *messages.ChangesReply) error {
		switch {
		case c.CSV:
			return c.csvPage(lines, page)
		case !c.JSON && !c.JSONL:
			return c.show(std, page)
		}
		rows, err := rowsInOrder(page.Rows, c.columns(c.Fields, page.Rows))
		if err != nil {
			return err
		}
		reply := messages.CodecFor[orderedChanges](c.table).Wire(
			&orderedChanges{page.Head, rows, page.Deleted, page.NextCursor, page.HasMore})
		if c.JSONL {
			return term.JSONLine(std.out, reply)
		}
		return term.JSON(std.out, reply)
	}
}

// An orderedChanges is a messages.ChangesReply whose rows have their members in order.
type orderedChanges struct {
	messages.Head
	Rows       []jsontext.Value `json:"rows" table:"rows"`
	Deleted    []string         `json:"deleted"`
	NextCursor string           `json:"next_cursor"`
	HasMore    bool             `json:"has_more"`
}

// csvPage prints a line for each row, and one for each row that is gone: with its id in the last
// column, which is empty for others, and nothing else.
func (c *rowsChanges) csvPage(to *csvOutput, page *messages.ChangesReply) error {
	if err := to.rows(page.Rows); err != nil {
		return err
	}
	lines := make([][]csvCell, len(page.Deleted))
	for i, id := range page.Deleted {
		lines[i] = append(make([]csvCell, len(to.columns)), csvCell{text: id})
	}
	return to.lines(lines)
}

func (c *rowsChanges) show(std *stdio, page *messages.ChangesReply) error {
	if len(page.Rows) > 0 {
		fields := c.columns(c.Fields, page.Rows)
		if err := term.Table(std.out, fields, c.cells(c.shown, fields, page.Rows)); err != nil {
			return err
		}
	}
	for _, id := range page.Deleted {
		if _, err := fmt.Fprintf(std.out, " deleted  %s\n", term.Safe(id)); err != nil {
			return err
		}
	}
	return nil
}

// advise says how to go on after a cursor that is too old, or was begun with other fields than those
// that CSV shows.
func (c *rowsChanges) advise(err error, cursor string) error {
	refused, ok := errors.AsType[*messages.Error](err)
	if ok && refused.Code == messages.CursorExpired && c.CursorFile != "" {
		return fmt.Errorf("%w; remove %s to begin with every %s", err, c.CursorFile, c.table.One)
	}
	if ok && refused.Code == messages.InvalidRequest && c.usualFields && cursor != "" &&
		strings.Contains(refused.Message, "belongs to other fields") {
		return messages.Invalid("cursor", "belongs to other fields than the default ones, which --csv shows without --fields; "+
			"give the --fields that it was begun with").Because(err)
	}
	return err
}
