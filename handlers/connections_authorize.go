package handlers

import (
	"context"
	"slices"

	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// prompts are the values of OAuth's prompt that Entra knows:
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow.
var prompts = []string{"", "login", "none", "consent", "select_account"}

// maxHint bounds login_hint, which goes into a URL.
const maxHint = 256

// connectionsAuthorize answers connections.authorize with the page where a
// person connects the environment.
func (o *Operations) connectionsAuthorize(ctx context.Context, c *call, in messages.AuthorizeRequest) (messages.AuthorizeReply, error) {
	environment, err := o.checkAuthorize(in)
	if err != nil {
		return messages.AuthorizeReply{}, err
	}
	begun, err := o.Authorizer.Begin(ctx, tokens.Request{
		Connection: c.connection, EnvironmentURL: environment, Tenant: in.Tenant, LoginHint: in.LoginHint,
		Prompt: in.Prompt, AllowUserChange: in.AllowUserChange, Bus: o.BusCompletion,
	})
	if err != nil {
		return messages.AuthorizeReply{}, err
	}
	reply := messages.AuthorizeReply{ConnectURL: begun.ConnectURL, ExpiresAt: begun.ExpiresAt.UTC()}
	if o.BusCompletion {
		reply.AuthorizationURL, reply.State = begun.AuthorizationURL, begun.State
	}
	return reply, nil
}

func (o *Operations) checkAuthorize(in messages.AuthorizeRequest) (environment string, err error) {
	if in.EnvironmentURL == "" {
		return "", messages.Invalid("environment_url", "is missing; give the environment's origin, such as https://contoso.crm4.dynamics.com")
	}
	environment, err = o.Hosts.Environment(in.EnvironmentURL)
	if err != nil {
		return "", refused(err, "environment_url")
	}
	switch {
	case in.Grant == messages.GrantClientCredentials:
		return "", messages.Errorf(messages.NotSupported, "grant: client_credentials is not available in this version; use authorization_code")
	case in.Grant != "" && in.Grant != messages.GrantAuthorizationCode:
		return "", messages.Invalid("grant", "must be authorization_code or client_credentials")
	case !slices.Contains(prompts, in.Prompt):
		return "", messages.Invalid("prompt", "must be login, consent, select_account or none")
	case len(in.LoginHint) > maxHint:
		return "", messages.Invalid("login_hint", "is longer than %d bytes", maxHint)
	}
	return environment, nil
}
