package handlers

import (
	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/messages"
)

// tableOf is what the Dataverse client needs of a table.
func tableOf(t messages.Table) dynamics.Table {
	return dynamics.Table{Name: t.Name, Set: t.Set, Logical: t.Logical, Key: t.Key, Privilege: t.ReadPrivilege, Product: t.Product}
}

// accountsTable is the table of the operations accounts.*.
var accountsTable = tableOf(messages.Accounts)
