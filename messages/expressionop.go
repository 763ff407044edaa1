package messages

import "strings"

// signOps are the operators that are signs.
var signOps = map[string]Op{"=": Eq, "==": Eq, "!=": Ne, "<>": Ne, "<": Lt, "<=": Le, ">": Gt, ">=": Ge}

// wordOps are other words for operators, besides their own names. Of two that
// begin alike the longer one comes first.
var wordOps = []struct {
	words string
	op    Op
}{
	{"contains any", ContainsAny}, {"contains none", ContainsNone}, {"not contains", NotContains},
	{"starts with", StartsWith}, {"startswith", StartsWith}, {"ends with", EndsWith}, {"endswith", EndsWith},
	{"not in", NotIn}, {"is not null", NotNull}, {"not null", NotNull}, {"is null", IsNull},
}

// otherWords are operators of other languages, and what to write in their place.
var otherWords = map[string]string{
	"like": "contains, starts with or ends with", "equals": "=", "equal": "=", "has": "contains", "includes": "contains",
	"does": "not contains", "before": "<", "after": ">", "over": ">", "above": ">", "under": "<", "below": "<",
}

// operator reads the operator of a comparison.
func (p *parser) operator() (Op, *ExpressionError) {
	t := p.peek()
	if op, known := signOps[t.text]; known && t.kind == tokenSign {
		p.next++
		return op, nil
	}
	for _, known := range wordOps {
		if p.phrase(known.words, known.op.Arity() == ValueList) {
			return known.op, nil
		}
	}
	for _, op := range Ops() {
		if p.accept(string(op)) {
			return op, nil
		}
	}
	return "", p.noOperator(t)
}

// phrase takes the tokens ahead if they are these words, and before a list only
// if one follows: name contains any is a search for "any".
func (p *parser) phrase(words string, list bool) bool {
	from := p.next
	for word := range strings.FieldsSeq(words) {
		if !p.accept(word) {
			p.next = from
			return false
		}
	}
	if list && words != "not in" && !p.peek().is("(") {
		p.next = from
		return false
	}
	return true
}

// noOperator is the error of words at t that are no operator, with the likely one.
func (p *parser) noOperator(t token) *ExpressionError {
	p.next++
	after := p.peek()
	switch {
	case t.is("is") && p.accept("not"):
		return p.refuse(p.peek(), "expected null after is not; to compare write !=")
	case t.is("is"):
		return p.refuse(after, "expected null or not null after is; to compare write = or !=")
	case t.is("not"):
		return p.refuse(after, "expected in, contains or null after not; of other comparisons write the "+
			"opposite, or not (…)")
	case t.is("starts"), t.is("ends"):
		return p.refuse(after, "expected with after "+strings.ToLower(t.text))
	case t.kind != tokenWord:
		return p.refuse(t, "expected an operator after the field, not "+t.name()+"; "+operatorList)
	}
	if meant, known := otherWords[strings.ToLower(t.text)]; known {
		return p.refuse(t, "there is no such operator; write "+meant)
	}
	var names []string
	for _, known := range wordOps {
		if strings.Contains(known.words, " ") {
			names = append(names, known.words)
		}
	}
	for _, op := range Ops() {
		if !strings.Contains(string(op), "_") { // those are among the words, as people write them
			names = append(names, string(op))
		}
	}
	if near := Nearest(t.text, names, 2); len(near) > 0 {
		return p.refuse(t, "there is no such operator; did you mean "+strings.Join(near, " or ")+"?")
	}
	return p.refuse(t, "expected an operator after the field; "+operatorList)
}

const operatorList = "the operators are = != < <= > >=, in, not in, between, contains, not contains, starts with, " +
	"ends with, is null, is not null, contains any, contains none"
