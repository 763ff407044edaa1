package main

import (
	"context"
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/show"
	"github.com/crmbridge/crmbridge/messages"
)

type accountsCommands struct {
	Search accountsSearch `cmd:"" help:"Search accounts."`
	Get    accountsGet    `cmd:"" help:"Show one account."`
}

type accountsSearch struct {
	client
	Connection string   `arg:"" help:"Id of the connection."`
	Where      string   `placeholder:"JSON" help:"Filter, for example '{\"field\":\"industry\",\"op\":\"eq\",\"value\":\"Consulting\"}'."`
	Fields     []string `placeholder:"NAME,…" help:"Columns by friendly or logical name."`
	OrderBy    []string `placeholder:"NAME,…" help:"Order, for example -revenue,name."`
	PageSize   int      `placeholder:"N" help:"Rows per page, 1 to 5000."`
	Limit      int      `placeholder:"N" help:"At most this many rows."`
	Total      bool     `help:"Count the matching accounts too."`
	Cursor     string   `placeholder:"CURSOR" help:"Go on where an earlier page ended."`
	All        bool     `help:"Everything that matches, up to 50,000 rows, not one page."`
}

// Run prints one page, or with --all everything.
func (c *accountsSearch) Run(ctx context.Context, term *terminal) error {
	in := messages.AccountsSearchRequest{
		Target: messages.Target{Connection: c.Connection}, Fields: c.Fields, OrderBy: c.OrderBy, PageSize: messages.Count(c.PageSize),
		Cursor: c.Cursor, Limit: messages.Count(c.Limit), IncludeTotal: c.Total,
	}
	if c.Where != "" {
		where, err := parseWhere(c.Where)
		if err != nil {
			return err
		}
		in.Where = where
	}
	return c.ask(ctx, func(ctx context.Context, ask *messages.Client) error {
		page, err := c.pages(ctx, ask, in)
		if err != nil {
			return err
		}
		return c.print(term, page, func() error { return c.table(term, page) })
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

func (c *accountsSearch) table(term *terminal, page *messages.AccountsPage) error {
	fields := c.Fields
	if len(fields) == 0 {
		fields = messages.DefaultFields()
	}
	if err := show.Accounts(term.out, fields, page.Accounts); err != nil {
		return err
	}
	summary := fmt.Sprintf("%d accounts", len(page.Accounts))
	if page.Total != nil {
		summary += fmt.Sprintf(" of %d", *page.Total)
	}
	if page.NextCursor != "" {
		summary += fmt.Sprintf("; there are more: --cursor %s, or --all", page.NextCursor)
	}
	_, err := fmt.Fprintln(term.err, summary)
	return err
}

func parseWhere(text string) (*messages.Where, error) {
	var where messages.Where
	if err := json.Unmarshal([]byte(text), &where, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("%w: --where is not a filter in JSON such as {\"field\":\"name\",\"op\":\"contains\",\"value\":\"Inc\"}: %w", bridge.ErrUsage, err)
	}
	return &where, nil
}

type accountsGet struct {
	client
	Connection string   `arg:"" help:"Id of the connection."`
	AccountID  string   `arg:"" help:"Id of the account (GUID)."`
	Fields     []string `placeholder:"NAME,…" help:"Columns by friendly or logical name."`
}

// Run prints one account.
func (c *accountsGet) Run(ctx context.Context, term *terminal) error {
	return c.ask(ctx, func(ctx context.Context, ask *messages.Client) error {
		account, err := ask.Account(ctx, messages.AccountGetRequest{
			Target: messages.Target{Connection: c.Connection}, AccountID: c.AccountID, Fields: c.Fields})
		if err != nil {
			return err
		}
		return c.print(term, account, func() error {
			fields := c.Fields
			if len(fields) == 0 {
				fields = messages.DefaultFields()
			}
			var pairs [][2]string
			for _, field := range fields {
				pairs = append(pairs, [2]string{field, account.Text(field)})
			}
			return show.Pairs(term.out, pairs)
		})
	})
}
