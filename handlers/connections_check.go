package handlers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/plan"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// checksAtOnce bounds the probes that are under way.
const checksAtOnce = 4

// A check is one thing that crmbridge needs in an environment, tried for real.
type check struct {
	name string
	try  func(ctx context.Context, session *dynamics.Session) error
}

// checks are those that need a token, in the order of messages/README.md#connections.
func checks() []check {
	probe := func(name string, p dynamics.Probe) check {
		return check{name, func(ctx context.Context, s *dynamics.Session) error { return s.Try(ctx, p) }}
	}
	table := func(name string, try func(*dynamics.Session, context.Context, dynamics.Table) error) check {
		return check{name, func(ctx context.Context, s *dynamics.Session) error {
			return try(s, ctx, plan.TableOf(messages.Accounts))
		}}
	}
	return []check{
		{messages.CheckWhoAmI, func(ctx context.Context, s *dynamics.Session) error {
			_, err := s.WhoAmI(ctx)
			return err
		}},
		probe(messages.CheckSystemUsersRead, dynamics.ProbeUsers),
		probe(messages.CheckRolesRead, dynamics.ProbeRoles),
		probe(messages.CheckTeamsRead, dynamics.ProbeTeams),
		table(messages.Accounts.ReadCheck(), (*dynamics.Session).TryRows),
		table(messages.CheckMetadataRead, (*dynamics.Session).TryMetadata),
		{messages.Accounts.ChangesCheck(), func(ctx context.Context, s *dynamics.Session) error {
			id := dynamics.Output{Column: dynamics.Column{Logical: messages.Accounts.Key, Type: dynamics.UniqueID}, As: "id"}
			rows, err := s.PrepareChanges(plan.TableOf(messages.Accounts), dynamics.ChangesQuery{Select: []dynamics.Output{id}, PageSize: 1})
			if err != nil {
				return err
			}
			_, err = s.Changes(ctx, rows, "")
			return err
		}},
	}
}

// connectionsCheck answers connections.check: every permission is tried, whatever
// became of the others.
func (o *Operations) connectionsCheck(ctx context.Context, c route.Call, in messages.CheckRequest) (messages.ChecksReply, error) {
	if _, err := in.Chosen(o.Tables); err != nil {
		return messages.ChecksReply{}, err
	}
	all := checks()
	session, err := o.Dynamics.Open(ctx, c.Connection)
	if err != nil {
		if fault := o.uncheckable(ctx, c, err); fault != nil {
			return messages.ChecksReply{}, fault
		}
		return withoutToken(all, err), nil
	}
	trying, cancel := context.WithDeadline(ctx, c.Deadline.Add(-answerTime(c.Deadline)))
	defer cancel()
	faults := make([]error, len(all))
	var group errgroup.Group
	group.SetLimit(checksAtOnce)
	for i, one := range all {
		group.Go(dynamics.Guard(func() error {
			faults[i] = one.try(trying, session)
			return nil // the others are tried all the same
		}))
	}
	if err := group.Wait(); err != nil {
		return messages.ChecksReply{}, err // a defect; there is no other
	}
	if ctx.Err() != nil {
		return messages.ChecksReply{}, ctx.Err()
	}
	return report(all, faults), nil
}

// answerTime is what is left of a request's time for its answer when the probes
// must end.
func answerTime(deadline time.Time) time.Duration {
	return min(time.Until(deadline)/10, time.Second)
}

// uncheckable returns the error that is one of the request and no finding: there is
// no such connection, nobody has connected it yet, or it may not be used here.
func (o *Operations) uncheckable(ctx context.Context, c route.Call, err error) error {
	fault, ok := errors.AsType[*tokens.Error](err)
	if !ok || ctx.Err() != nil {
		return err
	}
	switch fault.Code {
	case tokens.CodeConnectionNotFound, tokens.CodeInvalidRequest, tokens.CodeInternal:
		return err
	case tokens.CodeReauthorizationRequired:
		if connection, gone := o.Store.Get(ctx, c.Connection); gone == nil && connection.Status == tokens.StatusPending {
			return err
		}
	}
	return nil
}

func withoutToken(all []check, err error) messages.ChecksReply {
	reply := messages.ChecksReply{Checks: []messages.PermissionCheck{finding(messages.CheckToken, err)}}
	for _, one := range all {
		reply.Checks = append(reply.Checks, messages.PermissionCheck{Name: one.name, Detail: "not tried: there is no access token"})
	}
	return reply
}

// report puts the findings together, and what they mean for each other.
func report(all []check, faults []error) messages.ChecksReply {
	reply := messages.ChecksReply{Checks: []messages.PermissionCheck{{Name: messages.CheckToken, OK: true}}}
	for i, one := range all {
		reply.Checks = append(reply.Checks, finding(one.name, faults[i]))
		// Dataverse refused the token, and this is why there is no other.
		if _, ok := errors.AsType[*tokens.Error](faults[i]); ok && reply.Checks[0].OK {
			reply.Checks[0] = finding(messages.CheckToken, faults[i])
		}
	}
	byName := map[string]*messages.PermissionCheck{}
	for i := range reply.Checks {
		byName[reply.Checks[i].Name] = &reply.Checks[i]
	}
	// Only change tracking says whether a user reads all accounts.
	rows, changes := byName[messages.Accounts.ReadCheck()], byName[messages.Accounts.ChangesCheck()]
	switch {
	case !rows.OK || changes.OK:
	case changes.MissingPrivilege == route.ReadAccount:
		rows.Detail = "some accounts may be missing from answers: " + route.ReadAccount + " is not at level Organization (see " +
			changes.Name + "), and Dataverse leaves out without a word what the user may not see"
		rows.HowToFix = route.PrivilegeFix(route.ReadAccount)
	default:
		rows.Detail = "whether the user may see all accounts could not be found out (see " + changes.Name + ")"
	}
	return reply
}

// finding is what became of one check, and what can be done about it.
func finding(name string, err error) messages.PermissionCheck {
	if err == nil {
		return messages.PermissionCheck{Name: name, OK: true}
	}
	out := messages.PermissionCheck{Name: name}
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
	return fmt.Sprintf("Dataverse's service protection limits are reached: %s. No call of this user is sent before %s (%s), whatever the connection; "+
		"sending on makes the wait longer", what, until, wait)
}

// tokenFix says what is to be done where there is no token.
func tokenFix(fault *tokens.Error) string {
	switch fault.Code {
	case tokens.CodeReauthorizationRequired:
		if fault.Actor == tokens.ActorAdministrator {
			return string(fault.Actor) + " mends what the detail names; then a person connects again: connections.authorize (crmbridge connect) gives the link"
		}
		return "a person connects again: connections.authorize (crmbridge connect) gives the link"
	case tokens.CodeConsentRequired:
		if fault.AdminConsentURL != "" {
			return "an administrator of the directory consents at " + fault.AdminConsentURL
		}
		return "the person, or an administrator of the directory, consents; connections.authorize gives the link"
	case tokens.CodeConfigurationError:
		switch fault.Actor {
		case tokens.ActorAdministrator:
			return string(fault.Actor) + " mends what the detail names; nothing is wrong in the environment or in crmbridge's set-up"
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
