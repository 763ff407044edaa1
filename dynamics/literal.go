package dynamics

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// literals turns a test's values into OData literals of the column's type. A
// fault names the column and what would be right, never the value.
func (t *Test) literals() ([]string, *Error) {
	if t.Column.Type == Choices && (t.Op == Eq || t.Op == Ne) {
		set, err := choiceSet(t.Values)
		if err != nil {
			return nil, t.fault(err)
		}
		return []string{quote(set)}, nil
	}
	out := make([]string, len(t.Values))
	for i, v := range t.Values {
		l, err := literal(t.Column.Type, t.Op, v)
		if err != nil {
			return nil, t.fault(err)
		}
		out[i] = l
	}
	return out, nil
}

// fault is the error of a value that is not what right says.
func (t *Test) fault(right error) *Error {
	return refuse("query", t.Column.Logical, "column %s (%s), operator %q: a value is not %s", t.Column.Logical,
		t.Column.Type, t.Op, right)
}

// notA is an error text of the form "not " + notA.
type notA string

func (n notA) Error() string { return string(n) }

// appendLiteral appends a value's literal.
func appendLiteral(dst []byte, kind ColumnType, op Op, v string) ([]byte, error) {
	switch kind {
	case Text:
		return appendText(dst, op, v)
	case Integer, Choice, Choices:
		return appendInteger(dst, v, 32)
	case BigInt:
		return appendInteger(dst, v, 64)
	}
	l, err := plainLiteral(kind, v)
	return append(dst, l...), err
}

func literal(kind ColumnType, op Op, v string) (string, error) {
	l, err := appendLiteral(nil, kind, op, v)
	return string(l), err
}

// plainLiteral is the literal of a value without a form of its own.
func plainLiteral(kind ColumnType, v string) (string, error) {
	switch kind {
	case Decimal, Money, Double:
		return decimalLiteral(v)
	case Boolean:
		if v != "true" && v != "false" {
			return "", notA("true or false")
		}
		return v, nil
	case DateTime, Date:
		return dateLiteral(kind, v)
	case UniqueID, Lookup:
		id, ok := canonicalGUID(v)
		if !ok {
			return "", notA("a GUID such as 78914942-34cb-ed11-b596-0022481d68cd")
		}
		return id, nil
	}
	return "", notA("of a type that can be compared")
}

// likeEscape makes LIKE's wildcards literal: contains, startswith and endswith
// take a LIKE pattern, eq and ne do not (Microsoft: "wildcard characters").
var likeEscape = strings.NewReplacer("[", "[[]", "%", "[%]", "_", "[_]")

func appendText(dst []byte, op Op, v string) ([]byte, error) {
	if v == "" {
		return dst, notA("a text with one character at least; use is_null for no value")
	}
	if !utf8.ValidString(v) {
		return dst, notA("valid UTF-8")
	}
	if strings.ContainsFunc(v, isForbidden) {
		return dst, notA("a text without control characters other than tabs and line breaks")
	}
	switch op {
	case Contains, NotContains, StartsWith, EndsWith:
		v = likeEscape.Replace(v)
	}
	return appendQuoted(dst, v), nil
}

// isForbidden tells control characters that no text in Dataverse has: it keeps to
// XML's characters, which are, of these, tabs and line breaks. Those stand in
// addresses and descriptions of several lines.
func isForbidden(r rune) bool {
	return unicode.IsControl(r) && r != '\t' && r != '\n' && r != '\r'
}

// quote makes an OData string literal. It comes before percent-encoding: the
// server decodes the whole URL first, so that only a doubled quote stays inside.
func quote(s string) string { return string(appendQuoted(nil, s)) }

func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '\'')
	for i := range len(s) {
		if s[i] == '\'' {
			dst = append(dst, '\'')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '\'')
}

// appendInteger takes a whole number in every form in which JSON may write it:
// clients whose numbers are floats send 5.0 or 5e0.
func appendInteger(dst []byte, v string, bits int) ([]byte, error) {
	n, ok := wholeNumber(v, bits)
	switch {
	case ok:
		return strconv.AppendInt(dst, n, 10), nil
	case bits == 64:
		return dst, notA("a whole number of 64 bits")
	}
	return dst, notA("a whole number of 32 bits")
}

func wholeNumber(v string, bits int) (int64, bool) {
	digits, err := decimalLiteral(v)
	if err != nil {
		return 0, false
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	n, err := strconv.ParseInt(whole, 10, bits)
	return n, err == nil && strings.Trim(fraction, "0") == ""
}

// maxDigits is what .NET's decimal, of which Edm.Decimal is made, keeps for sure.
const maxDigits = 28

var notADecimal = notA(fmt.Sprintf("a decimal number of at most %d digits", maxDigits))

// decimalLiteral checks a JSON number and writes out its exponent, keeping every
// digit: a float64 in between would change sums of money.
func decimalLiteral(v string) (string, error) {
	wrong := notADecimal
	if len(v) > 64 {
		return "", wrong
	}
	body, negative := strings.CutPrefix(v, "-")
	mantissa, exponentText, hasExponent := strings.Cut(strings.ToLower(body), "e")
	whole, fraction, hasFraction := strings.Cut(mantissa, ".")
	if !isDigits(whole) || hasFraction && !isDigits(fraction) || len(whole) > 1 && whole[0] == '0' {
		return "", wrong
	}
	if hasExponent {
		exponent, err := strconv.Atoi(exponentText)
		if err != nil || exponent < -maxDigits || exponent > maxDigits {
			return "", wrong
		}
		whole, fraction = shift(whole, fraction, exponent)
	}
	if len(whole)+len(fraction) > maxDigits {
		return "", wrong
	}
	out := whole
	if fraction != "" {
		out += "." + fraction
	}
	if negative {
		out = "-" + out
	}
	return out, nil
}

// shift moves the decimal point by exponent places.
func shift(whole, fraction string, exponent int) (string, string) {
	digits, point := whole+fraction, len(whole)+exponent
	if point <= 0 {
		digits, point = strings.Repeat("0", 1-point)+digits, 1
	}
	if missing := point - len(digits); missing > 0 {
		digits += strings.Repeat("0", missing)
	}
	whole = strings.TrimLeft(digits[:point], "0")
	if whole == "" {
		whole = "0"
	}
	return whole, digits[point:]
}

// dateLiteral writes a moment in UTC with Z, a day of a column of moments as its
// midnight in UTC, and of a column of days as given. Dataverse keeps
// days from 1753 on; .NET reads seven decimals of a second.
func dateLiteral(kind ColumnType, v string) (string, error) {
	if day, err := time.Parse(time.DateOnly, v); err == nil {
		if day.Year() < 1753 {
			return "", notA("a date from 1753 on")
		}
		if kind == DateTime {
			// Bare, its midnight would be that of whichever time zone the other side takes.
			return v + "T00:00:00Z", nil
		}
		return v, nil
	}
	if kind == Date {
		return "", notA("a date YYYY-MM-DD")
	}
	moment, err := ParseTime(v)
	wrong := notA("an RFC 3339 date and time such as 2024-01-31T09:30:00Z, from 1753 on, with at most 7 decimals " +
		"of a second, or a date YYYY-MM-DD")
	if err != nil {
		return "", wrong
	}
	moment = moment.UTC()
	if moment.Year() < 1753 || moment.Year() > 9999 || moment.Nanosecond()%100 != 0 {
		return "", wrong
	}
	return moment.Format("2006-01-02T15:04:05.9999999Z"), nil
}

// rfc3339 reports whether text has the form of RFC 3339's date-time, section 5.6, without what
// follows from the calendar. Go's own parser takes more: a comma before the fraction, one
// digit of an hour, offsets of more than a day; and less: no t and z in lower case.
func rfc3339(text string) bool {
	const date, second = "0000-00-00", len("0000-00-00T00:00:00")
	if len(text) <= second || !shaped(text[:len(date)], date) || text[len(date)]|0x20 != 't' ||
		!shaped(text[len(date)+1:second], "00:00:00") {
		return false
	}
	rest := text[second:]
	if rest[0] == '.' {
		digits := 1
		for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
			digits++
		}
		if digits == 1 {
			return false
		}
		rest = rest[digits:]
	}
	if len(rest) == 1 {
		return rest[0]|0x20 == 'z'
	}
	return len(rest) == len("+00:00") && (rest[0] == '+' || rest[0] == '-') && shaped(rest[1:], "00:00") &&
		rest[1:3] < "24" && rest[4] < '6'
}

// shaped reports whether text is like form, in which a 0 is any digit.
func shaped(text, form string) bool {
	for i := range len(form) {
		if c := text[i]; form[i] == '0' && (c < '0' || c > '9') || form[i] != '0' && c != form[i] {
			return false
		}
	}
	return true
}

// ParseTime reads a moment as RFC 3339 writes it, and nothing else.
func ParseTime(text string) (time.Time, error) {
	if !rfc3339(text) {
		return time.Time{}, errNoTime // time's own error would repeat the text
	}
	at, err := time.Parse(time.RFC3339Nano, strings.ToUpper(text))
	if err != nil {
		return time.Time{}, errNoTime
	}
	return at, nil
}

var errNoTime = errors.New("not an RFC 3339 date and time")

// choiceSet writes the set as Dataverse stores it: ascending, without repetition.
func choiceSet(values []string) (string, error) {
	set := make([]int64, 0, len(values))
	for _, v := range values {
		n, ok := wholeNumber(v, 32)
		if !ok {
			return "", notA("a whole number of 32 bits")
		}
		set = append(set, n)
	}
	slices.Sort(set)
	set = slices.Compact(set)
	words := make([]string, len(set))
	for i, n := range set {
		words[i] = strconv.FormatInt(n, 10)
	}
	return strings.Join(words, ","), nil
}

// canonicalGUID returns s in lower case if it is 8-4-4-4-12 hexadecimal digits.
func canonicalGUID(s string) (string, bool) {
	if len(s) != 36 {
		return "", false
	}
	for i := range len(s) {
		c := s[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return "", false
			}
		default:
			if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
				return "", false
			}
		}
	}
	return strings.ToLower(s), true
}
