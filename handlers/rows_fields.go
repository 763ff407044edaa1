package handlers

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/plan"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// A fieldsPlace is where a listing of fields goes on.
type fieldsPlace struct {
	// Issued is when the cursor was made, in Unix seconds.
	Issued int64 `json:"t"`
	// CustomOnly is the request's.
	CustomOnly bool `json:"c,omitzero"`
	// After is the logical name of the last field delivered: columns that come and
	// go meanwhile move no others.
	After string `json:"a"`
}

// fields answers contacts.fields and its like: the columns that requests may name, as many
// as fit one message.
func (o *rowOperations) fields(ctx context.Context, c route.Call, in messages.FieldsRequest) (messages.FieldsReply,
	error) {
	reply := messages.FieldsReply{Fields: []messages.Field{}}
	session, err := o.open(ctx, c)
	if err != nil {
		return reply, err
	}
	cursors := o.cursorsOf(c, session)
	place, err := fieldsFrom(cursors, in)
	if err != nil {
		return reply, err
	}
	known := o.Catalog.Of(session, o.entity)
	all, err := known.All(ctx, plan.MaxAge)
	if err != nil {
		return reply, err
	}
	wanted := place.wanted(all)
	// All that is to be read is read before anything is written: a request that waits
	// for its turn to read should hold as little as it can.
	for _, name := range wanted {
		if !hasOptions(all[name].Column) {
			continue
		}
		if _, err := known.Options(ctx, all[name].Column, plan.MaxAge); err != nil &&
			dynamics.KindOf(err) != dynamics.TooLarge {
			return reply, err
		}
	}
	left := c.Budget - fieldsRoom
	for _, name := range wanted {
		column := all[name]
		field, size, err := o.fieldOf(ctx, known, column, left, len(reply.Fields) == 0)
		if err != nil {
			return reply, err
		}
		if left -= size; left < 0 {
			if len(reply.Fields) == 0 {
				return reply, messages.Errorf(messages.TooLarge,
					"the field %s has %d bytes, more than the NATS server takes in one message", name, size)
			}
			reply.NextCursor, err = cursors.seal(place)
			return reply, err
		}
		reply.Fields = append(reply.Fields, field)
		place.Issued, place.After = time.Now().Unix(), name
	}
	return reply, nil
}

// wanted are the names of the columns that are still to be listed, in order.
func (p fieldsPlace) wanted(all map[string]dynamics.TableColumn) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		column := all[name]
		if name > p.After && column.Type != dynamics.Unsupported && (column.Custom || !p.CustomOnly) {
			names = append(names, name)
		}
	}
	return names
}

func hasOptions(column dynamics.Column) bool {
	return column.Type == dynamics.Choice || column.Type == dynamics.Choices
}

// fieldsRoom is kept free for what a reply holds besides its fields: the request id,
// which may be twice its 128 characters where they are escaped, the connection, and
// the cursor, which a logical name of 128 characters makes the longest.
const fieldsRoom = 1 << 10

// fieldSize is what a field takes in a reply.
func fieldSize(field messages.Field) int { return jsonSize(&field) + len(",") }

// jsonSize is the length of what holds texts, numbers and lists of them only.
func jsonSize(v any) int {
	text, _ := json.Marshal(v, jsontext.AllowInvalidUTF8(true)) // which cannot fail
	return len(text)
}

// cutOptions leaves as many options of all as make a field of at most room bytes.
func cutOptions(field messages.Field, all, room int) messages.Field {
	options := field.Options
	field.OptionsTruncated, field.OptionsCount, field.Options = true, all, nil
	room -= fieldSize(field) + len(`,"options":[]`)
	for i := range options {
		if room -= jsonSize(&options[i]) + len(","); room < 0 {
			break
		}
		field.Options = options[:i+1]
	}
	return field
}

func fieldsFrom(cursors cursors, in messages.FieldsRequest) (fieldsPlace, error) {
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

// fieldOf describes a column to whoever builds a form. It also says how long that is
// in a reply. Nobody searches by a column that the user may not read. Options that take more than room bytes are left
// out, or where the field is to be in the reply anyway, cut.
func (o *rowOperations) fieldOf(ctx context.Context, known *plan.Columns, column dynamics.TableColumn, room int,
	anyway bool) (out messages.Field, size int, err error) {
	out = messages.Field{Name: o.entity.NameOf(column.Logical), LogicalName: column.Logical,
		Label: cmp.Or(column.Label, column.Logical),
		Type:  column.Type.String(), Custom: column.Custom, Readable: column.Readable, Searchable: column.Searchable &&
			column.Readable}
	if !hasOptions(column.Column) {
		return out, fieldSize(out), nil
	}
	set, err := known.Options(ctx, column.Column, plan.MaxAge)
	switch {
	case dynamics.KindOf(err) == dynamics.TooLarge: // one column's options are no reason to hide the others
		out.OptionsTruncated = true
		return out, fieldSize(out), nil
	case err != nil:
		return out, 0, err
	}
	if out.OptionsTruncated = len(set.Options) < set.Count; out.OptionsTruncated {
		out.OptionsCount = set.Count
	}
	if size = optionsSize(set.Options); size > room && !anyway {
		return out, size, nil
	}
	if err := route.Reserve(ctx, 4*min(size, max(room, 0))); err != nil { // here, and in JSON twice
		return out, 0, err
	}
	for left := room; len(out.Options) < len(set.Options) && left >= 0; {
		option := set.Options[len(out.Options)]
		left -= optionSize(option)
		out.Options = append(out.Options, messages.Choice{Value: int64(option.Value), Label: option.Label})
	}
	if size = fieldSize(out); size > room && anyway {
		out = cutOptions(out, max(set.Count, len(set.Options)), room)
		size = fieldSize(out)
	}
	return out, size, nil
}

// optionsSize is what options take in a reply at least.
func optionsSize(options []dynamics.Option) int {
	size := 0
	for _, option := range options {
		size += optionSize(option)
	}
	return size
}

func optionSize(option dynamics.Option) int {
	return len(`{"value":0,"label":""},`) + len(option.Label)
}
