package emulator

import (
	"net/http"
	"slices"
	"strings"
)

// predicate decides on a row. "Not" is pushed down to the tests before a predicate is made, so that
// two values are enough: what SQL calls unknown is false, and each test knows its own exceptions
// (6.2).
type predicate func(row any) bool

const (
	maxConditions = 500
	maxDepth      = 100
)

type filterParser struct {
	c       *call
	t       *table
	text    string
	tokens  []token
	at      int
	depth   int
	tests   int
	nots    int // that are open
	aliases map[string]string
	edges   []edge // of the conditions that all must hold
}

// compile turns $filter into a predicate over rows of t.
func (c *call) compile(t *table, text string, aliases map[string]string) (predicate, *fault) {
	pred, _, fail := c.compileEdges(t, text, aliases)
	return pred, fail
}

// compileEdges is compile, with edges of the rows that pass.
func (c *call) compileEdges(t *table, text string, aliases map[string]string) (predicate, []edge, *fault) {
	tokens, fail := lex(text)
	if fail != nil {
		return nil, nil, fail
	}
	p := &filterParser{c: c, t: t, text: text, tokens: tokens, aliases: aliases}
	pred, fail := p.or(false)
	if fail != nil {
		return nil, nil, fail
	}
	if p.peek().kind != tokEnd {
		return nil, nil, p.unexpected()
	}
	return pred, p.edges, nil
}

func (p *filterParser) peek() token { return p.tokens[p.at] }

func (p *filterParser) next() token {
	t := p.tokens[p.at]
	if t.kind != tokEnd {
		p.at++
	}
	return t
}

func (p *filterParser) is(kind tokenKind, text string) bool {
	t := p.peek()
	return t.kind == kind && t.text == text
}

func (p *filterParser) accept(kind tokenKind, text string) bool {
	if p.is(kind, text) {
		p.at++
		return true
	}
	return false
}

// unexpected names the operators that OData has and Dataverse lacks, and else the place.
func (p *filterParser) unexpected() *fault {
	t := p.peek()
	if t.kind == tokName && slices.Contains([]string{"in", "has", "add", "sub", "mul", "div", "mod"}, t.text) {
		node := "BinaryOperator"
		switch t.text {
		case "in":
			node = "In"
		case "has":
			node = "Has"
		}
		return badRequest("The query node %s is not supported", node)
	}
	return syntax(t.pos, p.text)
}

// or, and, unary take whether the expression stands under an odd number of nots.

func (p *filterParser) or(neg bool) (predicate, *fault) {
	return p.chain("or", neg, p.and)
}

func (p *filterParser) and(neg bool) (predicate, *fault) {
	return p.chain("and", neg, p.unary)
}

// chain joins operands; under a not, or becomes and.
func (p *filterParser) chain(word string, neg bool, operand func(bool) (predicate, *fault)) (predicate, *fault) {
	before := len(p.edges)
	first, fail := operand(neg)
	if fail != nil {
		return nil, fail
	}
	list := []predicate{first}
	for p.accept(tokName, word) {
		x, fail := operand(neg)
		if fail != nil {
			return nil, fail
		}
		list = append(list, x)
	}
	if len(list) == 1 {
		return first, nil
	}
	stop := (word == "or") != neg // any, or all
	if stop {
		p.edges = p.edges[:before]
	}
	return func(row any) bool {
		for _, x := range list {
			if x(row) == stop {
				return stop
			}
		}
		return !stop
	}, nil
}

func (p *filterParser) unary(neg bool) (predicate, *fault) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxDepth {
		return nil, badRequest("The recursion limit of the query has been exceeded.")
	}
	if p.accept(tokName, "not") {
		if t := p.peek(); t.kind == tokName && strings.HasPrefix(t.text, crm) {
			return nil, badRequest("Not operator along with the Custom Named Condition operators is not allowed")
		}
		p.nots++
		defer func() { p.nots-- }()
		return p.unary(!neg)
	}
	if p.accept(tokPunct, "(") {
		x, fail := p.or(neg)
		if fail != nil {
			return nil, fail
		}
		if !p.accept(tokPunct, ")") {
			return nil, p.unexpected()
		}
		return x, nil
	}
	p.tests++
	if p.tests > maxConditions {
		return nil, &fault{status: http.StatusBadRequest, code: "0x8004430C",
			message: "Number of conditions in query exceeded maximum limit."}
	}
	return p.test(neg)
}

var comparisons = []string{"eq", "ne", "gt", "ge", "lt", "le"}

// test is a comparison or a function.
func (p *filterParser) test(neg bool) (predicate, *fault) {
	t := p.peek()
	if t.kind == tokName && p.tokens[p.at+1].kind == tokPunct && p.tokens[p.at+1].text == "(" {
		p.at += 2
		if strings.HasPrefix(t.text, crm) {
			return p.queryFunction(strings.TrimPrefix(t.text, crm), neg)
		}
		return p.textFunction(t.text, neg)
	}
	left, fail := p.operand()
	if fail != nil {
		return nil, fail
	}
	op := p.peek()
	if op.kind != tokName || !slices.Contains(comparisons, op.text) {
		return nil, p.unexpected()
	}
	p.at++
	right, fail := p.operand()
	if fail != nil {
		return nil, fail
	}
	return p.compare(left, op.text, right, neg)
}

// operand is a column or a literal.
type operand struct {
	col  *column
	lit  token
	null bool
}

func (p *filterParser) operand() (operand, *fault) {
	t := p.next()
	switch t.kind {
	case tokAlias:
		text, ok := p.aliases[t.text]
		if !ok {
			return operand{null: true}, nil // an unassigned alias is null
		}
		return p.aliased(text)
	case tokName:
		switch t.text {
		case "null":
			return operand{null: true}, nil
		case "true", "false":
			return operand{lit: t}, nil
		}
		if p.is(tokPunct, "/") {
			return operand{}, badRequest("Filters over related tables are not part of this emulator: '%s/…'.", t.text)
		}
		col := p.t.props[t.text]
		if col == nil {
			return operand{}, p.t.noProperty(t.text)
		}
		return operand{col: col}, nil
	case tokString, tokNumber, tokGUID, tokDate, tokDateTime:
		return operand{lit: t}, nil
	}
	p.at = max(0, p.at-1)
	return operand{}, p.unexpected()
}

// aliased reads a parameter's value, which is one literal.
func (p *filterParser) aliased(text string) (operand, *fault) {
	tokens, fail := lex(text)
	if fail != nil {
		return operand{}, fail
	}
	if len(tokens) != 2 {
		return operand{}, syntax(0, text)
	}
	switch t := tokens[0]; {
	case t.kind == tokName && t.text == "null":
		return operand{null: true}, nil
	case t.kind == tokName && t.text != "true" && t.text != "false", t.kind == tokAlias, t.kind == tokPunct,
		t.kind == tokArray:
		return operand{}, syntax(0, text)
	default:
		return operand{lit: t}, nil
	}
}
