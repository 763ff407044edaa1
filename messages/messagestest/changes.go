package messagestest

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/crmbridge/crmbridge/messages"
)

func lower(text string) string { return strings.ToLower(text) }

// changes answers what changed since a cursor was given out: one page, and as a job all of them.
func (c *call) changes(t messages.Table, in messages.ChangesRequest, send sender) *messages.Error {
	fault := first(checkPageSize(in.PageSize, messages.MaxPageSize), checkFields(in.Fields))
	var at place
	var fields selection
	if fault == nil {
		fault = c.with(t.Name, func(conn *Connection, t *table) (fault *messages.Error) {
			if at, fault = c.changesFrom(conn, t, in); fault == nil {
				fields, fault = t.selected(at.Fields)
			}
			return fault
		})
	}
	if fault != nil {
		return fault
	}
	for {
		if fault = c.try(); fault != nil {
			return fault
		}
		var p part
		fault = c.with(t.Name, func(conn *Connection, t *table) (fault *messages.Error) {
			p, at, fault = c.changed(conn, t, at, fields)
			return fault
		})
		if fault != nil {
			return fault
		}
		if fault = send(p, false); fault != nil || p.last {
			return fault
		}
	}
}

// changesFrom is the place where changes begin.
func (c *call) changesFrom(conn *Connection, t *table, in messages.ChangesRequest) (at place, fault *messages.Error) {
	standard := messages.DefaultChangesPageSize
	if c.job != nil {
		if standard = messages.MaxPageSize; c.job.at != nil {
			return *c.job.at, nil
		}
	}
	if in.Cursor == "" {
		at.Fields, at.Base = in.Fields, t.version
		if len(in.Fields) == 0 {
			at.Fields = t.DefaultFields
		}
		at.Size = cmp.Or(int(in.PageSize), standard)
		return at, nil
	}
	if at, fault = c.open(conn, in.Cursor); fault != nil {
		return at, fault
	}
	if len(in.Fields) > 0 && !slices.Equal(in.Fields, at.Fields) {
		return at, messages.Invalid("cursor", "belongs to other fields; send it alone, or with the fields unchanged")
	}
	at.Size = cmp.Or(int(in.PageSize), at.Size)
	if c.job != nil {
		at.Size = cmp.Or(int(in.PageSize), standard)
	}
	return at, nil
}

// A change is a row that was made or changed, or the id of one that is gone.
type change struct {
	version int64
	row     *row // nil where it is gone
	id      string
}

// changed is the page of changes after a place, and the place after it.
func (c *call) changed(conn *Connection, t *table, at place, fields selection) (part, place, *messages.Error) {
	var all []change
	for _, r := range t.rows {
		if r.version > at.Version {
			all = append(all, change{r.version, r, r.id})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(t.deleted)) {
		if version := t.deleted[id]; version > max(at.Version, at.Base) {
			all = append(all, change{version, nil, id})
		}
	}
	slices.SortFunc(all, func(a, b change) int { return cmp.Compare(a.version, b.version) })
	for n := min(len(all), at.Size); ; n /= 2 {
		body := changesPage{Rows: []jsontext.Value{}, Deleted: []string{}, HasMore: n < len(all)}
		after := at
		for _, one := range all[:n] {
			after.Version = one.version
			if one.row == nil {
				body.Deleted = append(body.Deleted, one.id)
			} else {
				body.Rows = append(body.Rows, fields.of(t, one.row))
			}
		}
		p := part{rows: len(body.Rows), last: c.job == nil || !body.HasMore}
		if p.last {
			body.NextCursor = c.seal(conn, after)
		} else {
			p.place = &after
		}
		body.SetHead(c.requestID, c.connection)
		text, err := messages.CodecFor[changesPage](t.Table).Encode(&body)
		if err != nil {
			return p, at, messages.Errorf(messages.Internal, "encode the reply: %v", err)
		}
		if len(text) <= c.budget {
			p.body = text
			return p, after, nil
		}
		if n <= 1 {
			return p, at, messages.Errorf(messages.TooLarge, "one change has %d bytes and the NATS server takes %d in one "+
				"message; start again without a cursor and with fewer fields", len(text), c.budget)
		}
	}
}

// changesPage is messages.ChangesReply with rows that keep the order of their fields. Of the
// results of a job only the last has a cursor, and "" stands in the others.
type changesPage struct {
	messages.Head
	Rows       []jsontext.Value `json:"rows" table:"rows"`
	Deleted    []string         `json:"deleted"`
	NextCursor string           `json:"next_cursor"`
	HasMore    bool             `json:"has_more"`
}

// fields answers which columns the table has.
func (c *call) fields(t messages.Table, in messages.FieldsRequest) (out messages.FieldsReply, fault *messages.Error) {
	var at place
	fault = c.with(t.Name, func(conn *Connection, _ *table) (fault *messages.Error) {
		at.CustomOnly = in.CustomOnly
		if in.Cursor == "" {
			return nil
		}
		if at, fault = c.open(conn, in.Cursor); fault != nil {
			return fault
		}
		switch {
		case time.Since(at.Issued) > cursorLife:
			return messages.Invalid("cursor", "is older than 7 days; start again without it")
		case in.CustomOnly && !at.CustomOnly:
			return messages.Invalid("cursor", "belongs to a request without custom_only; send it alone")
		}
		return nil
	})
	if fault = first(fault, c.tried(fault)); fault != nil {
		return out, fault
	}
	const room = 1 << 10
	out.Fields = []messages.Field{}
	return out, c.with(t.Name, func(conn *Connection, t *table) *messages.Error {
		left := c.budget - room
		for _, logical := range slices.Sorted(maps.Keys(t.columns)) {
			column := t.columns[logical]
			if logical <= at.After || at.CustomOnly && !column.Custom {
				continue
			}
			if left -= len(wire(column.Field)) + 1; left < 0 && len(out.Fields) > 0 {
				out.NextCursor = c.seal(conn, at)
				return nil
			}
			out.Fields = append(out.Fields, column.Field)
			at.After = logical
		}
		return nil
	})
}
