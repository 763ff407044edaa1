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

// friendly are the fields that requesters know by a name of their own:
// messages/README.md#fields. Columns of these logical names need no metadata
// either: their types are the same in every environment.
var friendly = map[string]dynamics.Column{
	"id":                {Logical: "accountid", Type: dynamics.UniqueID},
	"owner":             {Logical: "ownerid", Type: dynamics.Lookup},
	"parent":            {Logical: "parentaccountid", Type: dynamics.Lookup},
	"name":              {Logical: "name", Type: dynamics.Text},
	"website":           {Logical: "websiteurl", Type: dynamics.Text},
	"phone":             {Logical: "telephone1", Type: dynamics.Text},
	"email":             {Logical: "emailaddress1", Type: dynamics.Text},
	"city":              {Logical: "address1_city", Type: dynamics.Text},
	"state":             {Logical: "address1_stateorprovince", Type: dynamics.Text},
	"country":           {Logical: "address1_country", Type: dynamics.Text},
	"postal_code":       {Logical: "address1_postalcode", Type: dynamics.Text},
	"classification":    {Logical: "accountclassificationcode", Type: dynamics.Choice},
	"industry":          {Logical: "industrycode", Type: dynamics.Choice},
	"category":          {Logical: "accountcategorycode", Type: dynamics.Choice},
	"relationship":      {Logical: "customertypecode", Type: dynamics.Choice},
	"status":            {Logical: "statecode", Type: dynamics.Choice},
	"status_reason":     {Logical: "statuscode", Type: dynamics.Choice},
	"employees":         {Logical: "numberofemployees", Type: dynamics.Integer},
	"revenue":           {Logical: "revenue", Type: dynamics.Money},
	"created_at":        {Logical: "createdon", Type: dynamics.DateTime},
	"modified_at":       {Logical: "modifiedon", Type: dynamics.DateTime},
	"do_not_email":      {Logical: "donotemail", Type: dynamics.Boolean},
	"do_not_bulk_email": {Logical: "donotbulkemail", Type: dynamics.Boolean},
}

// Friendly is the column of a friendly field.
func Friendly(name string) dynamics.Column { return friendly[name] }

// friendlyNames are the names of friendly fields by the logical names of their columns.
var friendlyNames = func() map[string]string {
	names := make(map[string]string, len(friendly))
	for name, column := range friendly {
		names[column.Logical] = name
	}
	return names
}()

// Name is what requesters call a column: its friendly name, or its logical one.
func Name(logical string) string {
	if name, ok := friendlyNames[logical]; ok {
		return name
	}
	return logical
}

// A Planner turns a request into a query, in the terms of one environment.
type Planner struct{ columns *Columns }

// Search plans an accounts.search.
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
		query.Filter, err = p.Where(ctx, in.Where, "where")
	}
	return query, err
}

// Fields plans what each account of the answer holds.
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
		column, err := p.column(ctx, bare, path)
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
	if column, ok := friendly[name]; ok {
		return column, nil
	}
	for _, column := range friendly {
		if column.Logical == name {
			return column, nil
		}
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
			return dynamics.Column{}, messages.Errorf(messages.NotSupported, "%s: crmbridge knows no values of this column's type", path)
		}
		return dynamics.Column{Logical: name, Type: info.Type}, nil
	}
	known := slices.AppendSeq(slices.Collect(maps.Keys(friendly)), maps.Keys(all))
	slices.Sort(known)
	return dynamics.Column{}, unknownColumn(name, path, slices.Compact(known))
}

// unknownColumn names the fields that may have been meant.
func unknownColumn(name, path string, known []string) *messages.Error {
	fault := "there is no such field"
	if len(name) <= 64 && name == messages.Printable(name) {
		fault = fmt.Sprintf("there is no field %q", name)
	}
	if near := messages.Nearest(name, known, 3); len(near) > 0 {
		return messages.Invalid(path, "%s; did you mean %s?", fault, strings.Join(near, " or "))
	}
	return messages.Invalid(path, "%s; use a friendly name such as name, city, industry, or a column's logical name", fault)
}
