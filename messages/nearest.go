package messages

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/agnivade/levenshtein"
)

// Nearest returns up to most of names that a person may have meant by name, the
// likeliest first: those within a third of its length in edits, where two neighbours
// that changed places are one, and those that contain it or are contained in it.
func Nearest(name string, names []string, most int) []string {
	const longest = 128 // a longer name is no slip of the fingers
	if name == "" || len(name) > longest || most <= 0 {
		return nil
	}
	type candidate struct {
		name     string
		distance int
	}
	var found []candidate
	folded := strings.ToLower(name)
	for _, other := range names {
		lower := strings.ToLower(other)
		distance := levenshtein.ComputeDistance(folded, lower)
		if swapped(folded, lower) {
			distance = 1
		}
		contained := min(len(folded), len(lower)) >= 3 &&
			(strings.Contains(lower, folded) || strings.Contains(folded, lower))
		if distance <= max(1, utf8.RuneCountInString(folded)/3) || contained {
			found = append(found, candidate{other, distance})
		}
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	nearest := make([]string, 0, min(most, len(found)))
	for _, c := range found[:min(most, len(found))] {
		nearest = append(nearest, c.name)
	}
	return nearest
}

// OrderMeant is the name in order_by for an order as people write it, "revenue desc"; "" where it is none.
func OrderMeant(text string) string {
	const longest = 128
	if len(text) > longest || !strings.Contains(text, " ") {
		return ""
	}
	words := strings.Fields(text)
	if len(words) != 2 || strings.HasPrefix(words[0], "-") {
		return ""
	}
	switch strings.ToLower(words[1]) {
	case "asc", "ascending":
		return words[0]
	case "desc", "descending":
		return "-" + words[0]
	}
	return ""
}

// swapped reports whether two neighbouring letters, changing places, make b of a.
func swapped(a, b string) bool {
	x, y := []rune(a), []rune(b)
	if len(x) != len(y) {
		return false
	}
	i := 0
	for i < len(x) && x[i] == y[i] {
		i++
	}
	return i+1 < len(x) && x[i] == y[i+1] && x[i+1] == y[i] && slices.Equal(x[i+2:], y[i+2:])
}
