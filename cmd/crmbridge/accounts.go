package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

type accountsCommands struct {
	Search  accountsSearch  `cmd:"" help:"Search accounts."`
	Get     accountsGet     `cmd:"" help:"Show one account."`
	Count   accountsCount   `cmd:"" help:"Count accounts."`
	Fields  accountsFields  `cmd:"" help:"List the fields that accounts have."`
	Changes accountsChanges `cmd:"" help:"Show what changed since last time."`
}

type accountsSearch struct {
	client
	connection
	Where    filter   `placeholder:"FILTER" help:"Those that match: an expression, or the tree in JSON."`
	Fields   []string `placeholder:"NAME" help:"Columns by friendly or logical name."`
	OrderBy  []string `placeholder:"NAME" help:"Order, for example -revenue,name."`
	PageSize int      `placeholder:"N" help:"Rows per page, 1 to 5000."`
	Limit    int      `placeholder:"N" help:"At most this many rows."`
	Total    bool     `help:"Count the matching accounts too."`
	Cursor   string   `placeholder:"CURSOR" help:"Go on where an earlier page ended."`
	All      bool     `help:"Everything that matches, up to 50,000 rows, not one page."`
}

// whereHelp is the expression form in short.
const whereHelp = `A filter is made of comparisons with and, or, not and parentheses:
  =  !=  <  <=  >  >=     employees >= 50
  in, not in              industry in (Consulting, "Durable Manufacturing")
  between                 created_at between 2024-01-01 and 2024-01-31
  contains, not contains, starts with, ends with
  is null, is not null    phone is not null
  contains any, contains none (several choices)
Text of several words goes in double or single quotes. An apostrophe may be doubled in both, and must
be in single ones. In a POSIX shell put the whole into double quotes to keep apostrophes:
  --where "name contains 'O''Brien' or name = 'A. Datum'"`

// Help shows examples.
func (c *accountsSearch) Help() string {
	return `Examples:
  crmbridge accounts search acme --where 'industry = Consulting and employees >= 50' --order-by=-revenue
  crmbridge accounts search acme --where '{"field":"city","op":"eq","value":"London"}' --all --json

` + whereHelp
}

// Run prints one page, or with --all everything.
func (c *accountsSearch) Run(ctx context.Context, std *stdio) error {
	where, err := c.Where.tree()
	if err != nil {
		return err
	}
	in := messages.AccountsSearchRequest{
		Target: c.target(), Where: where, Fields: c.Fields, OrderBy: c.OrderBy,
		PageSize: messages.Count(c.PageSize), Cursor: c.Cursor, Limit: messages.Count(c.Limit), IncludeTotal: c.Total,
	}
	return c.ask(ctx, func(ctx context.Context, ask *messages.Client) error {
		page, err := c.pages(ctx, ask, in)
		if err != nil {
			return c.Where.explain(err)
		}
		return c.print(std, page, func() error { return c.table(std, page) })
	})
}

// pages reads one page, or all parts of a stream into one.
func (c *accountsSearch) pages(ctx context.Context, ask *messages.Client, in messages.AccountsSearchRequest) (*messages.AccountsPage, error) {
	if !c.All {
		return ask.Search(ctx, in)
	}
	var whole *messages.AccountsPage
	for page, err := range ask.Stream(ctx, in) {
		if err != nil {
			return nil, err
		}
		if whole != nil {
			page.Accounts = append(whole.Accounts, page.Accounts...)
		}
		whole = page
	}
	return whole, nil
}

func (c *accountsSearch) table(std *stdio, page *messages.AccountsPage) error {
	if err := term.Accounts(std.out, columnsOf(c.Fields, page.Accounts), page.Accounts); err != nil {
		return err
	}
	summary := fmt.Sprintf("%d accounts", len(page.Accounts))
	if page.Total != nil {
		summary += fmt.Sprintf(" of %d", *page.Total)
	}
	if page.NextCursor != "" {
		summary += fmt.Sprintf("; there are more: --cursor %s, or --all", page.NextCursor)
	}
	_, err := fmt.Fprintln(std.err, summary)
	return err
}

// columnsOf are a table's columns: the fields asked for. A cursor sent alone
// brings the fields of its first query, which only the accounts tell.
func columnsOf(fields []string, accounts []messages.Account) []string {
	if len(fields) > 0 {
		return fields
	}
	usual := messages.DefaultFields()
	if len(accounts) == 0 || len(accounts[0]) == len(usual) && !slices.ContainsFunc(usual, func(name string) bool { return accounts[0][name] == nil }) {
		return usual
	}
	return slices.Sorted(maps.Keys(accounts[0]))
}

type accountsGet struct {
	client
	connection
	AccountID string   `arg:"" help:"Id of the account (GUID)."`
	Fields    []string `placeholder:"NAME" help:"Columns by friendly or logical name."`
}

// Run prints one account.
func (c *accountsGet) Run(ctx context.Context, std *stdio) error {
	return c.ask(ctx, func(ctx context.Context, ask *messages.Client) error {
		account, err := ask.Account(ctx, messages.AccountGetRequest{
			Target: c.target(), AccountID: c.AccountID, Fields: c.Fields})
		if err != nil {
			return err
		}
		return c.print(std, account, func() error {
			fields := c.Fields
			if len(fields) == 0 {
				fields = messages.DefaultFields()
			}
			var pairs [][2]string
			for _, field := range fields {
				pairs = append(pairs, [2]string{field, account.Text(field)})
			}
			return term.Pairs(std.out, pairs)
		})
	})
}
