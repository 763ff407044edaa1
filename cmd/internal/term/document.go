package term

import (
	"fmt"
	"io"
	"strings"
)

// A BlockKind says what a part of a document is.
type BlockKind string

// The kinds of blocks.
const (
	HeadingBlock   BlockKind = "heading"
	ParagraphBlock BlockKind = "paragraph"
	CodeBlock      BlockKind = "code"
	ListBlock      BlockKind = "list"
	TableBlock     BlockKind = "table"
)

// A Block is a part of a document for people, which is laid out for the terminal that shows it.
type Block struct {
	Kind BlockKind `json:"kind"`
	// Level of a heading; 1 is the document's title.
	Level int `json:"level,omitzero"`
	// Text of a heading or a paragraph, on one line.
	Text string `json:"text,omitzero"`
	// Lines of code, which are printed as they are.
	Lines []string `json:"lines,omitzero"`
	// First is the number of a list's first item, 0 where items have no numbers.
	First int `json:"first,omitzero"`
	// Loose lists have an empty line between items.
	Loose bool `json:"loose,omitzero"`
	// Items of a list.
	Items [][]Block `json:"items,omitzero"`
	// Header and Rows of a table. A header may be of empty names.
	Header []string   `json:"header,omitzero"`
	Rows   [][]string `json:"rows,omitzero"`
}

// Lines of text and tables end here also on a wider terminal: longer ones are hard to read.
const (
	widestText  = 100
	widestTable = 120
)

// Document prints blocks for so many columns. Text ends between words, tables have cells of several
// lines or become a record for each row, and code stays as it is.
func Document(to io.Writer, columns int, blocks []Block) error {
	columns = max(columns, leastProse)
	_, err := fmt.Fprintln(to, strings.Join(documentLines(columns, true, blocks), "\n"))
	return err
}

// documentLines are the lines of blocks, with empty ones between them where they are apart.
func documentLines(columns int, apart bool, blocks []Block) (lines []string) {
	for i, block := range blocks {
		if i > 0 && (apart || block.Kind != ListBlock) {
			lines = append(lines, "")
		}
		if i > 0 && block.Kind == HeadingBlock && block.Level == 1 {
			lines = append(lines, "")
		}
		lines = append(lines, block.lines(columns)...)
	}
	return lines
}

func (b Block) lines(columns int) []string {
	switch b.Kind {
	case HeadingBlock:
		sign, widest := "-", 0
		if b.Level == 1 {
			sign = "="
		}
		lines := wrap(Safe(b.Text), min(columns, widestText), "")
		for _, line := range lines {
			widest = max(widest, width(line))
		}
		return append(lines, strings.Repeat(sign, widest))
	case CodeBlock:
		lines := make([]string, len(b.Lines))
		for i, line := range b.Lines {
			lines[i] = Safe(line)
		}
		return lines
	case ListBlock:
		return b.items(columns)
	case TableBlock:
		return tableLines(min(columns, widestTable), b.Header, b.Rows)
	}
	return wrap(Safe(b.Text), min(columns, widestText), "")
}

// items are the lines of a list: behind a number or a hyphen, and below each other.
func (b Block) items(columns int) (lines []string) {
	for i, item := range b.Items {
		mark := "- "
		if b.First > 0 {
			mark = fmt.Sprintf("%d. ", b.First+i)
		}
		if i > 0 && b.Loose {
			lines = append(lines, "")
		}
		for n, line := range documentLines(max(min(columns, widestText)-len(mark), leastProse), b.Loose, item) {
			before := mark
			if n > 0 {
				before = strings.Repeat(" ", len(mark))
			}
			lines = append(lines, strings.TrimRight(before+line, " "))
		}
	}
	return lines
}

// tableLines are the lines of a table whose cells are texts: a cell goes on below itself. Where
// columns would be too narrow for their words each row is a record.
func tableLines(columns int, header []string, rows [][]string) []string {
	named := strings.Join(header, "") != ""
	all := make([][]string, 0, len(rows)+1)
	for _, row := range append([][]string{header}, rows...) {
		cells := make([]string, len(header))
		for i := range cells {
			if i < len(row) {
				cells[i] = Safe(row[i])
			}
		}
		all = append(all, cells)
	}
	widths := make([]int, len(header))
	least := make([]int, len(header))
	for _, row := range all {
		for i, cell := range row {
			widths[i] = max(widths[i], width(cell))
			least[i] = max(least[i], min(leastCell, width(cell)), widestWord(cell))
		}
	}
	if !fold(widths, least, columns) {
		return recordLines(columns, all[0], all[1:])
	}
	var lines []string
	if named {
		rules := make([]string, len(header))
		for i, w := range widths {
			rules[i] = strings.Repeat("-", w)
		}
		lines = append(rowLines(widths, all[0]), strings.Join(rules, strings.Repeat(" ", gap)))
	}
	for _, row := range all[1:] {
		lines = append(lines, rowLines(widths, row)...)
	}
	return lines
}

// fold makes the widest cells narrower until a line has at most so many columns, and reports whether
// their words have room then.
func fold(widths, least []int, columns int) bool {
	line := gap * (len(widths) - 1)
	for _, w := range widths {
		line += w
	}
	if line > columns && columns < leastTable {
		return false
	}
	for ; line > columns; line-- {
		chosen := -1
		for i, w := range widths {
			if w > least[i] && (chosen < 0 || w > widths[chosen]) {
				chosen = i
			}
		}
		if chosen < 0 {
			return false
		}
		widths[chosen]--
	}
	return true
}

// rowLines are the lines of one row.
func rowLines(widths []int, row []string) (lines []string) {
	cells := make([][]string, len(row))
	most := 1
	for i, cell := range row {
		cells[i] = wrap(cell, widths[i], "")
		most = max(most, len(cells[i]))
	}
	for n := range most {
		var line strings.Builder
		for i, cell := range cells {
			text := ""
			if n < len(cell) {
				text = cell[n]
			}
			line.WriteString(pad(text, widths[i]) + strings.Repeat(" ", gap))
		}
		lines = append(lines, strings.TrimRight(line.String(), " "))
	}
	return lines
}

// recordLines are rows one below the other: the first cell, and the others below it, behind the names
// of their columns where there are several.
func recordLines(columns int, header []string, rows [][]string) (lines []string) {
	columns = min(columns, widestText)
	inner, more := strings.Repeat(" ", gap), strings.Repeat(" ", 2*gap)
	for _, row := range rows {
		lines = append(lines, wrap(row[0], columns, inner)...)
		for i, cell := range row[1:] {
			if cell == "" {
				continue
			}
			if name := header[i+1]; name != "" && len(row) > 2 {
				cell = name + ": " + cell
			}
			lines = append(lines, wrap(inner+cell, columns, more)...)
		}
	}
	return lines
}
