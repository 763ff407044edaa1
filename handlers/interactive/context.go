package interactive

import (
	"context"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/budget"
)

// A requestContext is a request's context: one with its deadline, and what calls find in it,
// its account and its id, without a context around it for each.
type requestContext struct {
	context.Context // ends at the deadline
	account         *budget.Account
	clientID        string
}

// keyOfAccount and keyOfID are the keys of what a requestContext has.
var keyOfAccount, keyOfID = budget.ContextKey(), dynamics.RequestIDKey()

// Value returns the request's account, what knows its id, or the value of the context
// within.
func (c *requestContext) Value(key any) any {
	switch key {
	case keyOfAccount:
		return c.account
	case keyOfID:
		return c
	}
	return c.Context.Value(key)
}

// ClientRequestID is the request's id as Dataverse sees it.
func (c *requestContext) ClientRequestID() string { return c.clientID }
