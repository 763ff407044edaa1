package main

import (
	"context"
	"iter"
	"strconv"
	"strings"

	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

type rowsFields struct {
	ofTable
	client
	listed
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

// Run prints all fields.
func (c *rowsFields) Run(ctx context.Context, std *stdio) error {
	in := messages.FieldsRequest{Target: c.target(), CustomOnly: c.CustomOnly}
	return c.askOften(ctx, func(ctx context.Context, ask *asker) error {
		progress := std.barOver("fields", 0)
		defer progress.end()
		var all []messages.Field
		for page, err := range fieldPages(ctx, ask, c.table, in) {
			switch {
			case err != nil:
			case c.JSON:
				err = term.JSON(std.out, page)
			case c.JSONL:
				err = jsonLinesOf(std, page.Fields)
			default:
				all = append(all, page.Fields...)
			}
			if err != nil {
				return err
			}
			progress.set(int64(len(all)))
		}
		progress.end()
		switch {
		case c.JSON, c.JSONL:
			return nil
		case c.CSV:
			return fieldsCSV(std, all)
		}
		return c.show(std, all)
	})
}

// fieldPages asks for page after page.
func fieldPages(ctx context.Context, ask *asker, table messages.Table,
	in messages.FieldsRequest) iter.Seq2[*messages.FieldsReply, error] {
	return func(yield func(*messages.FieldsReply, error) bool) {
		for range mostPages {
			page, err := once(ctx, ask, ask.client.Table(table).Fields, in)
			if !yield(page, err) || err != nil || page.NextCursor == "" {
				return
			}
			if page.NextCursor == in.Cursor {
				break
			}
			in.Cursor = page.NextCursor
		}
		yield(nil, errNoProgress())
	}
}

// fieldsCSV has a line for each field. Options are as tables show them.
func fieldsCSV(std *stdio, fields []messages.Field) error {
	lines := make([][]csvCell, len(fields))
	for i, field := range fields {
		lines[i] = csvTexts(field.Name, field.LogicalName, field.Label, field.Type, strconv.FormatBool(field.Custom),
			strconv.FormatBool(field.Readable), strconv.FormatBool(field.Searchable), optionsOf(field))
	}
	out := csvOutput{to: std, extra: []string{
		"name", "logical_name", "label", "type", "custom", "readable", "searchable", "options"}}
	return out.lines(lines)
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
		rows[i] = []string{field.Name, field.Label, field.Type, optionsOf(field), note}
	}
	if err := term.Table(std.out, []string{"name", "label", "type", "options", ""}, rows); err != nil {
		return err
	}
	return term.Prose(std.err, 2, counted(len(fields), "field", "fields"))
}

// optionsOf names the options of a field as filters may: by number or label.
func optionsOf(field messages.Field) string {
	words := make([]string, len(field.Options))
	for i, option := range field.Options {
		words[i] = strconv.FormatInt(option.Value, 10) + " " + option.Label
	}
	if field.OptionsTruncated {
		words = append(words, "…")
	}
	return strings.Join(words, ", ")
}
