package emulator

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// $filter over metadata: comparisons of members with literals by eq and ne, joined by and, or, not
// and parentheses. A complex member goes by its path (AttributeTypeName/Value), an enumeration by
// its own literal.

// enumerations are the members whose literals are written Microsoft.Dynamics.CRM.Type'Name'.
var enumerations = map[string]string{"AttributeType": "AttributeTypeCode", "OwnershipType": "OwnershipTypes",
	"SourceType": ""}

var metaToken = regexp.MustCompile(`^\s*(?:([()])|'((?:[^']|'')*)'|(Microsoft\.Dynamics\.CRM\.[A-Za-z]+)'([A-Za-z]+)'|([A-Za-z@.][A-Za-z0-9@._/]*|-?[0-9]+)(\()?)`)

type metaFilter struct {
	text   string // as written
	rest   string
	item   object // an example of what there is
	entity string // its type
}

type metaTest func(object) bool

// metadataFilter compiles the text for objects like the example.
func metadataFilter(text string, item object, typeName string) (metaTest, *fault) {
	f := &metaFilter{text: text, rest: text, item: item, entity: typeName}
	test, fail := f.either()
	if fail == nil && strings.TrimSpace(f.rest) != "" {
		fail = f.syntax()
	}
	return test, fail
}

func (f *metaFilter) syntax() *fault {
	return badRequest("Syntax error at position %d in '%s'.", len(f.text)-len(strings.TrimSpace(f.rest)), f.text)
}

// next is the next token, by the groups of metaToken; nil where there is none.
func (f *metaFilter) next() []string {
	m := metaToken.FindStringSubmatch(f.rest)
	if m == nil {
		return nil
	}
	f.rest = f.rest[len(m[0])-len(m[6]):] // a parenthesis behind a word is a token of its own
	return m
}

// word takes the next token if it is this one.
func (f *metaFilter) word(want string) bool {
	was := f.rest
	if m := f.next(); m != nil && (m[1] == want || m[5] == want) {
		return true
	}
	f.rest = was
	return false
}

func (f *metaFilter) either() (metaTest, *fault) {
	left, fail := f.both()
	for fail == nil && f.word("or") {
		one := left
		other, failed := f.both()
		left, fail = func(o object) bool { return one(o) || other(o) }, failed
	}
	return left, fail
}

func (f *metaFilter) both() (metaTest, *fault) {
	left, fail := f.one()
	for fail == nil && f.word("and") {
		one := left
		other, failed := f.one()
		left, fail = func(o object) bool { return one(o) && other(o) }, failed
	}
	return left, fail
}

func (f *metaFilter) one() (metaTest, *fault) {
	if f.word("not") {
		test, fail := f.one()
		return func(o object) bool { return !test(o) }, fail
	}
	if f.word("(") {
		test, fail := f.either()
		if fail == nil && !f.word(")") {
			fail = f.syntax()
		}
		return test, fail
	}
	return f.comparison()
}

func (f *metaFilter) comparison() (metaTest, *fault) {
	m := f.next()
	if m == nil || m[5] == "" {
		return nil, f.syntax()
	}
	if m[6] != "" {
		fail := badRequest(`The "%s" function isn't supported for Metadata Entities.`, m[5])
		fail.code = codeMetaFunction
		return nil, fail
	}
	path := m[5]
	name, _, _ := strings.Cut(path, "/")
	if i := slices.IndexFunc(f.item, func(m member) bool { return m.name == name }); i < 0 ||
		strings.HasPrefix(name, "@") {
		return nil, badRequest("Could not find a property named '%s' on type '%s%s'.", name, crm, f.entity)
	}
	equal := f.word("eq")
	if !equal && !f.word("ne") {
		return nil, f.syntax()
	}
	lit := f.next()
	if lit == nil || lit[1] != "" || lit[6] != "" {
		return nil, f.syntax()
	}
	want, fail := f.literal(name, lit)
	if fail != nil {
		return nil, fail
	}
	return func(o object) bool { return (o.at(path) == want) == equal }, nil
}

// literal reads what a member is compared with.
func (f *metaFilter) literal(name string, m []string) (any, *fault) {
	kind := enumerations[name]
	switch {
	case m[5] == "null":
		return nil, nil
	case kind != "" && m[3] != crm+kind:
		return nil, badRequest("A binary operator with incompatible types was detected. Found operand types '%s%s' and '%s' for operator kind 'Equal'.", crm, kind, literalType(m))
	case kind != "":
		return m[4], nil
	case m[3] != "":
		return nil, badRequest("A binary operator with incompatible types was detected. Found operand types 'Edm.String' and '%s' for operator kind 'Equal'.", m[3])
	case m[5] == "true", m[5] == "false":
		return m[5] == "true", nil
	case m[5] != "":
		if id, ok := parseGUID(m[5]); ok {
			return id.String(), nil
		}
		n, err := strconv.Atoi(m[5])
		if err != nil {
			return nil, f.syntax()
		}
		return n, nil
	}
	return strings.ReplaceAll(m[2], "''", "'"), nil
}

func literalType(m []string) string {
	switch {
	case m[3] != "":
		return m[3]
	case m[5] == "true", m[5] == "false":
		return "Edm.Boolean"
	case m[5] != "":
		return "Edm.Int32"
	}
	return "Edm.String"
}

// at follows a path of members; nil where it ends early.
func (o object) at(path string) any {
	name, rest, deeper := strings.Cut(path, "/")
	i := slices.IndexFunc(o, func(m member) bool { return m.name == name })
	if i < 0 {
		return nil
	}
	if inner, ok := o[i].value.(object); ok {
		return inner.at(rest)
	}
	if deeper {
		return nil
	}
	return plainValue(o[i].value)
}

// plainValue keeps what literals can be equal to.
func plainValue(v any) any {
	switch x := v.(type) {
	case string, bool, int:
		return x
	}
	return nil
}
