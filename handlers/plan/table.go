package plan

import (
	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/messages"
)

// TableOf is what the Dataverse client needs of a table.
func TableOf(t messages.Table) dynamics.Table {
	return dynamics.Table{Name: t.Name, Set: t.Set, Logical: t.Logical, Key: t.Key, Display: t.Display,
		Privilege: t.ReadPrivilege, Product: t.Product}
}
