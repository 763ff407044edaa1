package term

import (
	"slices"
	"strings"
	"unicode"
)

// mostMarks is how many characters without a width may follow each other, more
// than any script or emoji needs: a flood of them has no width to be cut at.
const mostMarks = 8

// Safe makes text from a CRM harmless on a terminal: no control characters,
// whose sequences could move the cursor or set the title, no marks that turn
// the direction of what follows, no flood of marks on one character, and nothing
// that is not seen, which makes two names look the same: what joins characters
// or chooses their form stays where it belongs, as in emoji.
func Safe(s string) string {
	if plain(s) {
		return s
	}
	safe, marks := make([]rune, 0, len(s)), 0
	for _, r := range s {
		if breaks(r) {
			r = ' '
		}
		if turns(r) {
			continue
		}
		if n := len(safe); n > 0 && hidden(safe[n-1]) && !leads(safe[:n], r) {
			safe = safe[:n-1]
			marks = max(marks-1, 0)
		}
		if hidden(r) && !follows(safe, r) {
			continue
		}
		if runeWidth(r) > 0 {
			marks = 0
		} else if marks++; marks > mostMarks {
			continue
		}
		safe = append(safe, r)
	}
	if n := len(safe); n > 0 && hidden(safe[n-1]) && !leads(safe, 0) {
		safe = safe[:n-1]
	}
	return string(safe)
}

// plain reports whether a text is ASCII without control characters.
func plain(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r >= 0x7f }) < 0
}

const (
	nonJoiner, joiner  = '\u200c', '\u200d'
	textForm, pictured = '\ufe0e', '\ufe0f' // variation selectors of emoji
	keycap             = '\u20e3'
	blackFlag          = '\U0001f3f4' // tags after it say of which region it is
)

// hidden are the characters that show nothing themselves, wherever they stand: Unicode's
// Default_Ignorable_Code_Point, as https://www.unicode.org/reports/tr44/ derives it.
func hidden(r rune) bool {
	return r >= 0x80 && unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Cf, unicode.Variation_Selector) &&
		!unicode.Is(unicode.Prepended_Concatenation_Mark, r) && (r < 0x13430 || r > 0x1343f)
}

// conceals are the hidden characters that belong nowhere.
func conceals(r rune) bool {
	return hidden(r) && r != joiner && r != nonJoiner && !unicode.Is(unicode.Variation_Selector, r) &&
		(r <= 0xe001f || r > 0xe007f)
}

// follows reports whether a hidden character belongs behind what is there.
func follows(safe []rune, r rune) bool {
	if len(safe) == 0 {
		return false
	}
	last := safe[len(safe)-1]
	switch {
	case r == joiner || r == nonJoiner:
		return joins(last) || last == pictured
	case r == textForm || r == pictured:
		return last == '#' || last == '*' || last >= '0' && last <= '9' || last >= 0x80 && unicode.In(last, unicode.S, unicode.P)
	case unicode.Is(unicode.Variation_Selector, r):
		return unicode.In(last, unicode.Han, unicode.Mongolian, unicode.Myanmar, unicode.Phags_Pa, unicode.Sm)
	case r > 0xe001f && r <= 0xe007f:
		return last == blackFlag || last > 0xe001f && last < 0xe007f
	}
	return false
}

// leads reports whether the hidden character at the end of what is there belongs before another one,
// 0 for the end of the text.
func leads(safe []rune, next rune) bool {
	n := len(safe)
	switch last := safe[n-1]; {
	case last == joiner || last == nonJoiner:
		return joins(next)
	case (last == textForm || last == pictured) && n > 1 && safe[n-2] < 0x80:
		return next == keycap
	}
	return true
}

// joins reports whether a character may be one that a joiner stands beside: of emoji, and of scripts
// whose letters have forms.
func joins(r rune) bool {
	return r >= 0x80 && !hidden(r) && (unicode.In(r, unicode.So, unicode.Sk) || unicode.IsMark(r) ||
		unicode.IsLetter(r) && !unicode.In(r, unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Han, unicode.Hangul,
			unicode.Hiragana, unicode.Katakana) || slices.Contains([]rune{'\u2194', '\u2195', '\u2640', '\u2642'}, r))
}
