// Package term prints answers for people: aligned tables whose cells can do a
// terminal no harm, and indented JSON.
package term

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Table prints rows under a header, aligned by the width that characters take on a terminal,
// columns of numbers to the right. Cells are made safe first. On a terminal the widest texts are cut
// until a line fits, numbers, times and ids never; where that leaves too little of the texts each row
// is printed as a record, a cell a line. Into a pipe or a file nothing is cut.
func Table(to io.Writer, header []string, rows [][]string) error {
	return TableWithin(to, columnsOf(to), header, rows)
}

const (
	// leastCell is how many columns of a wide text are shown at least.
	leastCell = 12
	// leastTable is how many columns a terminal has for a table at least, where not everything fits.
	leastTable = 60
	gap        = 2 // between cells
	// longestID is how long a word is at most that may be an id: a connection's has up to 64 characters.
	longestID = 64
)

// TableWithin is Table for so many columns, 0 for any number.
func TableWithin(to io.Writer, columns int, header []string, rows [][]string) error {
	lines := make([][]string, 0, len(rows)+1)
	var widths []int
	for _, row := range append([][]string{header}, rows...) {
		line := make([]string, len(row))
		for i, cell := range row {
			line[i] = Safe(cell)
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], width(line[i]))
		}
		lines = append(lines, line)
	}
	if columns > 0 && !fit(widths, leastWidths(lines[1:], len(widths)), columns) {
		return records(to, columns, lines[0], lines[1:])
	}
	numbers := numberColumns(lines[1:], len(widths))
	for _, line := range lines {
		var out strings.Builder
		for i, cell := range line {
			cell = cut(cell, widths[i])
			if numbers[i] {
				out.WriteString(" " + padLeft(cell, widths[i]) + " ")
			} else {
				out.WriteString(" " + pad(cell, widths[i]) + " ")
			}
		}
		if _, err := fmt.Fprintln(to, strings.TrimRight(out.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

// fit makes columns narrower, none than its least, until a line has at most so many columns, and
// reports whether that can be: the widest first, and last the first one, which names what the line is
// about.
func fit(widths, least []int, columns int) bool {
	line := 0
	for _, w := range widths {
		line += w + gap
	}
	if line > columns && columns < leastTable {
		return false
	}
	for ; line > columns; line-- {
		chosen := -1
		for i, w := range widths {
			if w > least[i] && (chosen <= 0 || w > widths[chosen]) {
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

// leastWidths are how narrow columns may become: as wide as the widest cell that is no text.
func leastWidths(rows [][]string, columns int) []int {
	least := slices.Repeat([]int{leastCell}, columns)
	for _, row := range rows {
		for i, cell := range row {
			if w := width(cell); w > least[i] && isWhole(cell) {
				least[i] = w
			}
		}
	}
	return least
}

// several are values with a space in them: a time as [When] has it, and a number of so many.
var several = regexp.MustCompile(`^([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}|[0-9]+ of [0-9]+)$`)

// isWhole reports whether of a cell a part is of no use, or means something else: numbers, times, and
// whatever is copied because other commands, a browser or a mail program take it, which is one word
// of ASCII.
func isWhole(cell string) bool {
	other := func(r rune) bool { return r <= ' ' || r >= 0x7f }
	return number.MatchString(cell) || several.MatchString(cell) ||
		len(cell) <= longestID && !strings.ContainsFunc(cell, other)
}

// records prints each row by itself, a cell a line, and leaves out what is empty.
func records(to io.Writer, columns int, header []string, rows [][]string) error {
	for n, row := range rows {
		if n > 0 {
			if _, err := fmt.Fprintln(to); err != nil {
				return err
			}
		}
		var pairs [][2]string
		for i, cell := range row {
			if cell != "" {
				pairs = append(pairs, [2]string{header[i], cell})
			}
		}
		if err := PairsWithin(to, columns, pairs); err != nil {
			return err
		}
	}
	return nil
}

// number is a number as people read it. Behind a no-break space it may have a unit or the name of a
// currency.
var number = regexp.MustCompile(`^-?[0-9][0-9.,]*(\x{a0}\S[^ ]*)?$`)

// numberColumns are the columns whose cells are numbers, where there are any.
func numberColumns(rows [][]string, columns int) []bool {
	numbers := make([]bool, columns)
	words := make([]bool, columns)
	for _, row := range rows {
		for i, cell := range row {
			switch {
			case cell == "":
			case number.MatchString(cell):
				numbers[i] = true
			default:
				words[i] = true
			}
		}
	}
	for i := range numbers {
		numbers[i] = numbers[i] && !words[i]
	}
	return numbers
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

// Pairs prints names and values, one pair a line. On a terminal a long value goes on below itself,
// from word to word, or below the name where it is too wide to stand beside it.
func Pairs(to io.Writer, pairs [][2]string) error { return PairsWithin(to, columnsOf(to), pairs) }

// PairsWithin is Pairs for so many columns, 0 for any number.
func PairsWithin(to io.Writer, columns int, pairs [][2]string) error {
	widest := 0
	for _, pair := range pairs {
		widest = max(widest, width(Safe(pair[0])))
	}
	for _, pair := range pairs {
		name, value := Safe(pair[0]), Safe(pair[1])
		beside := columns - widest - gap
		lines := []string{strings.TrimRight(pad(name, widest)+strings.Repeat(" ", gap)+value, " ")}
		if columns > 0 && width(lines[0]) > columns {
			if widestWord(value) <= beside {
				lines = wrap(lines[0], columns, strings.Repeat(" ", widest+gap))
			} else {
				lines = append([]string{name}, wrap(strings.Repeat(" ", gap)+value, columns, strings.Repeat(" ", gap))...)
			}
		}
		if _, err := fmt.Fprintln(to, strings.Join(lines, "\n")); err != nil {
			return err
		}
	}
	return nil
}

// widestWord is how wide a text is at least, whatever is done to it.
func widestWord(text string) int {
	widest := 0
	for word := range strings.FieldsSeq(text) {
		widest = max(widest, width(word))
	}
	return widest
}

// When is a time for people, in this machine's zone; "" for none.
func When(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05")
}
