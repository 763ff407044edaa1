package term

import (
	"strings"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/text"
)

// Width is how many columns of a terminal s takes.
func Width(s string) int { return width(s) }

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

// padLeft is pad for what stands to the right.
func padLeft(s string, columns int) string {
	return strings.Repeat(" ", max(columns-width(s), 0)) + s
}

// cut shortens s to so many columns, at least one, and says so.
func cut(s string, most int) string {
	if width(s) <= most {
		return s
	}
	columns := 0
	for i, r := range s {
		if columns += runeWidth(r); columns >= most {
			return s[:i] + "…"
		}
	}
	return s
}
