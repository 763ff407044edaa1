package emulator

import (
	"math"
	"math/big"
	"strings"
	"unicode"
	"unicode/utf8"
)

// fold prepares a text for comparison with = and in orders: without case and without trailing
// blanks, as SQL Server's default collation has it. Accents count.
func fold(s string) string { return foldCase(strings.TrimRight(s, " ")) }

// foldCase prepares a text for LIKE, in which trailing blanks of nvarchar count, of the text and of the pattern:
// https://learn.microsoft.com/sql/t-sql/language-elements/like-transact-sql.
func foldCase(s string) string {
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || c >= 'A' && c <= 'Z' {
			return strings.Map(foldRune, s)
		}
	}
	return s
}

func foldRune(r rune) rune { return unicode.ToLower(unicode.ToUpper(r)) }

// like is a compiled LIKE pattern: % any run, _ one character, [a-f] and [^a] sets.
type like struct{ parts []likePart }

type likePart struct {
	any    bool // %
	one    bool // _
	r      rune // a character
	set    []rune
	except bool
	ranges bool // set holds pairs
}

func compileLike(pattern string) like {
	var m like
	runes := []rune(pattern)
	for i := 0; i < len(runes); i++ {
		switch r := runes[i]; r {
		case '%':
			if n := len(m.parts); n == 0 || !m.parts[n-1].any {
				m.parts = append(m.parts, likePart{any: true})
			}
		case '_':
			m.parts = append(m.parts, likePart{one: true})
		case '[':
			part, n, ok := compileSet(runes[i:])
			if !ok { // a bracket that is never closed stands for nothing that matches
				m.parts = append(m.parts, likePart{ranges: true})
				return m
			}
			m.parts = append(m.parts, part)
			i += n - 1
		default:
			m.parts = append(m.parts, likePart{r: foldRune(r)})
		}
	}
	return m
}

// compileSet reads [...]; a closing bracket right after the opening one ends an empty set, as in SQL Server.
func compileSet(s []rune) (likePart, int, bool) {
	part := likePart{ranges: true}
	i := 1
	if i < len(s) && s[i] == '^' {
		part.except = true
		i++
	}
	for ; i < len(s); i++ {
		if s[i] == ']' {
			return part, i + 1, true
		}
		lo, hi := foldRune(s[i]), foldRune(s[i])
		if i+2 < len(s) && s[i+1] == '-' && s[i+2] != ']' {
			hi = foldRune(s[i+2])
			i += 2
		}
		part.set = append(part.set, lo, hi)
	}
	return part, 0, false
}

func (p likePart) matches(r rune) bool {
	switch {
	case p.one:
		return true
	case p.ranges:
		in := false
		for i := 0; i < len(p.set); i += 2 {
			in = in || r >= p.set[i] && r <= p.set[i+1]
		}
		return in != p.except
	}
	return r == p.r
}

// match works on a text of foldCase, in linear space and without recursion: only the last % is ever gone back to.
func (m like) match(s string) bool {
	part, back, mark := 0, -1, 0
	for i := 0; ; {
		if part < len(m.parts) && m.parts[part].any {
			back, mark = part, i
			part++
			continue
		}
		if i == len(s) {
			return part == len(m.parts)
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if part < len(m.parts) && m.parts[part].matches(r) {
			part++
			i += n
			continue
		}
		if back < 0 {
			return false
		}
		_, n = utf8.DecodeRuneInString(s[mark:])
		mark += n
		i, part = mark, back+1
	}
}

// bound is a decimal literal in a column's units: exact, or between floor and floor+1.
type bound struct {
	floor int64
	exact bool
}

// parseBound keeps every digit, however many there are.
func parseBound(s string, scale int64) (bound, bool) {
	if len(s) > 400 {
		return bound{}, false
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return bound{}, false
	}
	r.Mul(r, new(big.Rat).SetInt64(scale))
	q, rem := new(big.Int).DivMod(r.Num(), r.Denom(), new(big.Int))
	if !q.IsInt64() {
		if q.Sign() > 0 {
			return bound{floor: math.MaxInt64}, true
		}
		return bound{floor: math.MinInt64}, true
	}
	return bound{floor: q.Int64(), exact: rem.Sign() == 0}, true
}

// compare says how n lies to the literal.
func (b bound) compare(n int64) int {
	switch {
	case n > b.floor:
		return 1
	case n < b.floor:
		return -1
	case b.exact:
		return 0
	}
	return -1
}
