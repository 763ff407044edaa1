package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

type rowsFields struct {
	ofTable
	client
	connection
	CustomOnly bool `help:"Only fields that the customer or an app added."`
}

// Help shows examples.
func (c *rowsFields) Help() string {
	choice, _ := shownChoice(c.table)
	if choice == "" {
		choice = "name"
	}
	return `All fields that ` + c.table.Name + ` have in the environment, by the name to ask for them, with the
options of choices. The last column marks fields that filters cannot use, and fields that
field-level security hides from the connection's user: they are empty in every row.

Examples:
  ` + c.command(messages.VerbFields) + ` --custom-only
  ` + c.command(messages.VerbFields) + ` --json |
    jq '.fields[] | select(.name == "` + choice + `").options'`
}

// Run prints all fields, page by page.
func (c *rowsFields) Run(ctx context.Context, std *stdio) error {
	return c.askOften(ctx, func(ctx context.Context, ask *asker) error {
		all, err := c.all(ctx, ask, std)
		if err != nil {
			return err
		}
		return c.print(std, all, func() error { return c.show(std, all.Fields) })
	})
}

// all reads all pages into one.
func (c *rowsFields) all(ctx context.Context, ask *asker, std *stdio) (*messages.FieldsReply, error) {
	in := messages.FieldsRequest{Target: c.target(), CustomOnly: c.CustomOnly}
	var fields []messages.Field
	progress := std.progress()
	defer progress.clear()
	for range mostPages {
		page, err := once(ctx, ask, ask.client.Table(c.table).Fields, in)
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

func (c *rowsFields) show(std *stdio, fields []messages.Field) error {
	rows := make([][]string, len(fields))
	for i, field := range fields {
		note := ""
		switch {
		case !field.Readable:
			note = "hidden by field-level security"
		case !field.Searchable:
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
	return term.Prose(std.err, 2, counted(len(fields), "field", "fields"))
}

// optionList names options as filters may: by number or label.
func optionList(options []messages.Choice) string {
	words := make([]string, len(options))
	for i, option := range options {
		words[i] = strconv.FormatInt(option.Value, 10) + " " + option.Label
	}
	return strings.Join(words, ", ")
}
