package main

import (
	"bytes"
	"encoding/csv"
	"path/filepath"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/messages"
)

// Endings of the files that export writes.
const (
	csvEnding   = ".csv"
	jsonlEnding = ".jsonl"
)

// rawPage is a page whose rows stay as they were sent: a Row does not keep the order of its
// members.
type rawPage struct {
	Rows []jsontext.Value `json:"rows" table:"rows"`
}

// A rowFormat writes the rows of results as a file has them.
type rowFormat struct {
	table   messages.Table
	codec   messages.Codec[rawPage]
	columns []string // of CSV; nil for JSON lines
}

func newRowFormat(name string, table messages.Table, fields []string) *rowFormat {
	f := &rowFormat{table: table, codec: messages.CodecFor[rawPage](table)}
	if strings.ToLower(filepath.Ext(name)) == csvEnding {
		if f.columns = fields; len(fields) == 0 {
			f.columns = table.DefaultFields
		}
	}
	return f
}

// page is what a result adds to the file; the first one of CSV begins with the header.
func (f *rowFormat) page(result *messages.Result) (chunk []byte, rows int, err error) {
	page, err := messages.ReadResult(result, f.codec)
	if err != nil {
		return nil, 0, err
	}
	if page.Rows == nil {
		return nil, 0, messages.Errorf(messages.Internal, "page %d of the results has no %s", result.Page, f.table.Name)
	}
	var out bytes.Buffer
	if f.columns == nil {
		err = jsonLines(&out, page.Rows)
	} else {
		err = f.csv(&out, page.Rows, result.Page == 1)
	}
	return out.Bytes(), len(page.Rows), err
}

// jsonLines writes each row on a line, as it was delivered.
func jsonLines(out *bytes.Buffer, rows []jsontext.Value) error {
	for _, row := range rows {
		if err := row.Compact(); err != nil {
			return err
		}
		out.Write(row)
		out.WriteByte('\n')
	}
	return nil
}

// csv writes rows as RFC 4180 has them, with cells as the command's tables show them.
func (f *rowFormat) csv(out *bytes.Buffer, rows []jsontext.Value, header bool) error {
	lines := csv.NewWriter(out)
	if header {
		if err := lines.Write(f.columns); err != nil {
			return err
		}
	}
	cells := make([]string, len(f.columns))
	for _, raw := range rows {
		var row messages.Row
		if err := json.Unmarshal(raw, &row); err != nil {
			return err
		}
		for i, column := range f.columns {
			cells[i] = row.Text(column)
		}
		if err := lines.Write(cells); err != nil {
			return err
		}
	}
	lines.Flush()
	return lines.Error()
}
