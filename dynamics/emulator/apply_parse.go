package emulator

import (
	"slices"
	"strings"
)

// applyParser reads $apply:
//
//	apply     = [ filter "/" ] ( aggregate | groupby )
//	filter    = "filter(" … ")"
//	groupby   = "groupby((" name { "," name } ")" [ "," aggregate ] ")"
//	aggregate = "aggregate(" item { "," item } ")"
//	item      = "$count as " alias | name " with " method " as " alias
//
// Everything else that OData has is refused as none of this emulator's.
type applyParser struct {
	t    *table
	text string // as written
	rest string
	out  application
}

// application reads $apply, and refuses the options that do not go with it.
func (c *call) application(t *table, o options, text string) (application, *fault) {
	for _, p := range o.pairs {
		if p[0] != "$apply" && p[0] != "$orderby" && strings.HasPrefix(p[0], "$") {
			return application{}, badRequest("The query parameter %s is not supported together with $apply", p[0])
		}
	}
	p := &applyParser{t: t, text: text, rest: text}
	if inside, after, ok := cutCall("filter", text); ok && strings.HasPrefix(after, "/") {
		var fail *fault
		if p.out.filter, fail = c.compile(t, inside, o.aliases); fail != nil {
			return p.out, fail
		}
		p.rest = after[1:]
	}
	p.space()
	fail := p.step()
	return p.out, fail
}

// cutCall cuts name(inside) off the text, by the parenthesis that closes it.
func cutCall(name, text string) (inside, after string, ok bool) {
	rest, ok := strings.CutPrefix(text, name+"(")
	if !ok {
		return "", "", false
	}
	depth, quoted := 1, false
	for i := range len(rest) {
		switch ch := rest[i]; {
		case ch == '\'':
			quoted = !quoted
		case quoted:
		case ch == '(':
			depth++
		case ch == ')':
			if depth--; depth == 0 {
				return rest[:i], rest[i+1:], true
			}
		}
	}
	return "", "", false
}

func (p *applyParser) foreign() *fault {
	return badRequest("The $apply expression '%s' is not part of this emulator.", p.text)
}

func (p *applyParser) space() { p.rest = strings.TrimSpace(p.rest) }

// accept takes the next token if it is this one.
func (p *applyParser) accept(token string) bool {
	rest, ok := strings.CutPrefix(p.rest, token)
	if ok {
		p.rest = rest
		p.space()
	}
	return ok
}

// word takes letters, digits and underscores; a name begins with no digit.
func (p *applyParser) word() string {
	end := 0
	for end < len(p.rest) && nameByte(p.rest[end]) {
		end++
	}
	w := p.rest[:end]
	p.rest = p.rest[end:]
	p.space()
	return w
}

func nameByte(b byte) bool {
	return b == '_' || b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
}

// step reads the transformation after the filter.
func (p *applyParser) step() *fault {
	if p.accept("groupby(") {
		if fail := p.groups(); fail != nil {
			return fail
		}
		if p.accept(")") {
			return p.end()
		}
		if !p.accept(",") {
			return p.foreign()
		}
		if fail := p.aggregates(); fail != nil {
			return fail
		}
		if !p.accept(")") {
			return p.foreign()
		}
		return p.end()
	}
	if fail := p.aggregates(); fail != nil {
		return fail
	}
	return p.end()
}

func (p *applyParser) end() *fault {
	if p.rest != "" {
		return p.foreign()
	}
	return nil
}

// groups reads the columns of the groups; moments cannot be grouped.
func (p *applyParser) groups() *fault {
	if !p.accept("(") {
		return p.foreign()
	}
	for {
		name := p.word()
		col := p.t.props[name]
		switch {
		case name == "":
			return p.foreign()
		case col == nil:
			return p.t.noProperty(name)
		case col.kind == kindDateTime || col.kind == kindDate:
			return badRequest("Grouping by the date and time column '%s' is not supported.", name) // the words are not documented
		}
		p.out.groups = append(p.out.groups, col)
		if p.accept(")") {
			return nil
		}
		if !p.accept(",") {
			return p.foreign()
		}
	}
}

func (p *applyParser) aggregates() *fault {
	if !p.accept("aggregate(") {
		return p.foreign()
	}
	for {
		sum, fail := p.aggregate()
		if fail != nil {
			return fail
		}
		if slices.ContainsFunc(p.out.sums, func(s aggregate) bool { return s.name == sum.name }) ||
			p.t.props[sum.name] != nil {
			return badRequest("The alias '%s' of the $apply expression is already in use.", sum.name)
		}
		p.out.sums = append(p.out.sums, sum)
		if p.accept(")") {
			return nil
		}
		if !p.accept(",") {
			return p.foreign()
		}
	}
}

const maxAlias = 128

func (p *applyParser) aggregate() (aggregate, *fault) {
	x := aggregate{method: "count"}
	name := ""
	if !p.accept("$count") {
		if name = p.word(); name == "" || p.word() != "with" {
			return x, p.foreign()
		}
		x.method = p.word()
	}
	if p.word() != "as" {
		return x, p.foreign()
	}
	if x.name = p.word(); x.name == "" || len(x.name) > maxAlias || x.name[0] >= '0' && x.name[0] <= '9' {
		return x, p.foreign()
	}
	if name == "" {
		return x, nil
	}
	return x, x.of(p.t, name)
}
