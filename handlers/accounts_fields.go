package handlers

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/messages"
)

// A fieldsPlace is where accounts.fields goes on.
type fieldsPlace struct {
	// Issued is when the cursor was made, in Unix seconds.
	Issued int64 `json:"t"`
	// CustomOnly is the request's.
	CustomOnly bool `json:"c,omitzero"`
	// After is the logical name of the last field delivered: columns that come and
	// go meanwhile move no others.
	After string `json:"a"`
}

// accountsFields answers accounts.fields: the columns that requests may name, as
// many as fit one message.
func (o *Operations) accountsFields(ctx context.Context, c *call, in messages.AccountsFieldsRequest) (messages.AccountsFieldsReply, error) {
	reply := messages.AccountsFieldsReply{Fields: []messages.Field{}}
	session, err := o.Dynamics.Open(ctx, c.connection)
	if err != nil {
		return reply, err
	}
	cursors := o.cursorsOf(c, session)
	place, err := fieldsFrom(cursors, in)
	if err != nil {
		return reply, err
	}
	known := o.catalog.of(session)
	all, err := known.all(ctx, metadataLife)
	if err != nil {
		return reply, err
	}
	left := c.budget - fieldsRoom
	names := friendlyNames()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		column := all[name]
		if name <= place.After || column.Type == dynamics.Unsupported || place.CustomOnly && !column.Custom {
			continue
		}
		field, size, err := known.field(ctx, column, names, left)
		if err != nil {
			return reply, err
		}
		if left -= size; left < 0 {
			if len(reply.Fields) == 0 {
				return reply, messages.Errorf(messages.TooLarge,
					"the field %s with its options has %d bytes, more than the NATS server takes in one message", name, size)
			}
			reply.NextCursor, err = cursors.seal(place)
			return reply, err
		}
		reply.Fields = append(reply.Fields, field)
		place.Issued, place.After = time.Now().Unix(), name
	}
	return reply, nil
}

// fieldsRoom is kept free for what a reply holds beside its fields: the request id,
// which may be twice its 128 characters where they are escaped, the connection, and
// the cursor, which a logical name of 128 characters makes the longest.
const fieldsRoom = 1 << 10

func fieldSize(field messages.Field) (int, error) {
	text, err := json.Marshal(&field)
	return len(text) + len(","), err
}

func fieldsFrom(cursors cursors, in messages.AccountsFieldsRequest) (fieldsPlace, error) {
	if in.Cursor == "" {
		return fieldsPlace{CustomOnly: in.CustomOnly}, nil
	}
	var place fieldsPlace
	if err := cursors.open(in.Cursor, &place); err != nil {
		return place, err
	}
	switch {
	case time.Since(time.Unix(place.Issued, 0)) > cursorLife:
		return place, messages.Invalid("cursor", "is older than 7 days; start again without it")
	case in.CustomOnly && !place.CustomOnly:
		return place, messages.Invalid("cursor", "belongs to a request without custom_only; send it alone")
	}
	return place, nil
}

// field describes a column to whoever builds a form.
// It also says how long that is in a reply; options that take more than room bytes
// are left out.
func (c *columns) field(ctx context.Context, column dynamics.TableColumn, names map[string]string, room int) (field messages.Field, size int, err error) {
	field = messages.Field{Name: column.Logical, LogicalName: column.Logical, Label: cmp.Or(column.Label, column.Logical),
		Type: column.Type.String(), Custom: column.Custom, Searchable: column.Searchable}
	if name, ok := names[column.Logical]; ok {
		field.Name = name
	}
	if column.Type == dynamics.Choice || column.Type == dynamics.Choices {
		options, err := c.options(ctx, column.Column, metadataLife)
		if err != nil {
			return field, 0, err
		}
		if size = optionsSize(options); size > room {
			return field, size, nil
		}
		if err := writing(ctx, 4*size); err != nil { // here, and in JSON twice
			return field, 0, err
		}
		for _, option := range options {
			field.Options = append(field.Options, messages.Choice{Value: int64(option.Value), Label: option.Label})
		}
	}
	size, err = fieldSize(field)
	return field, size, err
}

// optionsSize is what options take in a reply at least.
func optionsSize(options []dynamics.Option) int {
	size := 0
	for _, option := range options {
		size += len(`{"value":0,"label":""},`) + len(option.Label)
	}
	return size
}

// friendlyNames are the names of friendlyFields by the columns that they stand for.
func friendlyNames() map[string]string {
	names := map[string]string{}
	for name, column := range friendlyFields() {
		names[column.Logical] = name
	}
	return names
}
