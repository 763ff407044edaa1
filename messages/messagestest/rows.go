package messagestest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/crmbridge/crmbridge/messages"
)

// A Setup is a part of what a connection reaches: [Rows], [Columns], [Users] or [Tables].
type Setup interface{ of(s *setup) }

type setup struct {
	rows    Rows
	columns Columns
	users   Users
	tables  Tables
}

// Rows are rows by table: accounts, contacts, leads, opportunities.
type Rows map[string][]Row

func (r Rows) of(s *setup) { s.rows = r }

// Row is a row: the values of its fields by their friendly or logical names. A field that it does
// not name has no value; the id is made, and where the table has the fields, created_at and
// modified_at are now, status and status_reason are their first options and yes/no is false.
//
// A value is what encoding/json makes the field's JSON from: a text; a number, or a json.Number
// for every digit; true or false; a time.Time or its text; a GUID as a text. A choice is its label,
// its integer or a [messages.Choice], several choices are a slice of these, and a lookup is a
// [messages.Lookup]. nil and "" are no value. Values of a [messages.Row], as a reply has them, do too.
type Row map[string]any

// Columns are the columns that an environment has beside those with friendly names, by table.
type Columns map[string][]Column

func (c Columns) of(s *setup) { s.columns = c }

// A Column is a custom column, or another option set for a choice column that the table has.
type Column struct {
	Name  string // logical name: cb_tier
	Label string // by default the name
	Type  string // one of messages.FieldTypes; of a column that the table has, it may be left out
	// Options are those of a choice.
	Options []messages.Choice
	// Standard columns are Microsoft's: custom_only leaves them out. Unsearchable ones are not
	// offered for filters.
	Standard, Unsearchable bool
	// Hidden columns are those that the connection's user may not read: null in every row, and no
	// filter or order takes them.
	Hidden bool
}

// Users are those that users.get finds.
type Users []messages.User

func (u Users) of(s *setup) { s.users = u }

// Tables are the names of the tables that the person who connected was told of; by default all.
// An operation on another one is consent_required.
type Tables []string

func (t Tables) of(s *setup) { s.tables = t }

// A table is one table in one connection.
type table struct {
	messages.Table
	columns map[string]*column // by logical name
	names   map[string]*column // by friendly and by logical name
	rows    map[string]*row    // by id
	deleted map[string]int64   // ids of rows that are gone, with the version at which they went
	version int64              // grows with every change of a row
}

type column struct {
	messages.Field
}

type row struct {
	id      string
	cells   map[string]cell // by logical name; those without a value are missing
	version int64
}

func newTable(described messages.Table, more []Column) (*table, error) {
	t := &table{Table: described, columns: map[string]*column{}, names: map[string]*column{},
		rows: map[string]*row{}, deleted: map[string]int64{}}
	for _, field := range described.Fields {
		c := &column{messages.Field{Name: field.Name, LogicalName: field.Logical, Label: field.Logical,
			Type: field.Type, Readable: true, Searchable: true,
			Options: slices.Clone(described.Options[field.Logical])}}
		t.columns[field.Logical], t.names[field.Logical] = c, c
	}
	for _, field := range described.Fields {
		t.names[field.Name] = t.columns[field.Logical] // a friendly name goes before another's logical one
	}
	for _, custom := range more {
		c := t.columns[custom.Name]
		switch {
		case c != nil && custom.Type != "" && custom.Type != c.Type:
			return nil, fmt.Errorf("column %s is of type %q, and not %q", custom.Name, c.Type, custom.Type)
		case c == nil && !slices.Contains(messages.FieldTypes(), custom.Type):
			return nil, fmt.Errorf("column %s: there is no type %q; see messages.FieldTypes", custom.Name, custom.Type)
		case c == nil && t.names[custom.Name] != nil:
			return nil, fmt.Errorf("column %s has the friendly name of another", custom.Name)
		case custom.Name == "":
			return nil, fmt.Errorf("a column has no name")
		case c == nil:
			c = &column{messages.Field{Name: custom.Name, LogicalName: custom.Name, Type: custom.Type, Custom: !custom.Standard}}
			t.columns[custom.Name], t.names[custom.Name] = c, c
		}
		c.Label = cmp.Or(custom.Label, c.Label, custom.Name)
		c.Readable, c.Searchable = !custom.Hidden, !custom.Hidden && !custom.Unsearchable
		if custom.Options != nil {
			c.Options = slices.Clone(custom.Options)
		}
	}
	return t, nil
}

// now are the values of columns that every row of Dataverse has.
func (t *table) defaults(now string) Row {
	values := Row{}
	for logical, c := range t.columns {
		switch {
		case logical == "createdon" || logical == "modifiedon":
			values[logical] = now
		case (logical == "statecode" || logical == "statuscode") && len(c.Options) > 0:
			values[logical] = c.Options[0].Value
		case c.Type == messages.FieldYesNo && !c.Custom:
			values[logical] = false
		}
	}
	return values
}

// put makes or changes a row and returns its id.
func (t *table) put(given Row, now string) (string, error) {
	values, id := Row{}, ""
	for _, name := range slices.Sorted(maps.Keys(given)) {
		c := t.names[name]
		if c == nil {
			return "", fmt.Errorf("%s have no field %q; name a column of the environment in messagestest.Columns",
				t.Name, name)
		}
		if _, twice := values[c.LogicalName]; twice {
			return "", fmt.Errorf("field %q is given twice, by both of its names", name)
		}
		values[c.LogicalName] = given[name]
	}
	key, err := t.columns[t.Key].cell(values[t.Key])
	if err != nil {
		return "", fmt.Errorf("the id: %w", err)
	}
	if id = key.id; key.null() {
		made, err := uuid.NewV7()
		if err != nil {
			return "", err
		}
		id = made.String()
	}
	values[t.Key] = id
	next := &row{id: id, cells: map[string]cell{}}
	if old := t.rows[id]; old != nil {
		next.cells = maps.Clone(old.cells)
		if _, said := values["modifiedon"]; !said && t.columns["modifiedon"] != nil {
			values["modifiedon"] = now
		}
	} else {
		for logical, value := range t.defaults(now) {
			if _, said := values[logical]; !said {
				values[logical] = value
			}
		}
	}
	for logical, value := range values {
		made, err := t.columns[logical].cell(value)
		if err != nil {
			return "", fmt.Errorf("field %q of %s: %w", t.columns[logical].Name, t.Name, err)
		}
		if made.null() {
			delete(next.cells, logical)
		} else {
			next.cells[logical] = made
		}
	}
	t.version++
	next.version = t.version
	t.rows[id] = next
	delete(t.deleted, id)
	return id, nil
}

func (t *table) remove(id string) bool {
	id = strings.ToLower(id)
	if t.rows[id] == nil {
		return false
	}
	delete(t.rows, id)
	t.version++
	t.deleted[id] = t.version
	return true
}

// value is a cell as it is on the wire.
func (t *table) value(r *row, c *column) cell {
	if !c.Readable {
		return cell{}
	}
	return r.cells[c.LogicalName]
}
