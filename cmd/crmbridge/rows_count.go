package main

import (
	"context"
	"fmt"

	"github.com/crmbridge/crmbridge/messages"
)

type rowsCount struct {
	ofTable
	client
	connection
	Where filter `placeholder:"FILTER" predictor:"where" help:"Count those that match: an expression, or the tree in JSON. All by default."`
}

// Help shows examples.
func (c *rowsCount) Help() string {
	x, count := examplesFor(c.table), c.command(messages.VerbCount)
	return `Examples:
  ` + count + `
  ` + count + ` \
    --where '` + x.either + ` and ` + x.number + `'

` + c.fieldsHelp() + `

` + c.whereHelp()
}

// Run prints the number alone, for scripts.
func (c *rowsCount) Run(ctx context.Context, std *stdio) error {
	where, err := c.Where.tree()
	if err != nil {
		return err
	}
	return c.ask(ctx, func(ctx context.Context, ask *messages.Client) error {
		progress := std.wait("counting " + c.table.Name)
		defer progress.end()
		reply, err := ask.Table(c.table).CountReply(ctx, messages.CountRequest{Target: c.target(), Where: where})
		if err != nil {
			return c.Where.explain(err)
		}
		progress.end()
		return c.print(std, reply, func() error {
			_, err := fmt.Fprintln(std.out, reply.Count)
			return err
		})
	})
}
