package bridge

import (
	"os"
	"slices"
	"strings"
)

// A Typo is a variable of the environment that nobody reads and that looks like one of ours.
type Typo struct{ Set, Means string }

// String says what to do about it; the value, which may be a secret, is not repeated.
func (t Typo) String() string {
	return t.Set + " is set, which crmbridge does not read; did you mean " + t.Means + "?"
}

const (
	// mistypedBy is how many letters may differ: added, left out, replaced or swapped with
	// the next.
	mistypedBy = 2
	// mistypedLeast is the length below which two letters are another word: TABLES and LABELS.
	mistypedLeast = 8
)

// Mistyped finds the variables of this process's environment that look like mistyped ones of
// [Variables], in the order of their names.
func Mistyped() []Typo { return mistyped(os.Environ()) }

func mistyped(environ []string) []Typo {
	ours := Variables()
	var found []Typo
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if slices.Contains(ours, name) {
			continue
		}
		if best := meant(name, ours); best != "" {
			found = append(found, Typo{name, best})
		}
	}
	slices.SortFunc(found, func(a, b Typo) int { return strings.Compare(a.Set, b.Set) })
	return found
}

// meant is the variable that name comes nearest to, "" where none is near.
func meant(name string, ours []string) string {
	best, least := "", mistypedBy+1
	upper := strings.ToUpper(name)
	for _, own := range ours {
		most := mistypedBy
		if min(len(own), len(name)) < mistypedLeast {
			most = 1
		}
		if d := distance(upper, own, most); d <= most && d < least {
			best, least = own, d
		}
	}
	return best
}

// distance counts the letters by which two names differ (the optimal string alignment
// distance); it is more than most where that is all that matters.
func distance(a, b string, most int) int {
	if len(a)-len(b) > most || len(b)-len(a) > most {
		return most + 1
	}
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
