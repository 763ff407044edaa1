// Package term prints answers for people: aligned tables whose cells can do a
// terminal no harm, and indented JSON.
package term

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/messages"
)

// Table prints rows under a header, aligned by the width that characters take on
// a terminal. Cells are made safe first, and cut where they are too wide.
func Table(to io.Writer, header []string, rows [][]string) error {
	lines := make([][]string, 0, len(rows)+1)
	var widths []int
	for _, row := range append([][]string{header}, rows...) {
		line := make([]string, len(row))
		for i, cell := range row {
			line[i] = cut(Safe(cell))
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], width(line[i]))
		}
		lines = append(lines, line)
	}
	for _, line := range lines {
		var out strings.Builder
		for i, cell := range line {
			out.WriteString(" " + pad(cell, widths[i]) + " ")
		}
		if _, err := fmt.Fprintln(to, strings.TrimRight(out.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

// mostMarks is how many characters without a width may follow each other, more
// than any script or emoji needs: a flood of them has no width to be cut at.
const mostMarks = 8

// Safe makes text from a CRM harmless on a terminal: no control characters,
// whose sequences could move the cursor or set the title, no marks that turn
// the direction of what follows, and no flood of marks on one character.
func Safe(s string) string {
	marks := 0
	return strings.Map(func(r rune) rune {
		switch {
		case breaks(r):
			marks = 0
			return ' '
		case turns(r):
			return -1
		case runeWidth(r) > 0:
			marks = 0
			return r
		}
		if marks++; marks > mostMarks {
			return -1
		}
		return r
	}, s)
}

// breaks are the characters that act on a terminal or end a line.
func breaks(r rune) bool {
	return r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029
}

// turns are the characters that change how their neighbours are laid out and
// show nothing themselves: directions, annotations, the byte order mark.
func turns(r rune) bool {
	return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x206f || r >= 0xfff9 && r <= 0xfffb ||
		r == 0x200e || r == 0x200f || r == 0x061c || r == 0xfeff
}

// JSON prints a value indented, members in the order of their type, numbers
// with the digits they came with. Characters that Safe would take out are
// escaped: the same JSON, harmless on a terminal.
func JSON(to io.Writer, value any) error {
	encoded, err := json.Marshal(value, jsontext.WithIndent("  "), json.Deterministic(true))
	if err != nil {
		return err
	}
	safe := make([]byte, 0, len(encoded)+1)
	for _, r := range string(encoded) {
		if r != '\n' && (breaks(r) || turns(r)) { // a line end is the indentation's: strings hold none
			safe = fmt.Appendf(safe, `\u%04x`, r)
			continue
		}
		safe = utf8.AppendRune(safe, r)
	}
	_, err = to.Write(append(safe, '\n'))
	return err
}

// Rows prints rows with the given fields as columns.
func Rows(to io.Writer, fields []string, rows []messages.Row) error {
	texts := make([][]string, len(rows))
	for i, row := range rows {
		texts[i] = make([]string, len(fields))
		for j, field := range fields {
			texts[i][j] = row.Text(field)
		}
	}
	return Table(to, fields, texts)
}

// Pairs prints names and values, one pair a line.
func Pairs(to io.Writer, pairs [][2]string) error {
	widest := 0
	for _, pair := range pairs {
		widest = max(widest, width(Safe(pair[0])))
	}
	for _, pair := range pairs {
		line := pad(Safe(pair[0]), widest) + "  " + Safe(pair[1])
		if _, err := fmt.Fprintln(to, strings.TrimRight(line, " ")); err != nil {
			return err
		}
	}
	return nil
}

// Connections prints connections as a table, and below it why some cannot be read.
func Connections(to io.Writer, connections []messages.Connection) error {
	rows := make([][]string, len(connections))
	for i, c := range connections {
		rows[i] = []string{c.ID, c.Status, c.EnvironmentURL, c.Grant, strings.Join(c.Tables, ", "),
			When(&c.CreatedAt), When(c.RefreshedAt)}
	}
	header := []string{"connection", "status", "environment", "grant", "tables", "created", "refreshed"}
	if err := Table(to, header, rows); err != nil {
		return err
	}
	for _, c := range connections {
		if c.Status != messages.StatusUnreadable {
			continue
		}
		if _, err := fmt.Fprintf(to, "%s: %s\n", Safe(c.ID), Safe(c.LastError)); err != nil {
			return err
		}
	}
	return nil
}

// When is a time for people, in this machine's zone; "" for none.
func When(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05")
}
