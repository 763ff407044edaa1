package messages

import (
	"fmt"
	"strings"
)

// An Expression is a filter as a person writes it:
//
//	industry in (Consulting, Accounting) and employees >= 50 and name contains "O'Brien"
//
// It means the same as the tree in Where, and knows which part of the text each
// place of the tree came from.
//
// A comparison is a field, an operator and its values:
//
//	= == eq   != <> ne   < lt   <= le   > gt   >= ge
//	in (A, B)   not in (A, B)   between A and B   is null   is not null
//	contains A   not contains A   starts with A   ends with A
//	contains any (A, B)   contains none (A, B)   = (A, B)   for several choices
//
// not binds tighter than and, and that tighter than or; parentheses change that.
// Keywords are known in any case, and so are the operators' names in Where. A
// value is a number, of which every digit is kept; true or false; a date; a word
// of letters, digits and _ - . alone; or text in single or double quotes. In both,
// two apostrophes are one. In double quotes a single apostrophe is itself,
// a double quote is written twice or as \", and a backslash as \\.
type Expression struct {
	Where *Where

	places map[string]span
}

// span is a part of the text, in bytes.
type span struct{ offset, length int }

// ExpressionError is a fault of an expression: its place, and what would be right.
// It repeats no value.
type ExpressionError struct {
	// Offset and Length are the spot in bytes. Length is 0 at the text's end.
	Offset, Length int
	Message        string
}

// Error is the message with the place.
func (e *ExpressionError) Error() string {
	return fmt.Sprintf("%s (at byte %d of the expression)", e.Message, e.Offset)
}

// ParseExpression reads a filter that a person wrote. Its error is an
// *ExpressionError, also where the filter is larger than Where.Check allows.
func ParseExpression(text string) (*Expression, error) {
	p := parser{tokens: lex(text)}
	root, fault := p.whole()
	if fault != nil {
		return nil, fault
	}
	e := &Expression{places: map[string]span{}}
	where := e.tree(root, wherePath)
	if err := where.Check(wherePath); err != nil {
		offset, length, _ := e.Span(err.Details[0].Path)
		return nil, &ExpressionError{offset, length, err.Details[0].Message}
	}
	e.Where = &where
	return e, nil
}

// ParseWhere is ParseExpression where the tree alone is needed.
func ParseWhere(text string) (*Where, error) {
	e, err := ParseExpression(text)
	if err != nil {
		return nil, err
	}
	return e.Where, nil
}

// wherePath is the filter's place in a request.
const wherePath = "where"

// Span finds the part of the text that a place of the tree came from; path is one
// of an error's details: where.and[1].value. What the text does not show by itself
// is found at the part around it.
func (e *Expression) Span(path string) (offset, length int, ok bool) {
	for path != "" {
		if at, found := e.places[path]; found {
			return at.offset, at.length, true
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return 0, 0, false
}

// tree makes the tree of n and notes which part of the text each node came from.
func (e *Expression) tree(n *node, path string) Where {
	e.places[path] = n.at
	switch n.kind {
	case "and":
		return Where{And: e.list(n.of, path+".and")}
	case "or":
		return Where{Or: e.list(n.of, path+".or")}
	case "not":
		return Not(e.tree(n.of[0], path+".not"))
	}
	e.places[path+".field"], e.places[path+".op"] = n.field, n.op
	e.places[path+".value"] = n.value
	for i, at := range n.items {
		e.places[fmt.Sprintf("%s.value[%d]", path, i)] = at
	}
	return n.leaf
}

func (e *Expression) list(of []*node, path string) []Where {
	nodes := make([]Where, len(of))
	for i, n := range of {
		nodes[i] = e.tree(n, fmt.Sprintf("%s[%d]", path, i))
	}
	return nodes
}
