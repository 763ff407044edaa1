package main

import (
	"regexp"
	"strings"

	"github.com/crmbridge/crmbridge/messages"
)

// csvForm is how lines of CSV are written: RFC 4180 with lines that end in LF, as programs read
// it; or with CRLF, a byte order mark and no cell that a spreadsheet takes for a formula.
type csvForm struct{ spreadsheet bool }

// A csvCell is a value in CSV. What is a number on the wire is no text that somebody wrote.
type csvCell struct {
	text   string
	number bool
}

// byteOrderMark tells Excel that a file is UTF-8.
const byteOrderMark = "\ufeff"

// header begins a file.
func (f csvForm) header(names []string) []byte {
	var out []byte
	if f.spreadsheet {
		out = append(out, byteOrderMark...)
	}
	cells := make([]csvCell, len(names))
	for i, name := range names {
		cells[i].text = name
	}
	return f.line(out, cells)
}

// line appends one line. A line that would be empty is written as an empty text: readers pass over
// empty lines.
func (f csvForm) line(out []byte, cells []csvCell) []byte {
	for i, cell := range cells {
		if i > 0 {
			out = append(out, ',')
		}
		if f.spreadsheet && !cell.number {
			out = appendQuoted(out, asText(cell.text))
		} else if needsQuotes(cell.text) || len(cells) == 1 && cell.text == "" {
			out = appendQuoted(out, cell.text)
		} else {
			out = append(out, cell.text...)
		}
	}
	if f.spreadsheet {
		out = append(out, '\r')
	}
	return append(out, '\n')
}

func needsQuotes(text string) bool {
	return strings.ContainsAny(text, ",\"\r\n") || text != strings.TrimSpace(text)
}

func appendQuoted(out []byte, text string) []byte {
	out = append(out, '"')
	for {
		before, after, found := strings.Cut(text, `"`)
		out = append(out, before...)
		if !found {
			return append(out, '"')
		}
		out, text = append(out, `""`...), after
	}
}

// What spreadsheets may take for the beginning of a cell within a text, what they may pass over there,
// and what makes the rest a formula. https://owasp.org/www-community/attacks/CSV_Injection names the
// characters; the last four are full-width, which Japanese Excel takes for the same.
const (
	cellEnds    = `;\t\r\n\v\f\x{1c}-\x{1e}\x{85}\x{2028}\x{2029}`
	passedOver  = `[^` + cellEnds + `\P{Z}]|[^` + cellEnds + `\P{C}]|"`
	formulaSign = `[=+\-@＝＋－＠]`
)

// splitFormula finds formulas behind what lists are separated by elsewhere: a spreadsheet that splits
// lines at semicolons or tabs splits within the quotes of a line whose separator is a comma, ends its
// lines there too, and takes a quote for the beginning of a cell.
var splitFormula = regexp.MustCompile(`([` + cellEnds + `])((?:` + passedOver + `)*` + formulaSign + `)`)

// frontFormula finds formulas at the front of a text. Some spreadsheets look behind blanks.
var frontFormula = regexp.MustCompile(`^(?:[\t\r\n]|[\pZ\pC"]*` + formulaSign + `)`)

// asText puts an apostrophe before a text that spreadsheets take for a formula: they show it as it
// is behind the apostrophe.
func asText(text string) string {
	front := frontFormula.MatchString(text)
	if text = splitFormula.ReplaceAllString(text, "$1'$2"); front {
		return "'" + text
	}
	return text
}

// csvCells are the values of a row's fields, as tables show them but with every digit, and times as
// they are on the wire.
func csvCells(row messages.Row, fields []string) []csvCell {
	cells := make([]csvCell, len(fields))
	for i, field := range fields {
		cells[i] = csvCell{row.Text(field), row[field].Kind() == '0'}
	}
	return cells
}

// csvTexts are values that are all texts.
func csvTexts(texts ...string) []csvCell {
	cells := make([]csvCell, len(texts))
	for i, text := range texts {
		cells[i].text = text
	}
	return cells
}
