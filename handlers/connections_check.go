package handlers

import (
	"context"
	"errors"
	"slices"
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

// A check is one thing that crmbridge needs in an environment, tried for real. Each is
// one request, and that of a table's rows two, so that a connection.check sends at most
// five and three for each table that the deployment serves.
type check struct {
	name string
	try  func(ctx context.Context, session *dynamics.Session, found *result) error
}

// A result is what a check found out.
type result struct {
	err   error
	depth dynamics.Depth // of <table>.read; DepthNone is not known
}

// checks are those that need a token, by their names. metadata is the table whose
// metadata are asked for; nil where the connection has none.
func checks(tables []messages.Table, metadata *messages.Table) []check {
	tries := map[string]func(context.Context, *dynamics.Session, *result) error{
		messages.CheckWhoAmI: func(ctx context.Context, s *dynamics.Session, _ *result) error {
			_, err := s.WhoAmI(ctx)
			return err
		},
		messages.CheckMetadataRead: func(ctx context.Context, s *dynamics.Session, _ *result) error {
			if metadata == nil {
				return errNoTable
			}
			return s.TryMetadata(ctx, plan.TableOf(*metadata))
		},
	}
	for name, probe := range map[string]dynamics.Probe{messages.CheckSystemUsersRead: dynamics.ProbeUsers,
		messages.CheckRolesRead: dynamics.ProbeRoles, messages.CheckTeamsRead: dynamics.ProbeTeams} {
		tries[name] = func(ctx context.Context, s *dynamics.Session, _ *result) error { return s.Try(ctx, probe) }
	}
	for _, described := range tables {
		table := plan.TableOf(described)
		tries[described.ReadCheck()] = func(ctx context.Context, s *dynamics.Session, found *result) error {
			if err := s.TryRows(ctx, table); err != nil {
				return err
			}
			// An environment may refuse this; then the changes say what can be said.
			if depth, err := s.ReadDepth(ctx, table); err == nil {
				found.depth = depth
			}
			return nil
		}
		tries[described.ChangesCheck()] = func(ctx context.Context, s *dynamics.Session, _ *result) error {
			key := dynamics.Output{Column: dynamics.Column{Logical: table.Key, Type: dynamics.UniqueID}, As: "id"}
			rows, err := s.PrepareChanges(table, dynamics.ChangesQuery{Select: []dynamics.Output{key}, PageSize: 1})
			if err != nil {
				return err
			}
			_, err = s.Changes(ctx, rows, "")
			return err
		}
	}
	var all []check
	for _, name := range messages.Checks(tables) {
		if try := tries[name]; try != nil { // the token is tried by opening the session
			all = append(all, check{name, try})
		}
	}
	return all
}

// errNoTable is found where the connection has no table whose metadata could be asked for.
var errNoTable = errors.New("the deployment serves no table that the connection was made for")

// ofConnection are the served tables that a connection was made for. Those that it has
// and the deployment no longer serves are left out.
func (o *Operations) ofConnection(has []string) []messages.Table {
	return slices.DeleteFunc(slices.Clone(o.Tables),
		func(t messages.Table) bool { return !slices.Contains(has, t.Name) })
}

// metadataTable is the table whose metadata are asked for; the privileges are the same
// for all. It must be one that the connection was made for, those that are checked first,
// and rather one that each environment has.
func metadataTable(checked, own []messages.Table) *messages.Table {
	var asked []messages.Table
	for _, t := range slices.Concat(checked, own) {
		if slices.ContainsFunc(own, func(o messages.Table) bool { return o.Name == t.Name }) {
			asked = append(asked, t)
		}
	}
	if len(asked) == 0 {
		return nil
	}
	return &asked[max(0, slices.IndexFunc(asked, func(t messages.Table) bool { return t.Product == "" }))]
}

// connectionsCheck answers connections.check: every permission is tried, whatever
// became of the others.
func (o *Operations) connectionsCheck(ctx context.Context, c route.Call,
	in messages.CheckRequest) (messages.ChecksReply, error) {
	chosen, invalid := in.Chosen(o.Tables)
	if invalid != nil {
		return messages.ChecksReply{}, invalid
	}
	session, err := o.Dynamics.Open(ctx, c.Connection)
	if err != nil {
		if err := o.uncheckable(ctx, c, err); err != nil {
			return messages.ChecksReply{}, err
		}
		return o.withoutToken(ctx, c, chosen, err), nil
	}
	own := o.ofConnection(session.Tables())
	tables := chosen
	if tables == nil {
		tables = own
	}
	all := checks(tables, metadataTable(tables, own))
	trying, cancel := context.WithDeadline(ctx, c.Deadline.Add(-answerTime(c.Deadline)))
	defer cancel()
	found := make([]result, len(all))
	var group errgroup.Group
	group.SetLimit(checksAtOnce)
	for i, one := range all {
		group.Go(dynamics.Guard(func() error {
			found[i].err = one.try(trying, session, &found[i])
			return nil // the others are tried all the same
		}))
	}
	if err := group.Wait(); err != nil {
		return messages.ChecksReply{}, err // a defect; there is no other
	}
	if ctx.Err() != nil {
		return messages.ChecksReply{}, ctx.Err()
	}
	return report(tables, all, found), nil
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
		if connection, gone := o.Store.Get(ctx, c.Connection); gone == nil &&
			connection.Status == tokens.StatusPending {
			return err
		}
	}
	return nil
}

// withoutToken is the answer where there is no access token, because of err.
func (o *Operations) withoutToken(ctx context.Context, c route.Call, tables []messages.Table,
	err error) messages.ChecksReply {
	if tables == nil {
		tables = o.Tables
		if connection, gone := o.Store.Get(ctx, c.Connection); gone == nil {
			tables = o.ofConnection(connection.Tables)
		}
	}
	reply := messages.ChecksReply{Checks: []messages.PermissionCheck{finding(messages.CheckToken, err)}}
	for _, name := range messages.Checks(tables)[1:] {
		reply.Checks = append(reply.Checks, messages.PermissionCheck{Name: name,
			Detail: "not tried: there is no access token"})
	}
	return reply
}
