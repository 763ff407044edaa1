package messages

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// tokenKind is the kind of a token.
type tokenKind int

const (
	tokenEnd    tokenKind = iota
	tokenBad              // not part of the language; text is the error
	tokenWord             // a field, a keyword, a label, a date
	tokenNumber           // as JSON writes it
	tokenText             // in quotes; text is what they hold
	tokenSign             // a comparison, a parenthesis, a comma
)

// A token is a part of an expression; at is its place.
type token struct {
	kind tokenKind
	text string
	at   span
}

// is reports whether t is this keyword or sign.
func (t token) is(word string) bool {
	return t.kind == tokenWord && strings.EqualFold(t.text, word) || t.kind == tokenSign && t.text == word
}

// lex cuts an expression into tokens. The last one is the end, or the first part
// that belongs to no expression: whoever reads in order meets what is wrong in order.
func lex(text string) []token {
	var tokens []token
	for at := 0; ; {
		rest := strings.TrimLeftFunc(text[at:], unicode.IsSpace)
		at = len(text) - len(rest)
		t := lexOne(rest)
		t.at.offset += at
		tokens = append(tokens, t)
		if t.kind == tokenEnd || t.kind == tokenBad {
			return tokens
		}
		at += t.at.length
	}
}

var (
	numberStart = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`)
	momentStart = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?([Zz]|[+-][0-9]{2}:[0-9]{2})?`)
)

// lexOne reads the first token of rest.
func lexOne(rest string) token {
	if rest == "" {
		return token{}
	}
	first, size := utf8.DecodeRuneInString(rest)
	switch {
	case first == utf8.RuneError && size == 1:
		return bad(size, "this byte is no text in UTF-8")
	case first == '"' || first == '\'':
		return lexQuoted(rest)
	case first == '(' || first == ')' || first == ',':
		return token{tokenSign, rest[:size], span{0, size}}
	case strings.ContainsRune(signRunes, first):
		return lexSign(rest)
	case strings.ContainsRune("“”„‟«»‘’‚‛`´", first):
		return bad(size, `quotes are the straight ones, " and '`)
	}
	for _, form := range []struct {
		kind  tokenKind
		start *regexp.Regexp
	}{{tokenNumber, numberStart}, {tokenWord, momentStart}} {
		if found := form.start.FindString(rest); found != "" && wordLength(rest[len(found):]) == 0 {
			return token{form.kind, found, span{0, len(found)}}
		}
	}
	if length := wordLength(rest); length > 0 {
		return token{tokenWord, rest[:length], span{0, length}}
	}
	return bad(size, "this character is allowed in quotes only")
}

// wordLength is how many bytes of text's beginning make a bare word.
func wordLength(text string) int {
	end := strings.IndexFunc(text, func(r rune) bool {
		return !unicode.In(r, unicode.L, unicode.M, unicode.Nd) && !strings.ContainsRune("_-.", r)
	})
	if end < 0 {
		return len(text)
	}
	return end
}

const signRunes = "=<>!&|"

// signMeant are signs of other languages.
var signMeant = map[string]string{"=>": ">=", "=<": "<=", "===": "=", "!==": "!=", "!": "not", "&": "and",
	"&&": "and", "|": "or", "||": "or"}

func lexSign(rest string) token {
	length := len(rest) - len(strings.TrimLeft(rest, signRunes))
	sign := rest[:length]
	if _, known := signOps[sign]; known {
		return token{tokenSign, sign, span{0, length}}
	}
	if meant, known := signMeant[sign]; known {
		return bad(length, "there is no such sign; did you mean "+meant+"?")
	}
	return bad(length, "there is no such sign; the comparisons are = != < <= > >=")
}

// lexQuoted reads text in quotes. Two apostrophes are one in double quotes too:
// who doubles them there has learned it from SQL, and means one.
func lexQuoted(rest string) token {
	quote := rest[0]
	var held strings.Builder
	for at := 1; at < len(rest); {
		pair := rest[at:min(at+2, len(rest))]
		r, size := utf8.DecodeRuneInString(rest[at:])
		switch {
		case pair == "''", pair == `""` && quote == '"':
			held.WriteByte(pair[0])
			size = 2
		case rest[at] == quote:
			return token{tokenText, held.String(), span{0, at + 1}}
		case quote == '"' && (pair == `\"` || pair == `\\`):
			held.WriteByte(pair[1])
			size = 2
		case quote == '"' && rest[at] == '\\':
			return badAt(at, 1, `in double quotes a backslash is written \\; it is allowed before " and \ only`)
		case r == utf8.RuneError && size == 1:
			return badAt(at, 1, "this byte is no text in UTF-8")
		default:
			held.WriteString(rest[at : at+size])
		}
		at += size
	}
	return bad(1, "the text that begins at this quote has no end")
}

func bad(length int, why string) token { return badAt(0, length, why) }

func badAt(offset, length int, why string) token {
	return token{tokenBad, why, span{offset, length}}
}
