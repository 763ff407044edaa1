package handlers

import (
	"fmt"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/messages"
)

// The places of the Power Platform admin centre that advice leads to.
const (
	adminCentre   = dynamics.AdminCentre
	securityRoles = dynamics.SecurityRoles
)

// forbidden names the privilege that is missing where Dataverse did.
func forbidden(fault *dynamics.Error) *messages.Error {
	known, _ := dynamics.CodeOf(fault.Code)
	if known.KeptOut {
		return messages.Errorf(messages.PermissionDenied, "%s; its administrator can mend that: %s", known.Means, known.Fix)
	}
	if fault.OfChanges() && (fault.Privilege == "" || fault.Privilege == readAccount) {
		return forbiddenChanges(fault)
	}
	switch {
	case fault.Privilege == "":
		return messages.Errorf(messages.PermissionDenied, "Dataverse refused: %s", reason(fault))
	case known.Reach:
		out := messages.Errorf(messages.PermissionDenied, "the connection's user may not read this row: the privilege %s does not reach that far, and the row is not shared", fault.Privilege)
		out.Details = []messages.Detail{{Path: fault.Privilege, Message: "does not reach this row; " + privilegeFix(fault.Privilege)}}
		return out
	}
	out := messages.Errorf(messages.PermissionDenied, "the connection's user lacks the privilege %s in Dataverse", fault.Privilege)
	out.Details = []messages.Detail{{Path: fault.Privilege, Message: "is missing; " + privilegeFix(fault.Privilege)}}
	return out
}

// privilegeFix says how to give a user a privilege, in the words of the editor of
// security roles.
func privilegeFix(privilege string) string {
	table := map[string]string{"prvReadAccount": "Account", "prvReadUser": "User", "prvReadRole": "Security Role",
		"prvReadTeam": "Team", "prvReadEntity": "Entity", "prvReadAttribute": "Attribute (Field)", "prvReadOptionSet": "Option Set"}[privilege]
	if table == "" {
		return fmt.Sprintf("give the user a security role with %s at level Organization: %s", privilege, securityRoles)
	}
	return fmt.Sprintf("give the user a security role with Read on %s (%s) at level Organization: %s", table, privilege, securityRoles)
}

// readAccount is the privilege to read accounts.
const readAccount = "prvReadAccount"

// forbiddenChanges says what change tracking needs beyond a search: the privilege
// to read accounts over the whole organization. A user who reads those of a
// business unit is refused in the same words as one who reads none.
func forbiddenChanges(fault *dynamics.Error) *messages.Error {
	message := "the connection's user lacks the privilege " + readAccount + " at organization level, without which Dataverse does not tell what changed"
	if fault.Privilege == "" { // it may be about something else
		message = fmt.Sprintf("Dataverse refused: %s; to be told what changed, the connection's user needs the privilege %s at organization level", reason(fault), readAccount)
	}
	out := messages.Errorf(messages.PermissionDenied, "%s", message)
	out.Details = []messages.Detail{{Path: readAccount, Message: "is needed at organization level; " + privilegeFix(readAccount)}}
	return out
}
