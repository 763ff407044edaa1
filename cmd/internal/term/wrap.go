package term

import (
	"fmt"
	"io"
	"strings"
)

// leastProse is how many columns words are put into at least, however narrow the terminal.
const leastProse = 20

// Prose prints a text made safe. On a terminal lines end between words, and those after the first
// begin below indent spaces more; a word that is wider than the terminal stays whole, to be copied.
// Into a pipe or a file a line of the text is one line.
func Prose(to io.Writer, indent int, text string) error {
	return ProseWithin(to, columnsOf(to), indent, text)
}

// ProseWithin is Prose for so many columns, 0 for any number.
func ProseWithin(to io.Writer, columns, indent int, text string) error {
	if columns > 0 {
		columns = max(columns, indent+leastProse)
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		line = Safe(line)
		begin := line[:len(line)-len(strings.TrimLeft(line, " "))]
		after := begin + strings.Repeat(" ", indent)
		if _, err := fmt.Fprintln(to, strings.Join(wrap(line, columns, after), "\n")); err != nil {
			return err
		}
	}
	return nil
}

// wrap cuts a line between words into lines of so many columns, all but the first behind a prefix.
func wrap(line string, columns int, prefix string) []string {
	if columns <= 0 || width(line) <= columns {
		return []string{line}
	}
	var lines []string
	begin := line[:len(line)-len(strings.TrimLeft(line, " "))]
	now, empty := begin, true
	for word := range strings.SplitSeq(line[len(begin):], " ") {
		switch {
		case empty:
			now += word
		case width(now)+1+width(word) > columns:
			lines = append(lines, strings.TrimRight(now, " "))
			now = prefix + word
		default:
			now += " " + word
			continue
		}
		empty = word == "" // of spaces between words none begins a line
	}
	return append(lines, strings.TrimRight(now, " "))
}
