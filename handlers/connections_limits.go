package handlers

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// blockedBy has the words for the limits that have a name.
var blockedBy = map[dynamics.Limit]string{
	dynamics.LimitRequests:    messages.BlockedByRequests,
	dynamics.LimitTime:        messages.BlockedByExecutionTime,
	dynamics.LimitConcurrency: messages.BlockedByConcurrency,
}

// connectionsLimits answers connections.limits from what the fleet knows: Dataverse is not
// asked, so that it is answered for a connection whose user is blocked or whose grant is
// gone, too.
func (o *Operations) connectionsLimits(ctx context.Context, c route.Call,
	_ messages.ConnectionRequest) (messages.LimitsReply, error) {
	connection, err := o.Store.Get(ctx, c.Connection)
	if err != nil {
		return messages.LimitsReply{}, err
	}
	used, err := o.Dynamics.Usage(ctx, c.Connection, connection.EnvironmentURL,
		dynamics.Principal{Organization: connection.OrganizationID, User: connection.UserID})
	if fault, ok := errors.AsType[*dynamics.Error](err); ok && fault.Kind == dynamics.Unavailable {
		err = messages.Errorf(messages.Unavailable, "%s", fault.Message).Because(err) // it is not Dataverse that is away
	}
	if err != nil {
		return messages.LimitsReply{}, err
	}
	// Nobody knows of a user before somebody has connected.
	reply := messages.LimitsReply{InFlight: used.InFlight, Limit: cmp.Or(used.Limit, o.UserCalls), Queued: used.Queued,
		Breaker: string(used.Breaker), CallsToday: used.CallsToday, DailyCalls: connection.DailyCalls}
	if used.Blocked > 0 {
		reply.BlockedUntil, reply.BlockedBy = timeOf(time.Now().Add(used.Blocked)), blockedBy[used.BlockedBy]
	}
	return reply, nil
}
