package emulator

import (
	"regexp"
	"strings"
)

type tokenKind uint8

const (
	tokEnd tokenKind = iota
	tokName
	tokString
	tokNumber
	tokGUID
	tokDate
	tokDateTime
	tokAlias
	tokArray
	tokPunct // ( ) , = / :
)

type token struct {
	kind tokenKind
	text string // of strings the value, without quotes
	pos  int
}

var (
	guidForm     = regexp.MustCompile(`^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}`)
	dateTimeForm = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,12})?)?(Z|[+-][0-9]{2}:[0-9]{2})`)
	dateForm     = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}`)
	numberForm   = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?[mMlLdDfF]?`)
	nameForm     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*`)
	aliasForm    = regexp.MustCompile(`^@[A-Za-z0-9_]+`)
)

// lex splits an expression; positions are in bytes from its start.
func lex(text string) ([]token, *fault) {
	var out []token
	for i := 0; i < len(text); {
		rest := text[i:]
		switch ch := text[i]; {
		case ch == ' ' || ch == '\t':
			i++
		case ch == '\'':
			s, n, ok := quoted(rest)
			if !ok {
				return nil, badRequest("There is an unterminated literal at position %d in '%s'.", len(text), text)
			}
			out = append(out, token{tokString, s, i})
			i += n
		case strings.IndexByte("(),=/:", ch) >= 0:
			out = append(out, token{tokPunct, rest[:1], i})
			i++
		case ch == '[':
			n := arrayEnd(rest)
			if n < 0 {
				return nil, badRequest("Found an unbalanced bracket expression.")
			}
			out = append(out, token{tokArray, rest[:n], i})
			i += n
		default:
			t, ok := word(rest)
			if !ok {
				return nil, syntax(i, text)
			}
			t.pos = i
			out = append(out, t)
			i += len(t.text)
		}
	}
	return append(out, token{kind: tokEnd, pos: len(text)}), nil
}

func word(s string) (token, bool) {
	for _, f := range []struct {
		form *regexp.Regexp
		kind tokenKind
	}{{guidForm, tokGUID}, {dateTimeForm, tokDateTime}, {dateForm, tokDate}, {numberForm, tokNumber},
		{nameForm, tokName}, {aliasForm, tokAlias}} {
		if m := f.form.FindString(s); m != "" {
			return token{kind: f.kind, text: m}, true
		}
	}
	return token{}, false
}

// quoted reads a literal in which a quote is written twice.
func quoted(s string) (value string, n int, ok bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != '\'' {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == '\'' {
			b.WriteByte('\'')
			i++
			continue
		}
		return b.String(), i + 1, true
	}
	return "", 0, false
}

// arrayEnd finds the end of a JSON array as Microsoft's lexer did until it was mended in the autumn
// of 2026 (OData/odata.net#3615): it counts brackets and steps over what stands between
// apostrophes, wherever they are. Who knows which version an environment has writes them as
// escapes.
func arrayEnd(s string) int {
	depth := 1
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\'':
			n := strings.IndexByte(s[i+1:], '\'')
			if n < 0 {
				return -1
			}
			i += n + 1
		case '[':
			depth++
		case ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

func syntax(pos int, text string) *fault {
	return badRequest("Syntax error at position %d in '%s'.", pos, text)
}
