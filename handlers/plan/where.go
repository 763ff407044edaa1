package plan

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/messages"
)

// Where plans a filter whose form has been checked. Its errors name the place
// and what would be right, never a value.
func (p Planner) Where(ctx context.Context, w *messages.Where, path string) (dynamics.Filter, error) {
	filter, err := p.where(ctx, w, spot{root: path})
	if err != nil {
		return nil, err
	}
	return filter, p.comparable(ctx, nil, w, path)
}

func (p Planner) where(ctx context.Context, w *messages.Where, at spot) (dynamics.Filter, error) {
	switch {
	case w.And != nil:
		members, err := p.members(ctx, w.And, at, stepAnd)
		return dynamics.And(members), err
	case w.Or != nil:
		members, err := p.members(ctx, w.Or, at, stepOr)
		return dynamics.Or(members), err
	case w.Not != nil:
		of, err := p.where(ctx, w.Not, at.to(stepNot, -1))
		return dynamics.Not{Of: of}, err
	default:
		return p.leaf(ctx, w, at)
	}
}

func (p Planner) members(ctx context.Context, nodes []messages.Where, at spot, word uint8) ([]dynamics.Filter,
	error) {
	members := p.columns.filtersFor(len(nodes))
	for i := range nodes {
		member, err := p.where(ctx, &nodes[i], at.to(word, i))
		if err != nil {
			return nil, err
		}
		members[i] = member
	}
	return members, nil
}

func (p Planner) leaf(ctx context.Context, w *messages.Where, at spot) (dynamics.Filter, error) {
	column, _, err := p.column(ctx, w.Field, at.of(".field"))
	if err != nil {
		return nil, err
	}
	if ops := column.Type.Ops(); !slices.Contains(ops, dynamics.Op(w.Op)) {
		return nil, at.of(".op").invalid("%s is of type %s, which knows %s", w.Field, column.Type, joinOps(ops))
	}
	at = at.of(".value")
	var space [8]jsontext.Value
	raw, err := p.valuesOf(space[:0], w, column.Type, at)
	if err != nil {
		return nil, err
	}
	test := dynamics.Test{Column: column, Op: dynamics.Op(w.Op), Values: p.columns.valuesFor(len(raw))}
	listed := w.Value.Kind() == '['
	for i, value := range raw {
		if listed {
			at.item = i + 1
		}
		if test.Values[i], err = p.value(ctx, column, w.Field, value, at); err != nil {
			return nil, err
		}
	}
	at.item = 0
	filter := dynamics.Filter(test)
	if err := dynamics.Check(filter); err != nil {
		return nil, Refused(called(err, column, w.Field), at.path())
	}
	if w.Op == messages.Between && swapped(column.Type, test.Values[0], test.Values[1]) {
		return nil, at.invalid("the first value of between is above the second; give the lowest and then the highest")
	}
	return filter, nil
}

// called is the client's refusal of a column with the name that the request has for it.
func called(err error, column dynamics.Column, field string) error {
	fault, ok := errors.AsType[*dynamics.Error](err)
	if !ok {
		return err
	}
	named := *fault
	named.Message = strings.Replace(fault.Message, "column "+column.Logical, field, 1)
	return &named
}

// Refused turns the client's refusal of a value into an error at its place.
func Refused(err error, path string) error {
	if fault, ok := errors.AsType[*dynamics.Error](err); ok && fault.Kind == dynamics.Invalid {
		return messages.Invalid(path, "%s", fault.Message).Because(err)
	}
	return err
}

func joinOps(ops []dynamics.Op) string {
	names := make([]string, len(ops))
	for i, op := range ops {
		names[i] = string(op)
	}
	return strings.Join(names, " ")
}
