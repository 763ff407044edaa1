package handlers

import (
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

// Routes is every operation, one line each.
func (o *Operations) Routes() map[messages.Operation]route.Route {
	return map[messages.Operation]route.Route{
		messages.ConnectionsAuthorize: route.Administrative(route.One(route.OneConnection, o.connectionsAuthorize)),
		messages.ConnectionsComplete:  route.Administrative(route.One(route.AnyConnection, o.connectionsComplete)),
		messages.ConnectionsGet:       route.Administrative(route.One(route.OneConnection, o.connectionsGet)),
		messages.ConnectionsList:      route.Administrative(route.One(route.AnyConnection, o.connectionsList)),
		messages.ConnectionsDelete:    route.Administrative(route.One(route.OneConnection, o.connectionsDelete)),
		messages.ConnectionsCheck:     route.Administrative(route.One(route.OneConnection, o.connectionsCheck)),
		messages.UsersWhoAmI:          route.One(route.OneConnection, o.usersWhoAmI),
		messages.UsersGet:             route.One(route.OneConnection, o.usersGet),
		messages.AccountsSearch:       route.Many[messages.AccountsPage](route.OneConnection, wantsStream, o.accountsSearch),
		messages.AccountsGet:          route.One(route.OneConnection, o.accountsGet),
		messages.AccountsCount:        route.One(route.OneConnection, o.accountsCount),
		messages.AccountsFields:       route.One(route.OneConnection, o.accountsFields),
		messages.AccountsChanges:      route.Many[messages.AccountsChangesReply](route.OneConnection, nil, o.accountsChanges),
	}
}
