package messages

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

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
			return nil, p.refuse(t, "expected a comma or a closing parenthesis, not "+t.name()+
				"; text of several words goes in quotes")
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
