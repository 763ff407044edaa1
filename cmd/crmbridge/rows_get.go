package main

import (
	"context"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

type rowsGet struct {
	ofTable
	client
	shown
	rowsListed
	connection
	ID     string `arg:"" name:"row" help:"Id of the ${row} (GUID)."`
	Fields names  `placeholder:"NAME" predictor:"fields" help:"Columns by friendly or logical name; default ${defaults}."`
}

// Help shows examples and names the fields.
func (c *rowsGet) Help() string {
	one := `"$(` + c.command(messages.VerbSearch) + ` --limit 1 --json | jq -r '.` + c.table.Name + `[0].id')"`
	return "Examples:\n  " + c.command(messages.VerbGet) + " \\\n    " + one + "\n\n" + c.fieldsHelp()
}

// orderedRow is a messages.RowReply whose row has its members in order.
type orderedRow struct {
	messages.Head
	Row jsontext.Value `json:"row" table:"row"`
}

// Run prints one row.
func (c *rowsGet) Run(ctx context.Context, std *stdio) (err error) {
	if c.Fields, err = c.check(c.table, c.Fields); err != nil {
		return err
	}
	return c.ask(ctx, func(ctx context.Context, ask *messages.Client) error {
		reply, err := ask.Table(c.table).GetReply(ctx, messages.GetRequest{
			Target: c.target(), ID: c.ID, Fields: c.Fields})
		if err != nil {
			return c.placed(err)
		}
		return c.show(std, reply)
	})
}

func (c *rowsGet) show(std *stdio, reply *messages.RowReply) error {
	fields := c.Fields
	if len(fields) == 0 {
		fields = c.table.DefaultFields
	}
	if c.CSV {
		return c.csvOf(std, fields).rows([]messages.Row{reply.Row})
	}
	row, err := inOrder(reply.Row, fields)
	switch {
	case err != nil:
		return err
	case c.JSONL:
		return term.JSONLine(std.out, row)
	case c.JSON:
		return term.JSON(std.out, messages.CodecFor[orderedRow](c.table).Wire(&orderedRow{reply.Head, row}))
	}
	var pairs [][2]string
	cells := c.cells(c.shown, fields, []messages.Row{reply.Row})[0]
	for i, field := range fields {
		pairs = append(pairs, [2]string{field, cells[i]})
	}
	return term.Pairs(std.out, pairs)
}
