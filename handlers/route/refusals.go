package route

import (
	"fmt"
	"strings"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/messages"
)

// A refusal is what a code of Dataverse's means that keeps a user out of an
// environment, whatever the user asks for, and what its administrator can do.
type refusal struct{ message, fix string }

// AdminCentre and securityRoles are places of the Power Platform admin centre that advice
// leads to.
const (
	AdminCentre   = "Power Platform admin centre (admin.powerplatform.microsoft.com), the environment, Settings, Users + permissions"
	securityRoles = AdminCentre + ", Security roles"
)

// refusals are Dataverse's codes for users and applications that it does not let
// in at all; see
// https://learn.microsoft.com/power-apps/developer/data-platform/reference/web-service-error-codes.
var refusals = map[string]refusal{
	"0x80072560": {"the connection's user is not a member of the environment",
		"add the user, or for client_credentials create an application user, with a security role: " + AdminCentre},
	"0x80040225": {"the connection's user is disabled in the environment",
		"enable the user, which needs a licence: " + AdminCentre + ", Users"},
	"0x80042f09": {"the connection's user has no security role in the environment",
		"give the user a security role that may read accounts: " + AdminCentre + ", Users, Manage security roles"},
	"0x8004d24b": {"the connection's user has no licence for the environment",
		"assign a licence that covers it in the Microsoft 365 admin centre (admin.microsoft.com), Users, Active users; it counts after some minutes"},
	"0x80095ffc": {"the environment does not let this application in",
		"allow crmbridge's application (client) id where access is restricted: Power Platform admin centre, the environment, Settings, Product, Privacy + Security, and the tenant's app access policies"},
	"0x8004a113": {"the environment is in administration mode, in which only administrators get in",
		"end the mode, or connect as an administrator meanwhile: Power Platform admin centre, the environment, Edit details, Administration mode"},
	"0x8004a104": {"the environment is disabled",
		"enable the environment: Power Platform admin centre, Environments"},
}

// notReached is Dataverse's code for a row beyond what a privilege reaches.
const notReached = "0x80048306"

// forbidden names the privilege that is missing where Dataverse did.
func forbidden(fault *dynamics.Error) Explanation {
	out := Explanation{Code: messages.PermissionDenied, Privilege: fault.Privilege}
	known, keptOut := refusals[strings.ToLower(fault.Code)]
	var need string // in words
	switch {
	case keptOut:
		out.Message = fmt.Sprintf("%s; its administrator can mend that: %s", known.message, known.fix)
		out.Finding, out.Fix, out.Privilege = known.message, known.fix, ""
		return out
	case fault.Op == dynamics.ChangesOp && (fault.Privilege == "" || fault.Privilege == ReadAccount):
		// Change tracking needs more than a search does: the privilege to read accounts
		// over the whole organization. A user who reads those of a business unit is
		// refused in the same words as one who reads none.
		out.Privilege, need = ReadAccount, "is needed at organization level; "
		out.Message = "the connection's user lacks the privilege " + ReadAccount + " at organization level, without which Dataverse does not tell what changed"
		if fault.Privilege == "" { // it may be about something else
			out.Message = fmt.Sprintf("Dataverse refused: %s; to be told what changed, the connection's user needs the privilege %s at organization level", reason(fault), ReadAccount)
		}
	case fault.Privilege == "":
		out.Message = "Dataverse refused: " + reason(fault)
	case strings.EqualFold(fault.Code, notReached):
		need = "does not reach this row; "
		out.Message = fmt.Sprintf("the connection's user may not read this row: the privilege %s does not reach that far, and the row is not shared", fault.Privilege)
	default:
		need = "is missing; "
		out.Message = fmt.Sprintf("the connection's user lacks the privilege %s in Dataverse", fault.Privilege)
	}
	out.Finding = out.Message
	if out.Privilege != "" {
		out.Fix = PrivilegeFix(out.Privilege)
		out.Details = []messages.Detail{{Path: out.Privilege, Message: need + out.Fix}}
	}
	return out
}

// privilegeTables are the tables of privileges in the words of the editor of security
// roles.
var privilegeTables = map[string]string{"prvReadAccount": "Account", "prvReadUser": "User", "prvReadRole": "Security Role",
	"prvReadTeam": "Team", "prvReadEntity": "Entity", "prvReadAttribute": "Attribute (Field)", "prvReadOptionSet": "Option Set"}

// PrivilegeFix says how to give a user a privilege, in the words of the editor of
// security roles.
func PrivilegeFix(privilege string) string {
	table := privilegeTables[privilege]
	if table == "" {
		return fmt.Sprintf("give the user a security role with %s at level Organization: %s", privilege, securityRoles)
	}
	return fmt.Sprintf("give the user a security role with Read on %s (%s) at level Organization: %s", table, privilege, securityRoles)
}

// ReadAccount is the privilege to read accounts.
const ReadAccount = "prvReadAccount"

// RefusedFix is what is left to look at where Entra gives tokens and the environment
// refuses them.
const RefusedFix = "ask again in a minute; if it stays, an administrator looks whether the user is enabled in the environment (" + AdminCentre +
	", Users) and whether the environment's IP firewall or a Conditional Access policy keeps crmbridge out"
