package route

import (
	"fmt"
	"strings"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/messages"
)

// AdminCentre and securityRoles are places of the Power Platform admin centre that advice
// leads to.
const (
	AdminCentre   = dynamics.AdminCentre
	securityRoles = dynamics.SecurityRoles
)

// forbidden names the privilege that is missing where Dataverse did.
func forbidden(fault *dynamics.Error) Explanation {
	out := Explanation{Code: messages.PermissionDenied, Privilege: fault.Privilege}
	known, _ := dynamics.CodeOf(fault.Code)
	var need string // in words
	switch {
	case known.KeptOut:
		out.Message = fmt.Sprintf("%s; its administrator can mend that: %s", known.Means, known.Fix)
		out.Finding, out.Fix, out.Privilege = known.Means, known.Fix, ""
		return out
	case fault.OfChanges() && (fault.Privilege == "" || fault.Privilege == fault.Table.Privilege):
		// Change tracking needs more than a search does: the privilege to read the table
		// over the whole organization. A user who reads the rows of a business unit is
		// refused in the same words as one who reads none.
		out.Privilege, need = fault.Table.Privilege, "is needed at organization level; "
		out.Message = "the connection's user lacks the privilege " + out.Privilege +
			" at organization level, without which Dataverse does not tell what changed"
		if fault.Privilege == "" { // it may be about something else
			out.Message = fmt.Sprintf("Dataverse refused: %s; to be told what changed, the connection's user needs "+
				"the privilege %s at organization level", reason(fault), out.Privilege)
		}
	case fault.Privilege == "":
		out.Message = "Dataverse refused: " + reason(fault)
	case known.Reach:
		need = "does not reach this row; "
		out.Message = fmt.Sprintf("the connection's user may not read this row: the privilege %s does not reach "+
			"that far, and the row is not shared", fault.Privilege)
	default:
		need = "is missing; "
		out.Message = fmt.Sprintf("the connection's user lacks the privilege %s in Dataverse", fault.Privilege)
	}
	out.Finding = out.Message
	if out.Privilege != "" {
		out.Fix = PrivilegeFix(out.Privilege, fault.Table)
		out.Details = []messages.Detail{{Path: out.Privilege, Message: need + out.Fix}}
	}
	return out
}

// systemTables are the tables of privileges that crmbridge needs for itself, in the words
// of the editor of security roles.
var systemTables = map[string]string{"prvReadUser": "User", "prvReadRole": "Security Role", "prvReadTeam": "Team",
	"prvReadEntity": "Entity", "prvReadAttribute": "Attribute (Field)", "prvReadOptionSet": "Option Set"}

// privilegeTable is the table of a privilege in the words of the editor of security roles,
// "" where it is none to read a table. A privilege of another table than the one that was
// asked about, a related one, goes by the schema name in its own name.
func privilegeTable(privilege string, about dynamics.Table) string {
	if strings.EqualFold(privilege, about.Privilege) && about.Display != "" {
		return about.Display
	}
	if table := systemTables[privilege]; table != "" {
		return table
	}
	schema, reads := strings.CutPrefix(privilege, "prvRead")
	if !reads {
		return ""
	}
	return schema
}

// PrivilegeFix says how to give a user a privilege, in the words of the editor of
// security roles. about is the table that was asked about, zero where it was none.
func PrivilegeFix(privilege string, about dynamics.Table) string {
	table := privilegeTable(privilege, about)
	if table == "" {
		return fmt.Sprintf("give the user a security role with %s at level Organization: %s", privilege, securityRoles)
	}
	return fmt.Sprintf("give the user a security role with Read on %s (%s) at level Organization: %s", table,
		privilege, securityRoles)
}

// RefusedFix is what is left to look at where Entra gives tokens and the environment
// refuses them.
const RefusedFix = "ask again in a minute; if it stays, an administrator looks whether the user is enabled " +
	"in the environment (" + AdminCentre +
	", Users) and whether the environment's IP firewall or a Conditional Access policy keeps crmbridge out"
