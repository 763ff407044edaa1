package handlers

import (
	"context"
	"fmt"
	"sync"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/plan"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// Operations are crmbridge's operations and what they work with.
type Operations struct {
	Dynamics   *dynamics.Client
	Hosts      *dynamics.HostPolicy
	Store      *tokens.Store
	Authorizer *tokens.Authorizer
	Sealer     Sealer
	Catalog    *plan.Catalog
	// Tables are those that this deployment serves.
	Tables []messages.Table
	// Jobs is the durable lane; nil where there is none.
	Jobs Jobs
	// UserCalls is how many calls of one user the fleet has in flight; a job that reads in
	// parallel takes half of them at most. 0 is any number.
	UserCalls int
	// Purge removes the jobs and results of a connection that was deleted; nil where there are
	// none. What it cannot do is done later, see [tokens.Store.PurgeDeleted].
	Purge func(ctx context.Context, connection string)
	// BusCompletion lets applications complete authorizations over NATS.
	BusCompletion bool
}

// rowOperations are the operations of one table.
type rowOperations struct {
	*Operations
	entity *plan.Entity
}

// open is the session of a call about the table's rows or columns. It is refused here
// already where the connection is not for the table: what was read before is kept, and
// an answer may come from that alone.
func (o *rowOperations) open(ctx context.Context, c route.Call) (*dynamics.Session, error) {
	session := new(dynamics.Session)
	if err := o.openIn(ctx, c, session); err != nil {
		return nil, err
	}
	return session, nil
}

// openIn is open in memory of the caller's; see [dynamics.Client.OpenIn].
func (o *rowOperations) openIn(ctx context.Context, c route.Call, session *dynamics.Session) error {
	if err := o.Operations.openIn(ctx, c, session); err != nil {
		return err
	}
	return session.Permits(o.entity.Rows)
}

// open is the session of a call. A job's is refused where the connection was made again
// since the job began.
func (o *Operations) open(ctx context.Context, c route.Call) (*dynamics.Session, error) {
	session := new(dynamics.Session)
	if err := o.openIn(ctx, c, session); err != nil {
		return nil, err
	}
	return session, nil
}

func (o *Operations) openIn(ctx context.Context, c route.Call, session *dynamics.Session) error {
	err := o.Dynamics.OpenIn(ctx, session, c.Connection)
	if err == nil && c.Job != nil {
		err = session.IsOf(c.Job.Incarnation)
	}
	return err
}

// Routes is every operation of the tables that are served. Its error says what is wrong
// with the description of a table.
func (o *Operations) Routes() (map[messages.Operation]route.Route, error) {
	routes := map[messages.Operation]route.Route{
		messages.ConnectionsAuthorize: route.Administrative(route.One(route.OneConnection, o.connectionsAuthorize)),
		messages.ConnectionsComplete:  route.Administrative(route.One(route.AnyConnection, o.connectionsComplete)),
		messages.ConnectionsGet:       route.Administrative(route.One(route.OneConnection, o.connectionsGet)),
		messages.ConnectionsList:      route.Administrative(route.One(route.AnyConnection, o.connectionsList)),
		messages.ConnectionsDelete:    route.Administrative(route.One(route.OneConnection, o.connectionsDelete)),
		messages.ConnectionsCheck:     route.Administrative(route.One(route.OneConnection, o.connectionsCheck)),
		messages.ConnectionsLimits:    route.Administrative(route.One(route.OneConnection, o.connectionsLimits)),
		messages.UsersWhoAmI:          route.One(route.OneConnection, o.usersWhoAmI),
		messages.UsersGet:             route.One(route.OneConnection, o.usersGet),
		messages.JobsGet:              route.One(route.OneConnection, o.jobsGet),
		messages.JobsList:             route.One(route.AnyConnection, o.jobsList),
		messages.JobsResults:          route.Stored(route.OneConnection, o.jobsResults),
		messages.JobsCancel:           route.One(route.OneConnection, o.jobsCancel),
		messages.JobsRetry:            route.One(route.OneConnection, o.jobsRetry),
		messages.JobsDelete:           route.One(route.OneConnection, o.jobsDelete),
	}
	for _, table := range o.Tables {
		entity, err := plan.NewEntity(table)
		if err != nil {
			return nil, err
		}
		rows := &rowOperations{o, entity}
		for verb, r := range map[messages.Verb]route.Route{
			messages.VerbSearch:  route.SearchOf(table, wantsStream, rows.beginSearch),
			messages.VerbGet:     route.OneOf(table, rows.get),
			messages.VerbCount:   route.OneOf(table, rows.count),
			messages.VerbFields:  route.OneOf(table, rows.fields),
			messages.VerbChanges: route.ManyOf(table, nil, rows.changes),
		} {
			operation := table.Operation(verb)
			if _, taken := routes[operation]; taken {
				return nil, fmt.Errorf("table %q is there twice", table.Name)
			}
			routes[operation] = r
		}
	}
	for op, r := range routes {
		r.Schemas = sync.OnceValues(func() (messages.Schemas, error) { return op.Schemas(o.Tables) })
		routes[op] = r
	}
	return routes, nil
}
