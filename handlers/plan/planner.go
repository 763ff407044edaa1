package plan

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/messages"
)

// A Planner turns a request about a table's rows into a query, in the terms of one
// environment.
type Planner struct{ columns *Columns }

// Search plans a search.
func (p Planner) Search(ctx context.Context, in messages.SearchRequest) (dynamics.Query, error) {
	query := dynamics.Query{PageSize: int(in.PageSize), Count: in.IncludeTotal}
	if in.Limit > 0 {
		query.PageSize = min(query.PageSize, int(in.Limit))
	}
	var err error
	if query.Select, err = p.Fields(ctx, in.Fields); err != nil {
		return query, err
	}
	if query.OrderBy, err = p.order(ctx, in.OrderBy); err != nil {
		return query, err
	}
	if in.Where != nil {
		if query.Filter, err = p.where(ctx, in.Where, "where"); err != nil {
			return query, err
		}
	}
	return query, p.comparable(ctx)
}

// Fields plans what each row of the answer holds. A column that the user may not read is
// null in every row.
func (p Planner) Fields(ctx context.Context, names []string) ([]dynamics.Output, error) {
	outputs := make([]dynamics.Output, 0, len(names))
	for i, name := range names {
		path := fmt.Sprintf("fields[%d]", i)
		if name == "*" {
			return nil, messages.Invalid(path, "* is not allowed; name the fields")
		}
		if slices.Contains(names[:i], name) {
			return nil, messages.Invalid(path, "%s is named twice", name)
		}
		column, err := p.column(ctx, name, path)
		if err != nil {
			return nil, err
		}
		output := dynamics.Output{Column: column, As: name}
		if column.Type == dynamics.Choices {
			// Without them the labels are those that come with the row.
			output.Labels, _, err = p.columns.labelsOf(ctx, column, MaxAge)
			if err != nil && dynamics.KindOf(err) != dynamics.TooLarge {
				return nil, err
			}
		}
		outputs = append(outputs, output)
	}
	return outputs, nil
}

// order plans the order; the client makes it total by the id.
func (p Planner) order(ctx context.Context, names []string) ([]dynamics.Order, error) {
	var order []dynamics.Order
	for i, name := range names {
		path := fmt.Sprintf("order_by[%d]", i)
		bare, desc := strings.CutPrefix(name, "-")
		column, err := p.compared(ctx, bare, path)
		if err != nil {
			return nil, err
		}
		if column.Type == dynamics.Choices {
			return nil, messages.Invalid(path, "%s holds several choices and cannot be ordered by", bare)
		}
		for _, earlier := range order {
			if earlier.Column == column {
				return nil, messages.Invalid(path, "%s is named twice", bare)
			}
		}
		order = append(order, dynamics.Order{Column: column, Desc: desc})
	}
	return order, nil
}

// column finds the column that a name means: a friendly name, the logical name
// name of one of those, or one that the environment's metadata has.
func (p Planner) column(ctx context.Context, name, path string) (dynamics.Column, error) {
	entity := p.columns.entity
	if column, ok := entity.column(name); ok {
		return column, nil
	}
	all, err := p.columns.All(ctx, MaxAge)
	if _, known := all[name]; err == nil && !known {
		all, err = p.columns.All(ctx, missingMaxAge)
	}
	if err != nil {
		return dynamics.Column{}, err
	}
	if info, ok := all[name]; ok {
		if info.Type == dynamics.Unsupported {
			return dynamics.Column{}, messages.Errorf(messages.NotSupported, "%s: crmbridge knows no values of "+
				"this column's type", path)
		}
		return dynamics.Column{Logical: name, Type: info.Type}, nil
	}
	known := slices.AppendSeq(slices.Collect(maps.Keys(entity.friendly)), maps.Keys(all))
	slices.Sort(known)
	return dynamics.Column{}, entity.unknownColumn(name, path, slices.Compact(known))
}

// A comparison is a column that a filter or an order names, and where.
type comparison struct{ logical, name, path string }

// compared finds the column that a filter or an order names; see [Planner.comparable].
func (p Planner) compared(ctx context.Context, name, path string) (dynamics.Column, error) {
	column, err := p.column(ctx, name, path)
	if err == nil {
		p.columns.compared = append(p.columns.compared, comparison{column.Logical, name, path})
	}
	return column, err
}

// comparable refuses columns that the user may not read: Dataverse compares as if no row
// had a value in them. It comes last, since it may have to read metadata.
func (p Planner) comparable(ctx context.Context) error {
	for _, c := range p.columns.compared {
		hidden, err := p.columns.hides(ctx, c.logical)
		if err != nil {
			return err
		}
		if hidden {
			return messages.Invalid(c.path, "the connection's user may not read %s (column-level security), so "+
				"that no filter or order can use it; "+
				"leave it out, or let a column security profile give the user its values", c.name)
		}
	}
	p.columns.compared = nil
	return nil
}

// unknownColumn names the fields that may have been meant.
func (e *Entity) unknownColumn(name, path string, known []string) *messages.Error {
	fault := "there is no such field"
	if len(name) <= 64 && name == messages.Printable(name) {
		fault = fmt.Sprintf("there is no field %q", name)
	}
	if near := messages.Nearest(name, known, 3); len(near) > 0 {
		return messages.Invalid(path, "%s; did you mean %s?", fault, strings.Join(near, " or "))
	}
	return messages.Invalid(path, "%s; use a friendly name such as %s, or a column's logical name", fault, e.example)
}
