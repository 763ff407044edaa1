package main

import (
	"slices"
	"strings"
)

// operators are those of filters, as people write them.
var operators = []string{"=", "!=", "<", "<=", ">", ">=", "in", "not in", "between", "is null", "is not null",
	"contains", "not contains", "starts with", "ends with", "contains any", "contains none"}

// wanted is what a filter that is not whole goes on with.
type wanted int

const (
	wantsValue wanted = iota // or anything that is not known
	wantsField
	wantsOperator
	wantsMore // and, or
)

// unfinished reads a filter up to the cursor.
type unfinished struct {
	want     wanted
	operator string // the words of the operator so far
	list     bool   // within the parentheses of a list of values
	between  bool   // the next and is that of between
}

// expecting says what a filter goes on with: before is all but the word at the cursor, operators
// are what the words of an operator so far go on with.
func expecting(text string) (before string, want wanted, begun []string) {
	u := unfinished{want: wantsField}
	for at := 0; at < len(text); {
		end := at + 1
		switch c := text[at]; {
		case c == ' ' || c == '\t' || c == '\n':
			at = end
			continue
		case c == '{' && u.want == wantsField:
			return text, wantsValue, nil // a tree in JSON
		case c == '\'' || c == '"':
			closing := strings.IndexByte(text[end:], c)
			if closing < 0 {
				return text, wantsValue, nil
			}
			end += closing + 1
		case inWord(c):
			for end < len(text) && inWord(text[end]) {
				end++
			}
			if end == len(text) {
				return text[:at], u.want, u.operators()
			}
		case strings.IndexByte("=<>!", c) >= 0:
			for end < len(text) && strings.IndexByte("=<>!", text[end]) >= 0 {
				end++
			}
		}
		u.take(text[at:end])
		at = end
	}
	return text, u.want, u.operators()
}

func inWord(c byte) bool {
	return !notInVariables(rune(c)) || c == '-' || c == '.' || c == ':' || c >= 0x80
}

// take reads one word, sign or quoted text.
func (u *unfinished) take(token string) {
	word := strings.ToLower(token)
	switch u.want {
	case wantsField:
		if word != "not" && word != "(" {
			u.want = wantsOperator
		}
	case wantsOperator:
		longer := strings.TrimSpace(u.operator + " " + word)
		switch {
		case longer == "is null" || longer == "is not null" || longer == "not null":
			u.want, u.operator = wantsMore, ""
		case slices.ContainsFunc(operators, func(o string) bool { return o == longer || strings.HasPrefix(o, longer+" ") }):
			u.operator = longer
		default: // the operator has ended, or is one of other words
			u.between, u.operator = u.operator == "between", ""
			u.value(token)
		}
	case wantsMore:
		if word == "and" && u.between {
			u.between, u.want = false, wantsValue
		} else if word == "and" || word == "or" {
			u.want = wantsField
		}
	default:
		u.value(token)
	}
}

// value reads a value, or a part of a list of them.
func (u *unfinished) value(token string) {
	switch token {
	case "(":
		u.list = true
	case ")":
		u.list = false
	}
	u.want = wantsMore
	if u.list {
		u.want = wantsValue
	}
}

// operators are what the words of the operator so far go on with.
func (u *unfinished) operators() []string {
	if u.want != wantsOperator {
		return nil
	}
	if u.operator == "" {
		return operators
	}
	var more []string
	for _, operator := range operators {
		if rest, ok := strings.CutPrefix(operator, u.operator+" "); ok {
			more = append(more, rest)
		}
	}
	return more
}
