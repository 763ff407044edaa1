package term

import (
	"fmt"
	"io"
	"strings"
)

// How many columns of the terminal Caret takes before its carets, for them, and
// after them, so that no line wraps and moves the carets off their spot.
const (
	beforeSpot = 40
	widestSpot = 24
	afterSpot  = 32
)

// Caret prints the part of a line around length bytes at offset, with carets under
// these bytes; one caret where they take no column, as at the line's end.
func Caret(to io.Writer, line string, offset, length int) error {
	before, spot, after := Safe(line[:offset]), Safe(line[offset:offset+length]), Safe(line[offset+length:])
	if columns := width(before); columns > beforeSpot {
		before = "…" + withoutFirstColumns(before, columns-beforeSpot+1)
	}
	carets := min(max(width(spot), 1), widestSpot)
	if width(spot) > widestSpot {
		spot, after = firstColumns(spot, widestSpot), "…"
	}
	if width(after) > afterSpot {
		after = firstColumns(after, afterSpot) + "…"
	}
	_, err := fmt.Fprintf(to, "  %s%s%s\n  %s%s\n", before, spot, after,
		strings.Repeat(" ", width(before)), strings.Repeat("^", carets))
	return err
}

// withoutFirstColumns is s without its first columns, and without the marks on
// characters that are left out.
func withoutFirstColumns(s string, columns int) string {
	left := 0
	for i, r := range s {
		if left >= columns && runeWidth(r) > 0 {
			return s[i:]
		}
		left += runeWidth(r)
	}
	return ""
}

// firstColumns is as much of s as fits into columns.
func firstColumns(s string, columns int) string {
	for i, r := range s {
		if columns -= runeWidth(r); columns < 0 {
			return s[:i]
		}
	}
	return s
}
