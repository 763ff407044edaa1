package bridge

import (
	"context"
	"errors"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/tokens"
)

// tokensOf lets the Dataverse client ask for access where it makes its call,
// so that no operation can forget to. The two packages know nothing of each other.
func tokensOf(source *tokens.Source) dynamics.TokenSource { return tokenSource{source} }

type tokenSource struct{ source *tokens.Source }

func (t tokenSource) Access(ctx context.Context, connection string) (dynamics.Access, error) {
	access, err := t.source.Access(ctx, connection)
	return fromGrant(&access), err
}

func (t tokenSource) Refused(ctx context.Context, connection string, refused dynamics.Access) (dynamics.Access, error) {
	access, err := t.source.Refused(ctx, connection, tokens.Access{
		Environment: refused.Environment, Incarnation: refused.Incarnation,
		OrganizationID: refused.Principal.Organization,
		UserID:         refused.Principal.User, Token: tokens.Secret(refused.Token.Reveal()),
		Claims: tokens.Secret(refused.Claims.Reveal())})
	return fromGrant(&access), err
}

// fromGrant shares the token's text with the source, which keeps it: a request allocates
// nothing for it.
func fromGrant(a *tokens.Access) dynamics.Access {
	return dynamics.Access{Environment: a.Environment, Incarnation: a.Incarnation,
		Token:  dynamics.SecretAt((*string)(a.Held())),
		Tables: a.Tables, DailyCalls: a.DailyCalls,
		Principal: dynamics.Principal{Organization: a.OrganizationID, User: a.UserID}}
}

// names lets the token side ask what user and organization are called.
func names(
	client *dynamics.Client,
) func(ctx context.Context, environment, accessToken, user, organization string) tokens.Names {
	return func(ctx context.Context, environment, accessToken, user, organization string) tokens.Names {
		names := client.Names(ctx, environment, accessToken,
			dynamics.Identity{UserID: user, OrganizationID: organization})
		return tokens.Names{User: names.User, UserFull: names.UserFull, Organization: names.Organization}
	}
}

// serves lets the token side refuse, before anything is sent, an environment that
// this installation may not use (any more): another cloud's, or one no longer listed.
func serves(hosts *dynamics.HostPolicy) func(environment string) error {
	return func(environment string) error {
		_, err := hosts.Environment(environment)
		return err
	}
}

// discover lets an authorizer ask an environment which directory it belongs to.
func discover(client *dynamics.Client) func(ctx context.Context, environment string) (string, error) {
	return func(ctx context.Context, environment string) (string, error) {
		challenge, err := client.Challenge(ctx, environment)
		return challenge.Tenant, err
	}
}

// identify lets an authorizer ask an environment whose token it has got.
func identify(
	client *dynamics.Client,
) func(ctx context.Context, environment, accessToken string) (user, organization string, err error) {
	return func(ctx context.Context, environment, accessToken string) (string, string, error) {
		who, err := client.Identify(ctx, environment, accessToken)
		refused, ok := errors.AsType[*dynamics.Error](err)
		if ok && (refused.Kind == dynamics.Forbidden || refused.Kind == dynamics.Unauthorized) {
			why := route.Explain(refused).Message
			if refused.Kind == dynamics.Unauthorized {
				why = "it does not accept the token that Entra has just given"
			}
			return "", "", &tokens.Error{Code: tokens.CodePermissionDenied, Err: refused,
				Message: "the environment does not let this user in: " + why}
		}
		return who.UserID, who.OrganizationID, err
	}
}
