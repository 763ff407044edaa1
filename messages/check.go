package messages

import (
	"fmt"
	"slices"
	"strings"
)

// Names of the checks of connections.check that do not belong to a table, in
// their order. Those of a table are [Table.ReadCheck] and [Table.ChangesCheck].
const (
	CheckToken           = "token"
	CheckWhoAmI          = "whoami"
	CheckSystemUsersRead = "systemusers.read"
	CheckRolesRead       = "roles.read"
	CheckTeamsRead       = "teams.read"
	CheckMetadataRead    = "metadata.read"
)

// Checks lists the names of all checks of a connection with these tables, in the
// order in which they are answered: with one table as they were before there were
// others, and those of further tables at the end.
func Checks(tables []Table) []string {
	names := []string{CheckToken, CheckWhoAmI, CheckSystemUsersRead, CheckRolesRead, CheckTeamsRead}
	if len(tables) == 0 {
		return append(names, CheckMetadataRead)
	}
	names = append(names, tables[0].ReadCheck(), CheckMetadataRead, tables[0].ChangesCheck())
	for _, table := range tables[1:] {
		names = append(names, table.ReadCheck(), table.ChangesCheck())
	}
	return names
}

// Depths at which a role lets a user read a table, from all rows to the user's
// own. https://learn.microsoft.com/power-platform/admin/security-roles-privileges
// calls them organization, parent: child business units, business unit, and user.
const (
	DepthOrganization = "organization"
	DepthDeep         = "deep"
	DepthLocal        = "local"
	DepthBasic        = "basic"
)

// CheckRequest asks to try each permission that crmbridge needs for the tables.
type CheckRequest struct {
	Target
	// Tables are names of tables that the deployment serves; by default those that
	// the connection was made for are checked.
	Tables []string `json:"tables,omitempty" jsonschema:"tables to check; default those that the connection was made for"`
}

// Chosen finds the tables that the request names among those that the deployment
// serves, each once and in their order; nil where the request names none.
func (r CheckRequest) Chosen(served []Table) ([]Table, *Error) {
	if r.Tables == nil {
		return nil, nil
	}
	if len(r.Tables) == 0 {
		return nil, Invalid("tables", "the list is empty; leave it out to check the tables of the connection")
	}
	names := TableNames(served)
	for i, name := range r.Tables {
		if !slices.Contains(names, name) {
			meant := "the tables are " + strings.Join(names, ", ")
			if near := Nearest(name, names, 1); len(near) > 0 {
				meant = "did you mean " + near[0] + "?"
			}
			return nil, Invalid(fmt.Sprintf("tables[%d]", i), "there is no table %q here; %s", Printable(name), meant)
		}
	}
	return slices.DeleteFunc(slices.Clone(served), func(t Table) bool { return !slices.Contains(r.Tables, t.Name) }),
		nil
}

// ChecksReply is what connections.check found, one entry for each permission.
type ChecksReply struct {
	Head
	Checks []PermissionCheck `json:"checks"`
}

// PermissionCheck is one permission, tried for real.
type PermissionCheck struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitzero"`
	// Depth is how far the user reads the table: see [DepthOrganization]. Rows beyond
	// it are in no answer. It is absent where it is not known.
	Depth string `json:"depth,omitzero" jsonschema:"organization, deep, local or basic: which rows of the table the user reads"`
	// MissingPrivilege is named as Dataverse names it: prvReadAccount.
	MissingPrivilege string `json:"missing_privilege,omitzero"`
	HowToFix         string `json:"how_to_fix,omitzero"`
}
