package main

import (
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

func endingOf(name string) string { return strings.ToLower(filepath.Ext(name)) }

// rawPage is a page whose rows stay as they were sent: a Row does not keep the order of its
// members.
type rawPage struct {
	Rows []jsontext.Value `json:"rows" table:"rows"`
}

// A rowFormat writes the rows of results as a file has them.
type rowFormat struct {
	table  messages.Table
	codec  messages.Codec[rawPage]
	csv    *csvForm // nil for JSON lines
	fields []string // of the cells of a line
	header []byte   // begins each file
}

func newRowFormat(name string, table messages.Table, fields []string, shape exportShape) *rowFormat {
	f := &rowFormat{table: table, codec: messages.CodecFor[rawPage](table)}
	if endingOf(name) != csvEnding {
		return f
	}
	columns := shape.Columns
	switch {
	case len(columns) > 0:
	case len(fields) > 0:
		columns = columnsOf(fields)
	default:
		columns = columnsOf(table.DefaultFields)
	}
	f.csv = &csvForm{shape.Spreadsheet}
	f.fields, f.header = columns.cellFields(), f.csv.header(columns.headers())
	return f
}

// An exportPage is what a result adds to the file.
type exportPage struct {
	header []byte // what a file begins with
	lines  []byte
	ends   []int // where each row ends in lines
}

// text is what some rows add.
func (p *exportPage) text(from, to int) []byte {
	if from == to {
		return nil
	}
	begin := 0
	if from > 0 {
		begin = p.ends[from-1]
	}
	return p.lines[begin:p.ends[to-1]]
}

// page writes the rows of a result: as lines of CSV, or each as it was delivered.
func (f *rowFormat) page(result *messages.Result) (*exportPage, error) {
	read, err := messages.ReadResult(result, f.codec)
	if err != nil {
		return nil, err
	}
	if read.Rows == nil {
		return nil, messages.Errorf(messages.Internal, "page %d of the results has no %s", result.Page, f.table.Name)
	}
	page := &exportPage{header: f.header, lines: make([]byte, 0, len(result.Body)), ends: make([]int, len(read.Rows))}
	for i, raw := range read.Rows {
		if f.csv != nil {
			var row messages.Row
			if err := json.Unmarshal(raw, &row); err != nil {
				return nil, err
			}
			page.lines = f.csv.line(page.lines, csvCells(row, f.fields))
		} else {
			if err := raw.Compact(); err != nil {
				return nil, err
			}
			page.lines = append(append(page.lines, raw...), '\n')
		}
		page.ends[i] = len(page.lines)
	}
	return page, nil
}
