package handlers

import (
	"errors"
	"fmt"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/plan"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// report puts the findings together, and what they mean for each other.
func report(tables []messages.Table, all []check, found []result) messages.ChecksReply {
	reply := messages.ChecksReply{Checks: []messages.PermissionCheck{{Name: messages.CheckToken, OK: true}}}
	depths := map[string]dynamics.Depth{}
	for i, one := range all {
		depths[one.name] = found[i].depth
		reply.Checks = append(reply.Checks, finding(one.name, found[i].err))
		// Dataverse refused the token, and this is why there is no other.
		if _, ok := errors.AsType[*tokens.Error](found[i].err); ok && reply.Checks[0].OK {
			reply.Checks[0] = finding(messages.CheckToken, found[i].err)
		}
	}
	byName := map[string]*messages.PermissionCheck{}
	for i := range reply.Checks {
		byName[reply.Checks[i].Name] = &reply.Checks[i]
	}
	for _, table := range tables {
		partial(table, byName[table.ReadCheck()], byName[table.ChangesCheck()], depths[table.ReadCheck()])
	}
	return reply
}

// levels are the depths in the words of the editor of security roles.
var levels = map[dynamics.Depth]string{dynamics.DepthBasic: "User", dynamics.DepthLocal: "Business Unit",
	dynamics.DepthDeep: "Parent: Child Business Unit"}

// partial says how far the user reads a table, and where answers lack rows for it. Where
// the depth is not known, only change tracking says whether a user reads all rows.
func partial(table messages.Table, rows, changes *messages.PermissionCheck, depth dynamics.Depth) {
	const silent = ", and Dataverse leaves out without a word what the user may not see"
	missing := "some " + table.Name + " may be missing from answers: " + table.ReadPrivilege +
		" is not at level Organization "
	if !rows.OK {
		return
	}
	level, cut := levels[depth]
	switch {
	case depth == dynamics.DepthOrganization:
		rows.Depth = depth.String()
		return
	case cut:
		rows.Depth = depth.String()
		rows.Detail = missing + "but at " + level + silent
	case changes.OK:
		return
	case changes.MissingPrivilege == table.ReadPrivilege:
		rows.Detail = missing + "(see " + changes.Name + ")" + silent
	default:
		rows.Detail = "whether the user may see all " + table.Name + " could not be found out (see " + changes.Name +
			")"
		return
	}
	rows.HowToFix = route.PrivilegeFix(table.ReadPrivilege, plan.TableOf(table))
}

// finding is what became of one check, and what can be done about it.
func finding(name string, err error) messages.PermissionCheck {
	if err == nil {
		return messages.PermissionCheck{Name: name, OK: true}
	}
	out := messages.PermissionCheck{Name: name}
	if errors.Is(err, errNoTable) {
		out.Detail = "not tried: " + errNoTable.Error()
		out.HowToFix = connectAgain
		return out
	}
	if fault, ok := errors.AsType[*tokens.Error](err); ok {
		out.Detail, out.HowToFix = fault.Message, tokenFix(fault)
		return out
	}
	fault, ok := errors.AsType[*dynamics.Error](err)
	if !ok {
		out.Detail = "crmbridge failed on this check"
		return out
	}
	known := route.Explain(fault)
	out.Detail, out.HowToFix, out.MissingPrivilege = known.Finding, known.Fix, known.Privilege
	if fault.Kind == dynamics.Throttled && fault.RetryAfter > 0 {
		out.Detail = blockDetail(fault, time.Now())
	}
	return out
}

// blockDetail says which limit keeps the user out, and until when.
func blockDetail(fault *dynamics.Error, now time.Time) string {
	wait := fault.RetryAfter.Round(time.Second)
	until := now.Add(fault.RetryAfter).UTC().Format(time.RFC3339)
	what, known := map[dynamics.Limit]string{
		dynamics.LimitRequests:    "the user's requests in 5 minutes",
		dynamics.LimitTime:        "the execution time of the user's requests in 5 minutes",
		dynamics.LimitConcurrency: "the user's requests at the same time",
		dynamics.LimitUnknown:     "a limit that Dataverse did not name",
	}[fault.Limit]
	if !known {
		return fmt.Sprintf("%s (until %s, %s)", route.Explain(fault).Message, until, wait)
	}
	return fmt.Sprintf("Dataverse's service protection limits are reached: %s. No call of this user is sent before "+
		"%s (%s), whatever the connection; "+
		"sending on makes the wait longer", what, until, wait)
}

const connectAgain = "a person connects again: connections.authorize (crmbridge connect) gives the link"

// tokenFix says what is to be done where there is no token.
func tokenFix(fault *tokens.Error) string {
	switch fault.Code {
	case tokens.CodeReauthorizationRequired:
		if fault.Actor == tokens.ActorAdministrator {
			return string(fault.Actor) + " mends what the detail names; then a person connects again: " +
				"connections.authorize (crmbridge connect) gives the link"
		}
		return connectAgain
	case tokens.CodeConsentRequired:
		if fault.AdminConsentURL != "" {
			return "an administrator of the directory consents at " + fault.AdminConsentURL
		}
		return "the person, or an administrator of the directory, consents; connections.authorize gives the link"
	case tokens.CodeConfigurationError:
		switch fault.Actor {
		case tokens.ActorAdministrator:
			return string(fault.Actor) + " mends what the detail names; nothing is wrong in the environment or in " +
				"crmbridge's set-up"
		case tokens.ActorEither, tokens.ActorRequester:
			return string(fault.Actor) + " mends what the detail names"
		}
		return "crmbridge's operator mends its own set-up; nothing in the environment is wrong"
	case tokens.CodePermissionDenied:
		return "let the user in: " + route.AdminCentre
	}
	if errors.Is(fault, tokens.ErrRefused) {
		return route.RefusedFix
	}
	if fault.Retryable {
		return "nothing; ask again later"
	}
	return ""
}
