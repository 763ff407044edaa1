package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

type accountsChanges struct {
	client
	connection
	Cursor     string   `xor:"cursor" placeholder:"CURSOR" help:"Go on where an earlier run ended. Without one, every account comes."`
	CursorFile string   `xor:"cursor" placeholder:"FILE" help:"Read the cursor from this file if it is there, and keep the next one in it."`
	Fields     []string `placeholder:"NAME" help:"Columns by friendly or logical name; those of the run that gave the cursor, with one."`
	PageSize   int      `placeholder:"N" help:"Rows per page, 1 to 5000."`
}

// Help shows examples.
func (c *accountsChanges) Help() string {
	return `What changed since last time. The first run begins with every account; later ones, with its cursor,
bring what was made, changed or deleted since. A run that fails leaves the cursor file as it was, so
that the next one brings the same changes again, and misses none. With --json each page is one
document as crmbridge sent it, in order: of an account that comes twice the later state counts.

Examples:
  crmbridge accounts changes acme --cursor-file acme.cursor --fields id,name,email
  crmbridge accounts changes acme --cursor-file acme.cursor --json | jq -r '.deleted[]'`
}

// Run follows the changes to their end and prints them page by page.
func (c *accountsChanges) Run(ctx context.Context, std *stdio) error {
	in := messages.AccountsChangesRequest{Target: c.target(),
		Cursor: c.Cursor, Fields: c.Fields, PageSize: messages.Count(c.PageSize)}
	if c.CursorFile != "" {
		var err error
		if in.Cursor, err = readCursor(c.CursorFile); err != nil {
			return err
		}
	}
	return c.askOften(ctx, func(ctx context.Context, ask *asker) error {
		found, err := c.follow(ctx, ask, std, in)
		if err != nil {
			return c.advise(err)
		}
		next := "--cursor " + found.cursor
		if c.CursorFile != "" {
			if err := writeCursor(c.CursorFile, found.cursor); err != nil {
				return err
			}
			next = "the cursor is in " + c.CursorFile
		}
		if c.JSON && c.CursorFile == "" && !found.more {
			return nil // the cursor is in the last document
		}
		return found.summarize(std, next)
	})
}

// changesFound is what a run has printed.
type changesFound struct {
	accounts, deleted int
	cursor            string
	more              bool
}

func (f *changesFound) summarize(std *stdio, next string) error {
	summary := fmt.Sprintf("%d accounts made or changed, %d deleted", f.accounts, f.deleted)
	if f.more {
		summary += fmt.Sprintf("; there are more after %d pages: run it again", mostPages)
	}
	_, err := fmt.Fprintf(std.err, "%s; next time: %s\n", summary, term.Safe(next))
	return err
}

// follow asks until there is no more, and prints each page as it comes, so that a
// first run over a large environment needs no more memory than a page.
func (c *accountsChanges) follow(ctx context.Context, ask *asker, std *stdio, in messages.AccountsChangesRequest) (*changesFound, error) {
	var found changesFound
	progress := std.progress()
	defer progress.clear()
	for range mostPages {
		page, err := once(ctx, ask, ask.client.Changes, in)
		if err != nil {
			return nil, err
		}
		progress.clear()
		if err := c.print(std, page, func() error { return c.table(std, page) }); err != nil {
			return nil, err
		}
		found.accounts += len(page.Accounts)
		found.deleted += len(page.Deleted)
		found.cursor, found.more = page.NextCursor, page.HasMore
		if page.NextCursor == "" || page.HasMore && page.NextCursor == in.Cursor {
			return nil, errNoProgress()
		}
		if !page.HasMore {
			break
		}
		in = messages.AccountsChangesRequest{Target: in.Target, Cursor: page.NextCursor, PageSize: in.PageSize}
		progress.say("%d accounts made or changed, %d deleted …", found.accounts, found.deleted)
	}
	return &found, nil
}

func (c *accountsChanges) table(std *stdio, page *messages.AccountsChangesReply) error {
	if len(page.Accounts) > 0 {
		if err := term.Accounts(std.out, columnsOf(c.Fields, page.Accounts), page.Accounts); err != nil {
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

// advise says how to go on behind a cursor that is too old.
func (c *accountsChanges) advise(err error) error {
	fault, ok := errors.AsType[*messages.Error](err)
	if ok && fault.Code == messages.CursorExpired && c.CursorFile != "" {
		return fmt.Errorf("%w; remove %s to begin with every account", err, c.CursorFile)
	}
	return err
}
