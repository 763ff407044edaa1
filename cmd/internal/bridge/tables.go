package bridge

import (
	"strings"

	"github.com/crmbridge/crmbridge/messages"
)

// tables reads TABLES: the tables that this deployment serves, in the order in which
// the connect page shows them.
func (r *reader) tables(text string) []messages.Table {
	var serves []messages.Table
	named := map[string]bool{}
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		table, known := knownTable(messages.Tables(), name)
		switch {
		case name == "":
			r.fault("TABLES", "has an empty entry; it is a list of tables, comma-separated, out of %s",
				tableList(messages.Tables()))
			return nil
		case !known:
			r.fault("TABLES", "%q is no table; those that there are: %s", name, tableList(messages.Tables()))
			return nil
		case named[name]:
			r.fault("TABLES", "names %s twice", name)
			return nil
		}
		named[name] = true
		serves = append(serves, table)
	}
	return serves
}

func knownTable(tables []messages.Table, name string) (messages.Table, bool) {
	for _, table := range tables {
		if table.Name == name {
			return table, true
		}
	}
	return messages.Table{}, false
}

func tableList(tables []messages.Table) string {
	return strings.Join(messages.TableNames(tables), ", ")
}

// AllTables is the value of TABLES that serves every table.
func AllTables() string { return strings.Join(messages.TableNames(messages.Tables()), ",") }

// describe says what is read of a table that this process knows: it serves it, or
// another process of the fleet may, whose connect links come here too.
func describe(serves []messages.Table) func(name string) string {
	return func(name string) string {
		table, known := knownTable(serves, name)
		if !known {
			table, _ = knownTable(messages.Tables(), name)
		}
		return table.Consent
	}
}
