package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

type accountsFields struct {
	client
	connection
	CustomOnly bool `help:"Only fields that the customer or an app added."`
}

// Help shows examples.
func (c *accountsFields) Help() string {
	return `All fields that accounts have in the environment, by the name to ask for them, with the options
of choices. Fields that filters cannot use are marked in the last column.

Examples:
  crmbridge accounts fields acme --custom-only
  crmbridge accounts fields acme --json | jq '.fields[] | select(.name == "industry").options'`
}

// Run prints all fields, page by page.
func (c *accountsFields) Run(ctx context.Context, std *stdio) error {
	return c.askOften(ctx, func(ctx context.Context, ask *asker) error {
		all, err := c.all(ctx, ask, std)
		if err != nil {
			return err
		}
		return c.print(std, all, func() error { return c.table(std, all.Fields) })
	})
}

// all reads all pages into one.
func (c *accountsFields) all(ctx context.Context, ask *asker, std *stdio) (*messages.AccountsFieldsReply, error) {
	in := messages.AccountsFieldsRequest{Target: c.target(), CustomOnly: c.CustomOnly}
	var fields []messages.Field
	progress := std.progress()
	defer progress.clear()
	for range mostPages {
		page, err := once(ctx, ask, ask.client.Fields, in)
		if err != nil {
			return nil, err
		}
		fields = append(fields, page.Fields...)
		if page.NextCursor == "" {
			page.Fields = fields
			return page, nil
		}
		if page.NextCursor == in.Cursor {
			return nil, errNoProgress()
		}
		in.Cursor = page.NextCursor
		progress.say("%d fields …", len(fields))
	}
	return nil, errNoProgress()
}

func (c *accountsFields) table(std *stdio, fields []messages.Field) error {
	rows := make([][]string, len(fields))
	for i, field := range fields {
		note := ""
		if !field.Searchable {
			note = "not for filters"
		}
		options := optionList(field.Options)
		if field.OptionsTruncated {
			options += ", …"
		}
		rows[i] = []string{field.Name, field.Label, field.Type, options, note}
	}
	if err := term.Table(std.out, []string{"name", "label", "type", "options", ""}, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(std.err, "%d fields\n", len(fields))
	return err
}

// optionList names options as filters may: by number or label.
func optionList(options []messages.Choice) string {
	words := make([]string, len(options))
	for i, option := range options {
		words[i] = strconv.FormatInt(option.Value, 10) + " " + option.Label
	}
	return strings.Join(words, ", ")
}
