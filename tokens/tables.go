package tokens

import (
	"errors"
	"fmt"
	"slices"
)

// A person agrees to what the connect page showed, and to nothing else. So the tables
// of the deployment are written into the ticket when a link is made; the page shows
// those of the ticket, whichever process serves it; the state takes them over from the
// ticket, and the grant from the state. Nothing else sets them: a refresh, a renewal,
// new names and a new seal copy the record as it is.

// tablesBefore are the tables of everything that was stored before tables were
// recorded: there was no other one to agree to.
var tablesBefore = []string{"accounts"}

// recorded are the tables that a ticket, a state or a grant holds.
func recorded(tables []string) []string {
	if len(tables) == 0 {
		return tablesBefore
	}
	return tables
}

// checkTables takes the tables that a deployment serves.
func checkTables(tables []string) ([]string, error) {
	for i, table := range tables {
		switch {
		case table == "":
			return nil, errors.New("TABLES has an entry without a name")
		case slices.Contains(tables[:i], table):
			return nil, fmt.Errorf("TABLES names %s twice", table)
		}
	}
	return slices.Clone(recorded(tables)), nil
}

// newTables are those of the ticket that nobody has agreed to yet for this connection.
// They are none where nobody has connected it before, and where the application
// connected it itself: then everything on the page is new.
func (t ticket) newTables(r record) []string {
	if r.Incarnation != t.Incarnation || r.Status == StatusPending || r.Grant != GrantAuthorizationCode {
		return nil
	}
	var added []string
	for _, table := range recorded(t.Tables) {
		if !slices.Contains(r.Tables, table) {
			added = append(added, table)
		}
	}
	return added
}

// A reading is one thing that may be read, as the pages show it.
type reading struct {
	Text string
	New  bool // nobody has agreed to it yet for this connection
}

// readings are the tables, and then what is read whatever the tables are.
func (a *Authorizer) readings(tables, added []string) []reading {
	var list []reading
	for _, table := range tables {
		text := a.describe(table)
		if text == "" {
			text = table // of a process that serves more tables than this one knows
		}
		list = append(list, reading{text, slices.Contains(added, table)})
	}
	for _, text := range a.reads {
		list = append(list, reading{Text: text})
	}
	return list
}
