package dynamics

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// listForm says how lists of values are written. A comparison for each value is
// what every OData server understands, and costs one of the 500 conditions that
// Dataverse takes for each; its query functions In and NotIn are one condition
// however long the list, and shorter.
type listForm int

const (
	// comparisons: (industrycode eq 6 or industrycode eq 7).
	comparisons listForm = iota
	// functions: Microsoft.Dynamics.CRM.In(…), except for lookups.
	functions
	// everyFunction: lookups as well. Live environments take the logical name
	// there and refuse _x_value ("entity doesn't contain attribute"), which
	// Microsoft's pages do not say: hence last.
	everyFunction
)

const (
	// shortList is the longest list that is written as comparisons in every form:
	// the 100 leaves of a request's filter cannot exceed 500 conditions by them.
	shortList = 2
	// maxListed is the longest text that In takes; see "Query data using the Web
	// API", query functions, https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/filter-rows.
	maxListed = 850
)

// list writes a column being, or with negate not being, one of the values. In
// and NotIn are literal, as eq is: the operators that read wildcards are listed
// under "Use wildcard characters in conditions for string values"
// (https://learn.microsoft.com/power-apps/developer/data-platform/wildcard-characters),
// and in and not-in are not among them. In matches no row without a value;
// whether NotIn does is nowhere said, so that "or null" is always written.
func (e *expression) list(t *Test, negate bool) *Error {
	word, joiner := " eq ", " or "
	if negate {
		word, joiner = " ne ", " and "
	}
	if e.form.lists(t) {
		return e.listed(t, word, joiner, negate)
	}
	e.open(len(t.Values), negate)
	for i, v := range t.Values {
		if i > 0 {
			e.say(joiner)
		}
		if err := e.compare(t, word, v); err != nil {
			return err
		}
	}
	e.shut(t.Column, len(t.Values), negate)
	return nil
}

// listed writes a list as a function, with what is too long for it in front.
func (e *expression) listed(t *Test, word, joiner string, negate bool) *Error {
	literals, err := t.literals()
	if err != nil {
		return err
	}
	var long, items []string
	for i, l := range literals {
		if item, ok := t.item(i, l); ok {
			items = append(items, item)
		} else {
			long = append(long, l)
		}
	}
	terms := len(long) + min(len(items), 1)
	e.open(terms, negate)
	for i, l := range long {
		if i > 0 {
			e.say(joiner)
		}
		e.column(t.Column)
		e.say(word)
		e.say(l)
	}
	if len(items) > 0 {
		if len(long) > 0 {
			e.say(joiner)
		}
		function := "In"
		if negate {
			function = "NotIn"
		}
		e.queryFunction(function, t.Column.Logical, items)
	}
	e.shut(t.Column, terms, negate)
	return nil
}

// item is a value as an item of a list, false where it is too long for one.
func (t *Test) item(i int, literal string) (string, bool) {
	v := t.Values[i]
	if t.Column.Type != Text {
		v = literal // a number in plain digits with a point, whatever the user's locale; a GUID in lower case
	}
	if utf8.RuneCountInString(v) > maxListed {
		return "", false
	}
	return listItem(v), true
}

// lists reports whether a list is written as a function.
func (form listForm) lists(t *Test) bool {
	if len(t.Values) <= shortList {
		return false
	}
	return form == everyFunction || form == functions && t.Column.Type != Lookup
}

// escapes are the characters of a text that a list of values must not hold as they
// are. Microsoft's lexer looked for the end of such a list by counting brackets and
// stepping over what stands between apostrophes, in JSON strings too, and took the
// quotation mark after an escaped backslash for an escaped one: a list with O'Brien
// did not end, until https://github.com/OData/odata.net/pull/3615.
var escapes = func() *strings.Replacer {
	var pairs []string
	for _, c := range `'"\[](){}` {
		pairs = append(pairs, string(c), fmt.Sprintf(`\u%04x`, c))
	}
	return strings.NewReplacer(pairs...)
}()

// listItem is a text as an item of a list of values.
func listItem(text string) string {
	quoted, _ := jsontext.AppendQuote(nil, text) // it has been found to be UTF-8
	if !strings.ContainsAny(text, `'"\[](){}`) {
		return string(quoted)
	}
	// Character by character, since what needs an escape in JSON has one already.
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range text {
		one := escapes.Replace(string(c))
		if one == string(c) {
			quoted, _ = jsontext.AppendQuote(quoted[:0], one)
			one = string(quoted[1 : len(quoted)-1])
		}
		b.WriteString(one)
	}
	b.WriteByte('"')
	return b.String()
}

// queryFunction calls one of Dataverse's own functions, whose values are a JSON
// array of strings, also of numbers.
func (e *expression) queryFunction(name, attribute string, items []string) {
	e.say("Microsoft.Dynamics.CRM.")
	e.say(name)
	e.say("(PropertyName='")
	e.say(attribute)
	e.say("',PropertyValues=[")
	for i, item := range items {
		if i > 0 {
			e.say(",")
		}
		e.say(item)
	}
	e.say("])")
}
