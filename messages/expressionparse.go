package messages

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// A node is a part of a filter with the places that it was read from.
type node struct {
	kind string // and, or, not; "" for a comparison
	of   []*node
	at   span

	leaf             Where
	field, op, value span
	items            []span // of a list's values
}

// parser reads tokens from left to right, one function for each rule.
type parser struct {
	tokens []token
	next   int
	nested int
}

// peek is the token ahead, the last one for ever at the end.
func (p *parser) peek() token { return p.tokens[min(p.next, len(p.tokens)-1)] }

// accept takes the token ahead if it is this keyword or sign.
func (p *parser) accept(word string) bool {
	if !p.peek().is(word) {
		return false
	}
	p.next++
	return true
}

// refuse is the error at t: message, or why t belongs to no expression.
func (p *parser) refuse(t token, message string) *ExpressionError {
	if t.kind == tokenBad {
		message = t.text
	}
	return &ExpressionError{t.at.offset, t.at.length, message}
}

// since is the span from start to the end of the last token taken.
func (p *parser) since(start int) span {
	last := p.tokens[p.next-1].at
	return span{start, last.offset + last.length - start}
}

func (p *parser) whole() (*node, *ExpressionError) {
	if t := p.peek(); t.kind == tokenEnd {
		return nil, p.refuse(t, `the filter is empty; write for example industry = Consulting and employees >= 50`)
	}
	root, err := p.either()
	if err != nil {
		return nil, err
	}
	if t := p.peek(); t.kind != tokenEnd {
		return nil, p.refuse(t, p.expected(t, "the end"))
	}
	return root, nil
}

func (p *parser) either() (*node, *ExpressionError) { return p.chain("or", p.both) }

func (p *parser) both() (*node, *ExpressionError) { return p.chain("and", p.negated) }

// chain reads one member, or several with word between them as one node.
func (p *parser) chain(word string, member func() (*node, *ExpressionError)) (*node, *ExpressionError) {
	start := p.peek().at.offset
	first, err := member()
	if err != nil {
		return nil, err
	}
	members := []*node{first}
	for p.accept(word) {
		more, err := member()
		if err != nil {
			return nil, err
		}
		members = append(members, more)
	}
	if len(members) == 1 {
		return first, nil
	}
	return &node{kind: word, of: members, at: p.since(start)}, nil
}

func (p *parser) negated() (*node, *ExpressionError) {
	t := p.peek()
	if !p.accept("not") {
		return p.primary()
	}
	if err := p.deeper(t); err != nil {
		return nil, err
	}
	defer p.higher()
	of, err := p.negated()
	if err != nil {
		return nil, err
	}
	return &node{kind: "not", of: []*node{of}, at: p.since(t.at.offset)}, nil
}

// primary reads a comparison or something in parentheses.
func (p *parser) primary() (*node, *ExpressionError) {
	open := p.peek()
	if !p.accept("(") {
		return p.comparison()
	}
	if err := p.deeper(open); err != nil {
		return nil, err
	}
	defer p.higher()
	of, err := p.either()
	if err != nil {
		return nil, err
	}
	switch t := p.peek(); {
	case p.accept(")"):
		of.at = p.since(open.at.offset)
		return of, nil
	case t.kind == tokenEnd:
		return nil, p.refuse(open, "this parenthesis is never closed")
	default:
		return nil, p.refuse(t, p.expected(t, "a closing parenthesis"))
	}
}

// deeper keeps the stack bounded, whatever is written; see maxNesting.
func (p *parser) deeper(t token) *ExpressionError {
	if p.nested++; p.nested > maxNesting {
		return p.refuse(t, "the filter is nested too deep")
	}
	return nil
}

func (p *parser) higher() { p.nested-- }

// expected is the error of a t that cannot follow a comparison.
func (p *parser) expected(t token, end string) string {
	switch {
	case t.is(")"):
		return "this parenthesis closes nothing"
	case t.is(","):
		return "commas separate the values of a list in parentheses only: in (A, B)"
	case t.kind == tokenWord || t.kind == tokenNumber || t.kind == tokenText:
		return "expected and, or, or " + end + "; text of several words goes in quotes"
	}
	return "expected and, or, or " + end + ", not " + t.name()
}

// name is what an error calls a token. It holds no value: a person sees it at the
// spot, and a log does not.
func (t token) name() string {
	switch t.kind {
	case tokenEnd:
		return "the end"
	case tokenSign:
		return t.text
	case tokenNumber:
		return "a number"
	case tokenText:
		return "text in quotes"
	}
	if word := strings.ToLower(t.text); slices.Contains(reserved, word) {
		return word
	}
	return "a word"
}

// reserved are the words that are no field and, without quotes, no value: the
// states of Oregon and Indiana are "OR" and "IN".
var reserved = []string{"and", "or", "not", "in", "is", "between", "null"}

func (t token) reserved() bool {
	return t.kind == tokenWord && slices.Contains(reserved, strings.ToLower(t.text))
}

// comparison reads a field, an operator and what it is held against.
func (p *parser) comparison() (*node, *ExpressionError) {
	field := p.peek()
	if field.kind != tokenWord || field.reserved() {
		why := "expected a field, not " + field.name()
		if field.kind == tokenNumber || field.kind == tokenText {
			why += "; a comparison begins with the name of its field, without quotes"
		}
		return nil, p.refuse(field, why)
	}
	p.next++
	n := &node{leaf: Where{Field: field.text}, field: field.at}
	start := p.peek()
	var err *ExpressionError
	if n.leaf.Op, err = p.operator(); err != nil {
		return nil, err
	}
	n.op = p.since(start.at.offset)
	n.value = n.op // where there is none
	start = p.peek()
	var values []jsontext.Value
	switch arity := n.leaf.Op.Arity(); {
	case arity == NoValue:
	case arity == TwoValues:
		values, err = p.bounds(n)
	case arity == ValueList, n.leaf.Op == Eq && start.is("("):
		values, err = p.list(n)
	default:
		n.leaf.Value, err = p.single(n.leaf.Op)
	}
	if err != nil {
		return nil, err
	}
	if values != nil {
		n.leaf.Value = arrayOf(values)
	}
	if n.leaf.Value != nil {
		n.value = p.since(start.at.offset)
	}
	n.at = p.since(field.at.offset)
	return n, nil
}

// single reads the one value of op.
func (p *parser) single(op Op) (jsontext.Value, *ExpressionError) {
	t := p.peek()
	if !t.is("(") {
		return p.literal()
	}
	switch op {
	case Ne:
		return nil, p.refuse(t, "!= takes one value; for several write not in (A, B)")
	case Contains:
		return nil, p.refuse(t, "contains takes one text; for a field of several choices write contains any (A, B)")
	}
	return nil, p.refuse(t, "expected one value, not a list; several comparisons are joined with or")
}

// bounds reads between's A and B.
func (p *parser) bounds(n *node) ([]jsontext.Value, *ExpressionError) {
	low, err := p.item(n)
	if err != nil {
		return nil, err
	}
	if t := p.peek(); !p.accept("and") {
		return nil, p.refuse(t, "expected and, not "+t.name()+": between takes the lowest and the highest "+
			"value, between A and B")
	}
	high, err := p.item(n)
	return []jsontext.Value{low, high}, err
}

// list reads values in parentheses.
func (p *parser) list(n *node) ([]jsontext.Value, *ExpressionError) {
	open := p.peek()
	if !p.accept("(") {
		return nil, p.refuse(open, "expected a list in parentheses, (A, B), not "+open.name())
	}
	if t := p.peek(); t.is(")") {
		return nil, p.refuse(t, "the list is empty; to find rows without a value write is null")
	}
	var values []jsontext.Value
	for {
		value, err := p.item(n)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
		switch t := p.peek(); {
		case p.accept(")"):
			return values, nil
		case p.accept(","):
		case t.kind == tokenEnd:
			return nil, p.refuse(open, "this parenthesis is never closed")
		default:
			return nil, p.refuse(t, "expected a comma or a closing parenthesis, not "+t.name()+"; text of several words goes in quotes")
		}
	}
}

// item reads one of several values and notes its place.
func (p *parser) item(n *node) (jsontext.Value, *ExpressionError) {
	n.items = append(n.items, p.peek().at)
	return p.literal()
}

// literal reads a value into its JSON form.
func (p *parser) literal() (jsontext.Value, *ExpressionError) {
	t := p.peek()
	switch {
	case t.is("null"):
		return nil, p.refuse(t, `null is no value: write is null or is not null, or "null" for the text`)
	case t.reserved():
		return nil, p.refuse(t, "expected a value, not "+t.name()+"; as text it goes in quotes")
	case t.is("true"), t.is("false"):
		p.next++
		return jsontext.Value(strings.ToLower(t.text)), nil
	case t.kind == tokenNumber:
		p.next++
		return jsontext.Value(t.text), nil
	case t.kind == tokenWord && strings.HasPrefix(t.text, "."):
		return nil, p.refuse(t, "a number begins with a digit, 0.5; as text it goes in quotes")
	case t.kind == tokenWord || t.kind == tokenText:
		p.next++
		return Leaf("", Eq, t.text).Value, nil
	}
	return nil, p.refuse(t, "expected a value, not "+t.name())
}

func arrayOf(values []jsontext.Value) jsontext.Value {
	array := jsontext.Value{'['}
	for i, value := range values {
		if i > 0 {
			array = append(array, ',')
		}
		array = append(array, value...)
	}
	return append(array, ']')
}
