package main

import (
	"context"
	"fmt"

	"github.com/crmbridge/crmbridge/messages"
)

type accountsCount struct {
	client
	connection
	Where filter `placeholder:"FILTER" help:"Count those that match: an expression, or the tree in JSON. All by default."`
}

// Help shows examples.
func (c *accountsCount) Help() string {
	return `Examples:
  crmbridge accounts count acme
  crmbridge accounts count acme --where 'industry in (Consulting, Accounting) and employees >= 50'

` + whereHelp
}

// Run prints the number alone, for scripts.
func (c *accountsCount) Run(ctx context.Context, std *stdio) error {
	where, err := c.Where.tree()
	if err != nil {
		return err
	}
	return c.ask(ctx, func(ctx context.Context, ask *messages.Client) error {
		count, err := ask.Count(ctx, messages.AccountsCountRequest{Target: c.target(), Where: where})
		if err != nil {
			return c.Where.explain(err)
		}
		answer := struct {
			Connection string `json:"connection"`
			Count      int64  `json:"count"`
		}{c.Connection, count}
		return c.print(std, answer, func() error {
			_, err := fmt.Fprintln(std.out, count)
			return err
		})
	})
}
