package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/messages"
)

// filter is the flag --where: an expression for people, or the tree in JSON.
type filter struct {
	given bool // also where the text is empty: --where "$FILTER" of an unset variable must not match everything
	text  string

	expression *messages.Expression // nil for JSON
}

// UnmarshalText keeps the text; what is wrong with it is shown by tree.
func (f *filter) UnmarshalText(text []byte) error {
	f.given, f.text = true, string(text)
	return nil
}

// tree reads the flag, nil where it is not given.
func (f *filter) tree() (*messages.Where, error) {
	if !f.given {
		return nil, nil
	}
	if strings.HasPrefix(strings.TrimSpace(f.text), "{") {
		var where messages.Where
		if err := json.Unmarshal([]byte(f.text), &where, json.RejectUnknownMembers(true)); err != nil {
			return nil, fmt.Errorf("%w: --where is not a filter in JSON such as "+
				`{"field":"name","op":"contains","value":"Inc"}: %w`, bridge.ErrUsage, err)
		}
		return &where, nil
	}
	expression, err := messages.ParseExpression(f.text)
	if syntax, ok := errors.AsType[*messages.ExpressionError](err); ok {
		err := fmt.Errorf("%w: --where: %s", bridge.ErrUsage, syntax.Message)
		return nil, &spotted{err, f.text, syntax.Offset, syntax.Length}
	}
	if err != nil {
		return nil, err
	}
	f.expression = expression
	return expression.Where, nil
}

// explain adds to crmbridge's answer the spot of the expression that it is about.
func (f *filter) explain(err error) error {
	refused, ok := errors.AsType[*messages.Error](err)
	if !ok || f.expression == nil {
		return err
	}
	for _, detail := range refused.Details {
		if offset, length, ok := f.expression.Span(detail.Path); ok {
			return &spotted{err, f.text, offset, length}
		}
	}
	return err
}

// spotted is an error about a part of a text that a person wrote.
type spotted struct {
	error
	text           string
	offset, length int
}

func (s *spotted) Unwrap() error { return s.error }
