package handlers

import (
	"fmt"
	"strings"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/messages"
)

// A refusal is what a code of Dataverse's means that keeps a user out of an
// environment, whatever the user asks for, and what its administrator can do.
type refusal struct{ message, fix string }

// The places of the Power Platform admin centre that advice leads to.
const (
	adminCentre   = "Power Platform admin centre (admin.powerplatform.microsoft.com), the environment, Settings, Users + permissions"
	securityRoles = adminCentre + ", Security roles"
)

// refusals are Dataverse's codes for users and applications that it does not let
// in at all; see
// https://learn.microsoft.com/power-apps/developer/data-platform/reference/web-service-error-codes.
func refusals() map[string]refusal {
	return map[string]refusal{
		"0x80072560": {"the connection's user is not a member of the environment",
			"add the user, or for client_credentials create an application user, with a security role: " + adminCentre},
		"0x80040225": {"the connection's user is disabled in the environment",
			"enable the user, which needs a licence: " + adminCentre + ", Users"},
		"0x80042f09": {"the connection's user has no security role in the environment",
			"give the user a security role that may read accounts: " + adminCentre + ", Users, Manage security roles"},
		"0x8004d24b": {"the connection's user has no licence for the environment",
			"assign a licence that covers it in the Microsoft 365 admin centre (admin.microsoft.com), Users, Active users; it counts after some minutes"},
		"0x80095ffc": {"the environment does not let this application in",
			"allow crmbridge's application (client) id where access is restricted: Power Platform admin centre, the environment, Settings, Product, Privacy + Security, and the tenant's app access policies"},
		"0x8004a113": {"the environment is in administration mode, in which only administrators get in",
			"end the mode, or connect as an administrator meanwhile: Power Platform admin centre, the environment, Edit details, Administration mode"},
		"0x8004a104": {"the environment is disabled",
			"enable the environment: Power Platform admin centre, Environments"},
	}
}

// notReached is Dataverse's code for a row beyond what a privilege reaches.
const notReached = "0x80048306"

// forbidden names the privilege that is missing where Dataverse did.
func forbidden(fault *dynamics.Error) *messages.Error {
	if known, ok := refusals()[strings.ToLower(fault.Code)]; ok {
		return messages.Errorf(messages.PermissionDenied, "%s; its administrator can mend that: %s", known.message, known.fix)
	}
	if fault.OfChanges() && (fault.Privilege == "" || fault.Privilege == readAccount) {
		return forbiddenChanges(fault)
	}
	switch {
	case fault.Privilege == "":
		return messages.Errorf(messages.PermissionDenied, "Dataverse refused: %s", reason(fault))
	case strings.EqualFold(fault.Code, notReached):
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
