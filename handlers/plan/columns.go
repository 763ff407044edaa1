package plan

import (
	"context"
	"errors"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/budget"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// Columns are the columns of a table in a session's environment, in the language of its
// user.
type Columns struct {
	session *dynamics.Session
	entity  *Entity
	catalog *Catalog
	entry   *entry
	reading *budget.Account // of the kind that is being read
	own     int64           // bytes of what was read for this request alone

	// What this request has read: a kind may be too large to be kept for others.
	seen [kinds]result

	// Of the filter that is planned: most have room here.
	values  [8]string
	filters [8]dynamics.Filter
	// How many are used of each.
	valued, filtered int
}

// valuesFor is room for the values of a leaf.
func (c *Columns) valuesFor(n int) []string {
	if c.valued += n; c.valued > len(c.values) {
		return make([]string, n)
	}
	return c.values[c.valued-n : c.valued : c.valued]
}

// filtersFor is room for the members of and or or.
func (c *Columns) filtersFor(n int) []dynamics.Filter {
	if c.filtered += n; c.filtered > len(c.filters) {
		return make([]dynamics.Filter, n)
	}
	return c.filters[c.filtered-n : c.filtered : c.filtered]
}

// kinds is how many kinds of metadata there are: columns, and four of options.
const kinds = 5

// A result is a kind that was read for a request, "" for none.
type result struct {
	kind string
	d    *metadataSet
	err  error
}

// All returns every readable column by logical name, no older than maxAge.
func (c *Columns) All(ctx context.Context, maxAge time.Duration) (map[string]dynamics.TableColumn, error) {
	d, err := c.kind(ctx, kindColumns, maxAge)
	if err != nil {
		return nil, err
	}
	return d.Columns, nil
}

// readable are the columns, of which column-level security may keep some from the session's
// user. They may be as old as any column, so that they cost a reading in 15 minutes at
// most. An environment that does not say which columns it has does not say either which
// of them it hides: nil means that none is. What passes by itself is an error, since rows
// that are found by a hidden column are wrong rows.
func (c *Columns) readable(ctx context.Context) (map[string]dynamics.TableColumn, error) {
	set, unknowable := c.entry.columns()
	if set == nil {
		if unknowable {
			return nil, nil
		}
		var err error
		if set, err = c.kind(ctx, kindColumns, MaxAge); stays(err) {
			c.entry.setUnknowable()
			return nil, nil
		} else if err != nil {
			return nil, err
		}
	} else {
		c.catalog.looked(true)
	}
	if !set.hides {
		return nil, nil
	}
	return set.Columns, nil
}

// stays reports an error about metadata that another try will not change.
func stays(err error) bool {
	if fault, ok := errors.AsType[*dynamics.Error](err); ok && fault.MayPass() {
		return false
	}
	switch dynamics.KindOf(err) {
	case dynamics.Upstream, dynamics.NotFound, dynamics.Forbidden, dynamics.Invalid, dynamics.UnknownColumn,
		dynamics.TooLarge:
		return !errors.Is(err, dynamics.ErrConnectionChanged)
	}
	return false
}

// Options returns the options of a choice column in the environment's order, no older than
// maxAge.
func (c *Columns) Options(ctx context.Context, column dynamics.Column,
	maxAge time.Duration) (dynamics.OptionSet, error) {
	d, err := c.kind(ctx, string(kindOf(column)), maxAge)
	if err != nil {
		return dynamics.OptionSet{}, err
	}
	return d.set(column.Logical), nil
}

// labelsOf returns the options of a choice column, value to label, no older than maxAge;
// cut says that there are more. The map must not be changed.
func (c *Columns) labelsOf(ctx context.Context, column dynamics.Column,
	maxAge time.Duration) (labels map[int]string, cut bool, err error) {
	kind := string(kindOf(column))
	d, err := c.kind(ctx, kind, maxAge)
	if err != nil {
		return nil, false, err
	}
	options := d.Options[column.Logical]
	cut = len(options) < d.Counts[column.Logical]
	if labels = d.labels.of(column.Logical); labels != nil {
		return labels, cut, nil
	}
	size := labelRoom * int64(len(options))
	if err := route.Reserve(ctx, int(size)); err != nil {
		return nil, false, err
	}
	labels = make(map[int]string, len(options))
	for _, option := range options {
		labels[option.Value] = option.Label
	}
	if d.labels.keep(column.Logical, labels) && c.entry.count(kind, d, size) {
		c.catalog.account(c.entry, size)
	}
	return labels, cut, nil
}

// withoutMetadata reports whether the environment serves no metadata at all,
// which Dataverse always does and a simulation of it may not: a 404 without a code
// of Dataverse's. Then the choice columns have the options that Microsoft ships.
func withoutMetadata(err error) bool {
	fault, ok := errors.AsType[*dynamics.Error](err)
	return ok && fault.Kind == dynamics.NotFound && fault.Code == ""
}

// kindOf is the attribute type under which metadata lists a choice column.
func kindOf(column dynamics.Column) dynamics.ColumnKind {
	switch {
	case column.Type == dynamics.Choices:
		return dynamics.MultiSelect
	case column.Logical == "statecode":
		return dynamics.State
	case column.Logical == "statuscode":
		return dynamics.Status
	default:
		return dynamics.Picklist
	}
}

// choices are the options with the given values, in their order.
func choices(labels map[int]string, values []int) []messages.Choice {
	out := make([]messages.Choice, len(values))
	for i, value := range values {
		out[i] = messages.Choice{Value: int64(value), Label: labels[value]}
	}
	return out
}
