package term

import (
	"strings"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/text"
)

// widestCell is how many columns of the terminal a cell may take.
const widestCell = 48

// width is how many columns of a terminal s takes.
func width(s string) int {
	columns := 0
	for _, r := range s {
		columns += runeWidth(r)
	}
	return columns
}

// runeWidth knows of every script's marks that they stand on another character;
// the library's table lacks those of Indic scripts.
func runeWidth(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	return text.RuneWidth(r)
}

func pad(s string, columns int) string {
	return s + strings.Repeat(" ", max(columns-width(s), 0))
}

// cut shortens s to a cell's width and says so.
func cut(s string) string {
	if width(s) <= widestCell {
		return s
	}
	columns := 0
	for i, r := range s {
		if columns += runeWidth(r); columns >= widestCell {
			return s[:i] + "…"
		}
	}
	return s
}
