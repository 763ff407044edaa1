package handlers

import (
	"context"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
)

// usersWhoAmI answers users.whoami: whom Dataverse takes the connection for.
func (o *Operations) usersWhoAmI(ctx context.Context, c route.Call,
	_ messages.ConnectionRequest) (messages.WhoAmIReply, error) {
	session, err := o.open(ctx, c)
	if err != nil {
		return messages.WhoAmIReply{}, err
	}
	who, err := session.WhoAmI(ctx)
	if err != nil {
		return messages.WhoAmIReply{}, err
	}
	return messages.WhoAmIReply{UserID: who.UserID, BusinessUnitID: who.BusinessUnitID,
		OrganizationID: who.OrganizationID}, nil
}
