package handlers

import (
	"context"
	"slices"

	"github.com/crmbridge/crmbridge/handlers/plan"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// prompts are the values of OAuth's prompt that Entra knows:
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow.
var prompts = []string{"", "login", "none", "consent", "select_account"}

// connectionsAuthorize answers connections.authorize with the page where a
// person connects the environment, or for client_credentials with the connection.
func (o *Operations) connectionsAuthorize(ctx context.Context, c route.Call,
	in messages.AuthorizeRequest) (messages.AuthorizeReply, error) {
	environment, err := o.checkAuthorize(in)
	if err != nil {
		return messages.AuthorizeReply{}, err
	}
	ask := tokens.Request{
		Connection: c.Connection, EnvironmentURL: environment, Tenant: in.Tenant, LoginHint: in.LoginHint,
		Prompt: in.Prompt, AllowUserChange: in.AllowUserChange, Bus: o.BusCompletion,
		DailyCalls: int(in.DailyCalls),
	}
	if in.Grant == messages.GrantClientCredentials {
		return o.authorizeApp(ctx, ask)
	}
	begun, err := o.Authorizer.Begin(ctx, ask)
	if err != nil {
		return messages.AuthorizeReply{}, err
	}
	reply := messages.AuthorizeReply{ConnectURL: begun.ConnectURL, ExpiresAt: begun.ExpiresAt.UTC()}
	if o.BusCompletion {
		reply.AuthorizationURL, reply.State, reply.Tables = begun.AuthorizationURL, begun.State, begun.Tables
	}
	return reply, nil
}

// authorizeApp makes a connection in which nobody but the application acts.
func (o *Operations) authorizeApp(ctx context.Context, ask tokens.Request) (messages.AuthorizeReply, error) {
	made, err := o.Authorizer.App(ctx, ask)
	if err != nil {
		return messages.AuthorizeReply{}, err
	}
	connection := connectionOf(made)
	return messages.AuthorizeReply{Connection: messages.AuthorizedConnection{Made: &connection}}, nil
}

func (o *Operations) checkAuthorize(in messages.AuthorizeRequest) (environment string, err error) {
	if in.EnvironmentURL == "" {
		return "", messages.Invalid("environment_url",
			"is missing; give the environment's origin, such as https://contoso.crm4.dynamics.com")
	}
	environment, err = o.Hosts.Environment(in.EnvironmentURL)
	if err != nil {
		return "", plan.Refused(err, "environment_url")
	}
	switch {
	case in.Grant != "" && in.Grant != messages.GrantAuthorizationCode && in.Grant != messages.GrantClientCredentials:
		return "", messages.Invalid("grant", "must be authorization_code or client_credentials")
	case in.Grant == messages.GrantClientCredentials && in.LoginHint != "":
		return "", messages.Invalid("login_hint", "goes with authorization_code only: nobody signs in for client_credentials")
	case in.Grant == messages.GrantClientCredentials && in.Prompt != "":
		return "", messages.Invalid("prompt", "goes with authorization_code only: nobody signs in for client_credentials")
	case !slices.Contains(prompts, in.Prompt):
		return "", messages.Invalid("prompt", "must be login, consent, select_account or none")
	case in.DailyCalls > messages.MaxDailyCalls:
		return "", messages.Invalid("daily_calls", "must be from 1 to %d", messages.MaxDailyCalls)
	case len(in.LoginHint) > messages.MaxLoginHint:
		return "", messages.Invalid("login_hint", "is longer than %d bytes", messages.MaxLoginHint)
	}
	return environment, nil
}
