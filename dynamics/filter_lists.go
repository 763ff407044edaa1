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
func (e *expression) list(t Test, literals []string, negate bool) {
	word, joiner := " eq ", " or "
	if negate {
		word, joiner = " ne ", " and "
	}
	p := t.Column.Property()
	var terms []string
	if e.listed(t, literals) {
		var items []string
		for i, v := range t.Values {
			if t.Column.Type != Text {
				v = literals[i] // a number in plain digits with a point, whatever the user's locale; a GUID in lower case
			}
			if utf8.RuneCountInString(v) > maxListed {
				terms = append(terms, p+word+literals[i])
				continue
			}
			item := listItem(v)
			items = append(items, item)
			// The form that a message would repeat it in.
			e.values = append(e.values, item[1:len(item)-1])
		}
		if len(items) > 0 {
			function := "In"
			if negate {
				function = "NotIn"
			}
			terms = append(terms, queryFunction(function, t.Column.Logical, items))
		}
	} else {
		for _, l := range literals {
			terms = append(terms, p+word+l)
		}
	}
	e.withNull(p, joiner, terms, negate)
}

// listed reports whether a list is written as a function.
func (e *expression) listed(t Test, literals []string) bool {
	if len(literals) <= shortList {
		return false
	}
	return e.form == everyFunction || e.form == functions && t.Column.Type != Lookup
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
func queryFunction(name, attribute string, items []string) string {
	return "Microsoft.Dynamics.CRM." + name + "(PropertyName='" + attribute + "',PropertyValues=[" +
		strings.Join(items, ",") + "])"
}
