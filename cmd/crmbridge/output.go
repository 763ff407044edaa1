package main

import (
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/cmd/internal/term"
	"github.com/crmbridge/crmbridge/messages"
)

// listed are the forms that a command has which prints what is many: beside a table, and --json,
// whose documents are replies, one for each.
type listed struct {
	JSONL bool `name:"jsonl" xor:"form" help:"Print each as JSON on a line of its own."`
	CSV   bool `name:"csv" xor:"form" help:"Print CSV: a header line, every digit, times in UTC."`
}

// sheet are the flags of a command whose CSV may be for a spreadsheet.
type sheet struct {
	Spreadsheet bool `name:"spreadsheet" help:"CSV for Excel and the like: a text that begins with = + - or @, which would be a formula, has an apostrophe before it."`
}

// chosen is the flag that says which columns CSV has.
type chosen struct {
	Columns columns `name:"columns" predictor:"columns" placeholder:"HEADER=FIELD" help:"Columns of CSV with headers of your own, such as 'Company Name=name,Website=website', in place of --fields."`
}

// rowsListed are the forms of commands that print rows.
type rowsListed struct {
	listed
	sheet
	chosen
}

// check finds flags that have no effect, and returns the fields to ask for.
func (o rowsListed) check(table messages.Table, fields names) (names, error) {
	switch {
	case o.Spreadsheet && !o.CSV:
		return nil, fmt.Errorf("%w: --spreadsheet is for --csv", bridge.ErrUsage)
	case len(o.Columns) == 0:
		return fields, nil
	case !o.CSV:
		return nil, fmt.Errorf("%w: --columns is for --csv; --fields says what other forms show", bridge.ErrUsage)
	case len(fields) > 0:
		return nil, fmt.Errorf("%w: --columns says which fields there are, --fields too; give one", bridge.ErrUsage)
	}
	return o.Columns.fields(), o.Columns.check(table)
}

// placed is an error with the flag that names the fields.
func (c chosen) placed(err error) error {
	return flaggedAs(err, len(c.Columns) > 0, "fields", "--columns")
}

// csvOf begins CSV with the columns that were chosen, else those of the fields.
func (o rowsListed) csvOf(std *stdio, fields []string) *csvOutput {
	columns := o.Columns
	if len(columns) == 0 {
		columns = columnsOf(fields)
	}
	return &csvOutput{to: std, form: csvForm{o.Spreadsheet}, columns: columns}
}

// A csvOutput prints rows as CSV.
type csvOutput struct {
	to      *stdio
	form    csvForm
	columns columns
	extra   []string // headers of more columns, behind those of fields
	begun   bool
}

// rows prints rows, and before the first ones the header.
func (o *csvOutput) rows(rows []messages.Row) error {
	lines := make([][]csvCell, len(rows))
	fields := o.columns.cellFields()
	for i, row := range rows {
		lines[i] = append(csvCells(row, fields), make([]csvCell, len(o.extra))...)
	}
	return o.lines(lines)
}

func (o *csvOutput) lines(lines [][]csvCell) error {
	var out []byte
	if !o.begun {
		o.begun = true
		names := append(o.columns.headers(), o.extra...)
		for i := range names {
			names[i] = o.shown(names[i])
		}
		out = o.form.header(names)
	}
	for _, cells := range lines {
		for i := range cells {
			cells[i].text = o.shown(cells[i].text)
		}
		out = o.form.line(out, cells)
	}
	_, err := o.to.out.Write(out)
	return err
}

// shown is a text as it is printed: what is in a CRM must not act on a terminal; a file has every
// character.
func (o *csvOutput) shown(text string) string {
	if o.to.outLive {
		return term.Safe(text)
	}
	return text
}

// inOrder is a row as JSON, with its members in the order in which they were asked for, where that
// is known.
func inOrder(row messages.Row, fields []string) (jsontext.Value, error) {
	if len(row) != len(fields) || slices.ContainsFunc(fields, func(f string) bool { return row[f] == nil }) {
		return json.Marshal(row, json.Deterministic(true))
	}
	out := []byte{'{'}
	for i, field := range fields {
		if i > 0 {
			out = append(out, ',')
		}
		name, err := jsontext.AppendQuote(out, field)
		if err != nil {
			return nil, err
		}
		out = append(append(name, ':'), row[field]...)
	}
	return append(out, '}'), nil
}

// rowsInOrder are rows as JSON.
func rowsInOrder(rows []messages.Row, fields []string) ([]jsontext.Value, error) {
	values := make([]jsontext.Value, len(rows)) // [] where there are none
	for i, row := range rows {
		value, err := inOrder(row, fields)
		if err != nil {
			return nil, err
		}
		values[i] = value
	}
	return values, nil
}

// jsonLinesOf prints each value on a line.
func jsonLinesOf[T any](std *stdio, values []T) error {
	for _, value := range values {
		if err := term.JSONLine(std.out, value); err != nil {
			return err
		}
	}
	return nil
}
