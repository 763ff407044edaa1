package emulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

const crm = "Microsoft.Dynamics.CRM."

// textFunction is contains, startswith or endswith, after its opening parenthesis. Their values are
// LIKE patterns. Under not they match null columns too: the platform adds "or is null" to its
// negative operators.
func (p *filterParser) textFunction(name string, neg bool) (predicate, *fault) {
	if !slices.Contains([]string{"contains", "startswith", "endswith"}, name) {
		return nil, badRequest("An unknown function with name '%s' was found. This may also be a function import or a key lookup on a navigation property, which is not allowed.", name)
	}
	left, fail := p.operand()
	if fail != nil {
		return nil, fail
	}
	if !p.accept(tokPunct, ",") {
		return nil, p.unexpected()
	}
	right, fail := p.operand()
	if fail != nil {
		return nil, fail
	}
	if !p.accept(tokPunct, ")") {
		return nil, p.unexpected()
	}
	if left.col == nil || !left.col.kind.textual() || right.lit.kind != tokString {
		return nil, badRequest("No function signature for the function with name '%s' matches the specified arguments. The function signatures considered are: %s(Edm.String Nullable=true, Edm.String Nullable=true).", name, name)
	}
	if p.peek().kind == tokName && slices.Contains([]string{"eq", "ne"}, p.peek().text) {
		op := p.next().text
		t := p.next()
		if t.kind != tokName || t.text != "true" && t.text != "false" {
			p.at--
			return nil, p.unexpected()
		}
		neg = neg != ((op == "eq") != (t.text == "true"))
	}
	pattern := right.lit.text
	if name != "startswith" {
		pattern = "%" + pattern
	}
	if name != "endswith" {
		pattern += "%"
	}
	m := compileLike(pattern)
	get, v := left.col.get, p.c.v
	onNull := neg && !p.c.s.opts.NegativesSkipNull
	return func(r any) bool {
		x := get(v, r)
		if !x.ok {
			return onNull
		}
		return m.match(foldCase(x.s)) != neg
	}, nil
}

// arguments are those of a query function by name.
type arguments struct {
	property *column
	values   []string
	list     bool // PropertyValues
	quoted   bool // PropertyValue was a text
}

// maxListed is how long a value of In may be (6.2); the words of the refusal are not documented.
const maxListed = 850

// queryFunction is Microsoft.Dynamics.CRM.Name(…), after its opening parenthesis.
func (p *filterParser) queryFunction(name string, neg bool) (predicate, *fault) {
	args, fail := p.arguments()
	if fail != nil {
		return nil, fail
	}
	if neg || p.nots > 0 {
		return nil, badRequest("Not operator along with the Custom Named Condition operators is not allowed")
	}
	if args.property == nil {
		return nil, badRequest("The parameter 'PropertyName' of the function '%s%s' is missing.", crm, name)
	}
	need := map[string]int{"In": -1, "NotIn": -1, "ContainValues": -1, "DoesNotContainValues": -1, "Between": 2,
		"NotBetween":  2,
		"EqualUserId": 0, "NotEqualUserId": 0}
	n, known := need[name]
	list := known && n != 0
	if !known {
		n, known = dateFunction(name)
	}
	switch {
	case !known:
		return nil, badRequest("The function '%s%s' is not part of this emulator.", crm, name)
	case n >= 0 && len(args.values) != n, n < 0 && len(args.values) == 0, n != 0 && args.list != list:
		return nil, &fault{status: http.StatusBadRequest, code: codeArgument,
			message: fmt.Sprintf("The number of values given for the operator %s is wrong.", name)}
	}
	switch name {
	case "In", "NotIn":
		return p.in(args, name == "NotIn")
	case "Between", "NotBetween":
		return p.between(args, name == "NotBetween")
	case "ContainValues", "DoesNotContainValues":
		return p.containValues(args, name == "DoesNotContainValues")
	case "EqualUserId", "NotEqualUserId":
		if args.property.kind != kindLookup && args.property.kind != kindGUID {
			return nil, &fault{status: http.StatusBadRequest, code: codeArgument,
				message: "The condition operator is valid for columns that refer to a user only."}
		}
		args.values = []string{p.c.user.id.String()}
		return p.in(args, name == "NotEqualUserId")
	}
	return p.date(args, name)
}

func (p *filterParser) arguments() (arguments, *fault) {
	var a arguments
	for !p.accept(tokPunct, ")") {
		name := p.next()
		if name.kind != tokName || !p.accept(tokPunct, "=") {
			p.at = max(0, p.at-1)
			return a, p.unexpected()
		}
		v := p.next()
		if v.kind == tokAlias {
			tokens, fail := aliased(p.aliases[v.text])
			if fail != nil {
				return a, fail
			}
			v = tokens[0]
		}
		switch name.text {
		case "PropertyName":
			if a.property = p.t.column(v.text); v.kind != tokString || a.property == nil {
				return a, &fault{status: http.StatusBadRequest, code: codeAttribute,
					message: fmt.Sprintf("'%s' entity doesn't contain attribute with Name = '%s' and NameMapping = 'Logical'.",
						p.t.logical, v.text)}
			}
		case "PropertyValues":
			values, fail := arrayItems(v)
			if fail != nil {
				return a, fail
			}
			a.values, a.list = values, true
		case "PropertyValue":
			if v.kind == tokArray || v.kind == tokPunct || v.kind == tokEnd {
				p.at--
				return a, p.unexpected()
			}
			a.values, a.list, a.quoted = []string{v.text}, false, v.kind == tokString
		default:
			return a, syntax(name.pos, p.text)
		}
		if !p.accept(tokPunct, ",") && !p.is(tokPunct, ")") {
			return a, p.unexpected()
		}
	}
	return a, nil
}

// aliased are the tokens of a parameter alias. A list there is read as JSON to its end: the sample
// in Microsoft's page has O'Brian in one.
func aliased(text string) ([]token, *fault) {
	if text = strings.TrimSpace(text); strings.HasPrefix(text, "[") {
		return []token{{kind: tokArray, text: text}}, nil
	}
	return lex(text)
}

// arrayItems reads ["a","b"], and ['a','b'] as long as no apostrophe is inside, as the service does.
func arrayItems(t token) ([]string, *fault) {
	var items []string
	if t.kind == tokArray && json.Unmarshal([]byte(t.text), &items) == nil {
		return items, nil
	}
	inner := strings.TrimSuffix(strings.TrimPrefix(t.text, "["), "]")
	if t.kind == tokArray && !strings.Contains(inner, `"`) {
		for part := range strings.SplitSeq(inner, ",") {
			part = strings.TrimSpace(part)
			if len(part) < 2 || part[0] != '\'' || part[len(part)-1] != '\'' || strings.Contains(part[1:len(part)-1], "'") {
				return nil, badArray()
			}
			items = append(items, part[1:len(part)-1])
		}
		return items, nil
	}
	return nil, badArray()
}

func badArray() *fault {
	return badRequest("Invalid JSON. A comma character ',' was expected in scope 'Array'. Every two elements in an array and properties of an object must be separated by commas.")
}

// literal makes the token that a function's text value stands for in a column.
func literal(col *column, text string) token {
	t := token{kind: tokString, text: text}
	switch k := col.kind; {
	case k.numeric():
		t.kind = tokNumber
	case k == kindGUID || k == kindLookup:
		t.kind = tokGUID
	case k == kindBool:
		t = token{kind: tokName, text: map[string]string{"1": "true", "0": "false"}[text]}
		if t.text == "" {
			t.text = strings.ToLower(text)
		}
	case k == kindDateTime || k == kindDate:
		t.kind = tokDateTime
		if dateForm.FindString(text) == text {
			t.kind = tokDate
		}
	}
	return t
}

func (p *filterParser) comparers(a arguments) ([]func(value) int, *fault) {
	var out []func(value) int
	for _, s := range a.values {
		c, fail := p.comparer(a.property, "eq", literal(a.property, s))
		if fail != nil {
			return nil, fail
		}
		out = append(out, c)
	}
	return out, nil
}

func (p *filterParser) in(a arguments, not bool) (predicate, *fault) {
	for _, s := range a.values {
		if utf8.RuneCountInString(s) > maxListed {
			return nil, &fault{status: http.StatusBadRequest, code: codeArgument,
				message: fmt.Sprintf("A value of the condition is longer than %d characters.", maxListed)}
		}
	}
	list, fail := p.comparers(a)
	if fail != nil {
		return nil, fail
	}
	get, v := a.property.get, p.c.v
	onNull := not && !p.c.s.opts.NegativesSkipNull
	return func(r any) bool {
		x := get(v, r)
		if !x.ok {
			return onNull
		}
		return slices.ContainsFunc(list, func(c func(value) int) bool { return c(x) == 0 }) != not
	}, nil
}

// between includes both ends; its negation is plain SQL and does not match null.
func (p *filterParser) between(a arguments, not bool) (predicate, *fault) {
	list, fail := p.comparers(a)
	if fail != nil {
		return nil, fail
	}
	get, v := a.property.get, p.c.v
	return func(r any) bool {
		x := get(v, r)
		return x.ok && (list[0](x) >= 0 && list[1](x) <= 0) != not
	}, nil
}

func (p *filterParser) containValues(a arguments, not bool) (predicate, *fault) {
	if a.property.kind != kindChoices {
		return nil, &fault{status: http.StatusBadRequest, code: codeArgument,
			message: "The condition operator is valid for multi-select choice columns only."}
	}
	var want []int32
	for _, s := range a.values {
		n := splitChoices(s)
		if len(n) != 1 {
			return nil, &fault{status: http.StatusBadRequest, code: codeArgument,
				message: "A value of the condition is not an integer."}
		}
		want = append(want, n[0])
	}
	get, v := a.property.get, p.c.v
	onNull := not && !p.c.s.opts.NegativesSkipNull
	return func(r any) bool {
		x := get(v, r)
		if !x.ok {
			return onNull
		}
		return slices.ContainsFunc(splitChoices(x.s), func(n int32) bool { return slices.Contains(want, n) }) != not
	}, nil
}
