package handlers

import (
	"fmt"

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
	// BusCompletion lets applications complete authorizations over NATS.
	BusCompletion bool
}

// servedTables are the tables of which Routes has operations.
var servedTables = []messages.Table{messages.Accounts}

// Routes is every operation, one line each.
func (o *Operations) Routes() map[messages.Operation]route.Route {
	accounts := messages.Accounts
	return described(map[messages.Operation]route.Route{
		messages.ConnectionsAuthorize:            route.Administrative(route.One(route.OneConnection, o.connectionsAuthorize)),
		messages.ConnectionsComplete:             route.Administrative(route.One(route.AnyConnection, o.connectionsComplete)),
		messages.ConnectionsGet:                  route.Administrative(route.One(route.OneConnection, o.connectionsGet)),
		messages.ConnectionsList:                 route.Administrative(route.One(route.AnyConnection, o.connectionsList)),
		messages.ConnectionsDelete:               route.Administrative(route.One(route.OneConnection, o.connectionsDelete)),
		messages.ConnectionsCheck:                route.Administrative(route.One(route.OneConnection, o.connectionsCheck)),
		messages.UsersWhoAmI:                     route.One(route.OneConnection, o.usersWhoAmI),
		messages.UsersGet:                        route.One(route.OneConnection, o.usersGet),
		accounts.Operation(messages.VerbSearch):  route.ManyOf(accounts, wantsStream, o.accountsSearch),
		accounts.Operation(messages.VerbGet):     route.OneOf(accounts, o.accountsGet),
		accounts.Operation(messages.VerbCount):   route.OneOf(accounts, o.accountsCount),
		accounts.Operation(messages.VerbFields):  route.OneOf(accounts, o.accountsFields),
		accounts.Operation(messages.VerbChanges): route.ManyOf(accounts, nil, o.accountsChanges),
	})
}

// described adds the schemas of the bodies. An operation without them is a defect
// that the first test meets.
func described(routes map[messages.Operation]route.Route) map[messages.Operation]route.Route {
	for op, r := range routes {
		schemas, err := op.Schemas(servedTables)
		if err != nil {
			panic(fmt.Sprintf("no JSON Schemas for %s: %v", op, err))
		}
		r.Schemas = schemas
		routes[op] = r
	}
	return routes
}
