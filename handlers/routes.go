package handlers

import (
	"github.com/crmbridge/crmbridge/dynamics"
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
	Metadata   MetadataCache // nil: every process asks for itself
	// Tables are those that this deployment serves.
	Tables []messages.Table
	// BusCompletion lets applications complete authorizations over NATS.
	BusCompletion bool

	catalog catalog
}

// routes is every operation, one line each.
func (o *Operations) routes() map[messages.Operation]route {
	return map[messages.Operation]route{
		messages.ConnectionsAuthorize: administrative(one(oneConnection, o.connectionsAuthorize)),
		messages.ConnectionsComplete:  administrative(one(anyConnection, o.connectionsComplete)),
		messages.ConnectionsGet:       administrative(one(oneConnection, o.connectionsGet)),
		messages.ConnectionsList:      administrative(one(anyConnection, o.connectionsList)),
		messages.ConnectionsDelete:    administrative(one(oneConnection, o.connectionsDelete)),
		messages.ConnectionsCheck:     administrative(one(oneConnection, o.connectionsCheck)),
		messages.UsersWhoAmI:          one(oneConnection, o.usersWhoAmI),
		messages.UsersGet:             one(oneConnection, o.usersGet),
		messages.AccountsSearch:       many[messages.AccountsPage](oneConnection, o.accountsSearch),
		messages.AccountsGet:          one(oneConnection, o.accountsGet),
		messages.AccountsCount:        one(oneConnection, o.accountsCount),
		messages.AccountsFields:       one(oneConnection, o.accountsFields),
		messages.AccountsChanges:      whole[messages.AccountsChangesReply](oneConnection, o.accountsChanges),
	}
}
