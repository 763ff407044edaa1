package plan

import (
	"cmp"
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
		if query.Filter, err = p.where(ctx, in.Where, spot{root: "where"}); err != nil {
			return query, err
		}
	}
	return query, p.comparable(ctx, in.OrderBy, in.Where, "where")
}

// Fields plans what each row of the answer holds. A column that the user may not read is
// null in every row. The outputs must not be changed.
func (p Planner) Fields(ctx context.Context, names []string) ([]dynamics.Output, error) {
	var space [512]byte
	kept, key := &p.columns.entity.selections, selectionKey(space[:0], names)
	if outputs := kept.of(key); outputs != nil {
		return outputs, nil
	}
	outputs, everywhere, err := p.outputs(ctx, names)
	if err == nil && everywhere {
		kept.keep(key, outputs)
	}
	return outputs, err
}

// outputs plans fields; everywhere says that they are planned so in every environment.
func (p Planner) outputs(ctx context.Context, names []string) (outputs []dynamics.Output, everywhere bool, err error) {
	outputs, everywhere = make([]dynamics.Output, 0, len(names)), true
	for i, name := range names {
		at := spot{root: "fields"}.to(stepItem, i)
		if name == "*" {
			return nil, false, at.invalid("* is not allowed; name the fields")
		}
		if slices.Contains(names[:i], name) {
			return nil, false, at.invalid("%s is named twice", name)
		}
		column, friendly, err := p.column(ctx, name, at)
		if err != nil {
			return nil, false, err
		}
		output := dynamics.Output{Column: column, As: name}
		if column.Type == dynamics.Choices {
			// Without them the labels are those that come with the row.
			output.Labels, _, err = p.columns.labelsOf(ctx, column, MaxAge)
			if err != nil && dynamics.KindOf(err) != dynamics.TooLarge {
				return nil, false, err
			}
		}
		everywhere = everywhere && friendly && column.Type != dynamics.Choices
		outputs = append(outputs, output)
	}
	return outputs, everywhere, nil
}

// order plans the order; the client makes it total by the id.
func (p Planner) order(ctx context.Context, names []string) ([]dynamics.Order, error) {
	if len(names) == 0 {
		return nil, nil
	}
	order := make([]dynamics.Order, 0, len(names))
	for i, name := range names {
		at := spot{root: "order_by"}.to(stepItem, i)
		bare, desc := strings.CutPrefix(name, "-")
		if err := p.meantOrder(ctx, name, at); err != nil {
			return nil, err
		}
		column, _, err := p.column(ctx, bare, at)
		if err != nil {
			return nil, err
		}
		if column.Type == dynamics.Choices {
			return nil, at.invalid("%s holds several choices and cannot be ordered by", bare)
		}
		for _, earlier := range order {
			if earlier.Column == column {
				return nil, at.invalid("%s is named twice", bare)
			}
		}
		order = append(order, dynamics.Order{Column: column, Desc: desc})
	}
	return order, nil
}

// meantOrder refuses an order as people write it, with what it is on the wire: no column's name has a
// space.
func (p Planner) meantOrder(ctx context.Context, name string, at spot) error {
	meant := messages.OrderMeant(name)
	if meant == "" {
		return nil
	}
	if _, _, err := p.column(ctx, strings.TrimPrefix(meant, "-"), at); err != nil {
		return nil // the column is what is told of
	}
	return at.invalid("there is no field %q; did you mean %s?", messages.Printable(name), meant)
}

// column finds the column that a name means: a friendly name, the logical name
// name of one of those, or one that the environment's metadata has.
func (p Planner) column(ctx context.Context, name string, at spot) (column dynamics.Column, friendly bool,
	err error) {
	entity := p.columns.entity
	if column, ok := entity.column(name); ok {
		return column, true, nil
	}
	all, err := p.columns.All(ctx, MaxAge)
	if _, known := all[name]; err == nil && !known {
		all, err = p.columns.All(ctx, missingMaxAge)
	}
	if err != nil {
		return column, false, err
	}
	if info, ok := all[name]; ok {
		if info.Type == dynamics.Unsupported {
			return column, false, messages.Errorf(messages.NotSupported, "%s: crmbridge knows no values of "+
				"this column's type", at.path())
		}
		return info.Column, false, nil
	}
	known := slices.AppendSeq(slices.Collect(maps.Keys(entity.friendly)), maps.Keys(all))
	slices.Sort(known)
	return column, false, entity.unknownColumn(name, at.path(), slices.Compact(known))
}

// comparable refuses columns of a filter and an order that the user may not read: Dataverse
// compares as if no row had a value in them. It comes last, since it may have to read
// metadata.
func (p Planner) comparable(ctx context.Context, orderBy []string, w *messages.Where, path string) error {
	if len(orderBy) == 0 && w == nil {
		return nil
	}
	readable, err := p.columns.readable(ctx)
	if err != nil || readable == nil {
		return err
	}
	for i, name := range orderBy {
		at := spot{root: "order_by"}.to(stepItem, i)
		if err := p.comparableColumn(readable, strings.TrimPrefix(name, "-"), at); err != nil {
			return err
		}
	}
	if w == nil {
		return nil
	}
	return p.comparableNode(readable, w, spot{root: path})
}

func (p Planner) comparableNode(readable map[string]dynamics.TableColumn, w *messages.Where, at spot) error {
	list, word := w.And, uint8(stepAnd)
	switch {
	case w.And != nil:
	case w.Or != nil:
		list, word = w.Or, stepOr
	case w.Not != nil:
		return p.comparableNode(readable, w.Not, at.to(stepNot, -1))
	default:
		return p.comparableColumn(readable, w.Field, at.of(".field"))
	}
	for i := range list {
		if err := p.comparableNode(readable, &list[i], at.to(word, i)); err != nil {
			return err
		}
	}
	return nil
}

func (p Planner) comparableColumn(readable map[string]dynamics.TableColumn, name string, at spot) error {
	logical := name
	if column, friendly := p.columns.entity.column(name); friendly {
		logical = column.Logical
	}
	if column, known := readable[logical]; known && !column.Readable {
		return at.invalid("the connection's user may not read %s (column-level security), so "+
			"that no filter or order can use it; "+
			"leave it out, or let a column security profile give the user its values", name)
	}
	return nil
}

// unknownColumn names the fields that may have been meant.
func (e *Entity) unknownColumn(name, path string, known []string) *messages.Error {
	fault := "there is no such field"
	if len(name) <= 64 && name == messages.Printable(name) {
		fault = fmt.Sprintf("there is no field %q", name)
	}
	if near := messages.Nearest(name, known, 3); len(near) > 0 {
		var meant []string // by the friendly name where there is one
		for _, name := range near {
			if name = cmp.Or(e.names[name], name); !slices.Contains(meant, name) {
				meant = append(meant, name)
			}
		}
		return messages.Invalid(path, "%s; did you mean %s?", fault, strings.Join(meant, " or "))
	}
	return messages.Invalid(path, "%s; use a friendly name such as %s, or a column's logical name", fault, e.example)
}
