package term

import (
	"fmt"
	"io"
	"strings"
)

// How many columns of the terminal Caret takes before its carets, for them, and
// after them, so that no line wraps and moves the carets off their spot. A narrower
// terminal has fewer of each.
const (
	beforeSpot = 40
	widestSpot = 24
	afterSpot  = 32
)

// Caret prints the part of a line around length bytes at offset, with carets under
// these bytes; one caret where they take no column, as at the line's end.
func Caret(to io.Writer, line string, offset, length int) error {
	return CaretWithin(to, columnsOf(to), line, offset, length)
}

// CaretWithin is Caret for so many columns, 0 for any number.
func CaretWithin(to io.Writer, columns int, line string, offset, length int) error {
	const around = 4 // two spaces, and what stands for what is left out on both sides
	beforeSpot, widestSpot, afterSpot := beforeSpot, widestSpot, afterSpot
	if all := beforeSpot + widestSpot + afterSpot; columns > 0 && columns < all+around {
		left := max(columns-around, leastProse)
		beforeSpot, widestSpot = beforeSpot*left/all, widestSpot*left/all
		afterSpot = left - beforeSpot - widestSpot
	}
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
