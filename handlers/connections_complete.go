package handlers

import (
	"context"

	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// connectionsComplete answers connections.complete: an application that owns the
// redirect hands in what Microsoft sent. People complete at the callback page.
func (o *Operations) connectionsComplete(ctx context.Context, c route.Call,
	in messages.CompleteRequest) (messages.ConnectionReply, error) {
	if !o.BusCompletion {
		return messages.ConnectionReply{}, messages.Errorf(messages.NotSupported,
			"completing over NATS is switched off here (BUS_COMPLETION); people complete in their browser "+
				"at the callback page")
	}
	switch {
	case in.State == "":
		return messages.ConnectionReply{}, messages.Invalid("state", "is missing")
	case in.Code == "" && in.Error == "":
		return messages.ConnectionReply{}, messages.Invalid("code", "is missing; give code, or error as "+
			"Microsoft redirected")
	case in.Code != "" && in.Error != "":
		return messages.ConnectionReply{}, messages.Invalid("error", "comes with code; Microsoft redirects with one of them")
	}
	connection, err := o.Authorizer.Complete(ctx, tokens.Callback{
		State: in.State, Code: tokens.Secret(in.Code), Error: in.Error, ErrorDescription: in.ErrorDescription,
		Bus: true, Connection: c.Connection,
	})
	if err != nil {
		return messages.ConnectionReply{}, err
	}
	return messages.ConnectionReply{Connection: connectionOf(connection)}, nil
}
