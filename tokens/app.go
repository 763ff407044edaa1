package tokens

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"strings"
	"time"
)

// GrantClientCredentials is the grant of a connection in which crmbridge acts as
// itself, an application user of the environment. There is nothing of a person in
// it, and nothing that could be lost: each token comes from a new request.
const GrantClientCredentials = "client_credentials"

// again is the next token of a connection, by the grant that it was made with.
func (e *Entra) again(ctx context.Context, r record) (tokenResponse, error) {
	if r.Grant == GrantClientCredentials {
		return e.app(ctx, r.ID, r.TenantID, r.EnvironmentURL, r.challenge)
	}
	return e.renew(ctx, r.TenantID, r.EnvironmentURL, r.refresh, r.challenge)
}

// listed refuses a connection by client_credentials that the operator has taken
// out of the list, whatever token there still is.
func (e *Entra) listed(r *record) error {
	if r.Grant != GrantClientCredentials {
		return nil
	}
	return e.mayApp(r.ID, r.EnvironmentURL)
}

func (e *Entra) mayApp(connection, environment string) error {
	if e.apps[connection] == environment {
		return nil
	}
	return newError(CodePermissionDenied, "connection "+connection+" to "+environment+
		" is not among those that may use client_credentials; the operator lists them in APP_CONNECTIONS_FILE", nil)
}

// app asks for a token of the application itself. tenant must be one directory:
// there is no user to tell which. claims as for renew. Errors are *Error.
func (e *Entra) app(ctx context.Context, connection, tenant, environment string, claims Secret) (tokenResponse, error) {
	if err := e.mayApp(connection, environment); err != nil {
		return tokenResponse{}, err
	}
	q := question{GrantClientCredentials, environment, e.endpoint(tenant).TokenURL, nil}
	return e.post(ctx, q, []string{environment + "/.default"}, withClaims(url.Values{}, claims))
}

// App makes or replaces a connection by client_credentials. The token is got and
// WhoAmI asked before anything is stored; where there is a connection already, it
// stays as it is until then.
//
// Errors: invalid_request (no single directory is named), permission_denied (the
// operator has not listed the pair, or the environment has no application user),
// consent_required (with AdminConsentURL), identity_mismatch, connection_exists,
// configuration_error, upstream_error; retryable: unavailable, throttled,
// deadline_exceeded.
func (a *Authorizer) App(ctx context.Context, q Request) (Connection, error) {
	if err := q.check(); err != nil {
		return Connection{}, err
	}
	if old, err := a.store.load(ctx, q.Connection); err == nil && old.Status != StatusPending &&
		old.EnvironmentURL != q.EnvironmentURL {
		return Connection{}, exists(old)
	}
	if a.entra.apps[q.Connection] == q.EnvironmentURL { // before anything is sent to the environment
		tenant, err := a.directoryOf(ctx, q)
		if err != nil {
			return Connection{}, err
		}
		q.Tenant = tenant
	}
	ans, err := a.entra.app(ctx, q.Connection, q.Tenant, q.EnvironmentURL, "")
	if err != nil {
		return Connection{}, late(ctx, a.withAppConsent(err, q))
	}
	user, organization, err := a.identify(ctx, q.EnvironmentURL, ans.access.Reveal())
	if err != nil {
		return Connection{}, late(ctx, a.appRefused(identifyError(err)))
	}
	if !guid.MatchString(user) || !guid.MatchString(organization) {
		return Connection{}, newError(CodeUpstreamError, "Dataverse did not say who the application user is", nil)
	}
	user, organization = strings.ToLower(user), strings.ToLower(organization)
	return a.establishApp(ctx, q, ans, Connection{UserID: user, OrganizationID: organization}.
		named(a.called(ctx, q.EnvironmentURL, ans.access.Reveal(), user, organization)))
}

// directoryOf is the one directory to ask for the token: the environment's own.
func (a *Authorizer) directoryOf(ctx context.Context, q Request) (string, error) {
	if q.Tenant == "common" || q.Tenant == "organizations" {
		return "", invalid("tenant", "tenant must be one directory for client_credentials: its id "+
			"(GUID) or a verified "+
			"domain, not "+q.Tenant)
	}
	challenge := a.challenge(ctx, q.EnvironmentURL)
	switch {
	case guid.MatchString(q.Tenant) && guid.MatchString(challenge) && !same(q.Tenant, challenge):
		return "", foreignDirectory(challenge, q.Tenant)
	case guid.MatchString(challenge):
		// also where the request names a domain: only this directory's tokens are taken
		return strings.ToLower(challenge), nil
	case q.Tenant != "":
		return strings.ToLower(q.Tenant), nil
	case challenge != "" && challenge != "organizations":
		return strings.ToLower(challenge), nil
	case ctx.Err() != nil:
		return "", late(ctx, ctx.Err())
	}
	return "", invalid("tenant", "the environment does not say which directory it belongs to; give "+
		"tenant, a directory "+
		"id or a verified domain")
}

func foreignDirectory(challenge, asked string) *Error {
	return &Error{Code: CodeIdentityMismatch, Field: "tenant",
		Message: "the environment belongs to directory " + challenge + ", not to " + asked}
}

// withAppConsent tells where an administrator lets the application in.
func (a *Authorizer) withAppConsent(err error, q Request) error {
	if f, ok := errors.AsType[*Error](err); ok && f.Code == CodeConsentRequired {
		f.AdminConsentURL = a.entra.adminConsentURL(q.Tenant, q.EnvironmentURL+"/.default", a.RedirectURL())
	}
	return err
}

// appRefused says what lets the application into an environment.
func (a *Authorizer) appRefused(err error) error {
	f, ok := errors.AsType[*Error](err)
	if !ok || f.Code != CodePermissionDenied {
		return err
	}
	refused := *f
	refused.Message = "the environment does not let the application in; its administrator must create an application " +
		"user for application " +
		a.entra.id + " with a security role (Power Platform admin centre, environment, Settings, " +
		"Users + permissions, " +
		"Application users), which can take minutes to count"
	return &refused
}

// establishApp stores what has been checked. A first connection is pending for
// the moment between two writes, like one that a person makes.
func (a *Authorizer) establishApp(ctx context.Context, q Request, ans tokenResponse, who Connection) (Connection,
	error) {
	for range saveTries {
		old, err := a.prepare(ctx, q)
		if err != nil {
			return Connection{}, late(ctx, err)
		}
		if err := fits(old, q.EnvironmentURL, who.UserID, q.AllowUserChange); err != nil {
			return Connection{}, err
		}
		if old.Status == StatusPending { // nobody has used this incarnation yet
			a.clear(ctx, old.ID)
		}
		saved, err := a.store.saveChange(ctx, old.byApp(q, a.tables, ans, who), ChangeConnected)
		if err == nil {
			return saved.public(), nil
		}
		if !errors.Is(err, errConflict) {
			return Connection{}, late(ctx, err)
		}
	}
	return Connection{}, busy(q.Connection)
}

// byApp is the record with a grant of the application itself. Nobody at the customer is
// asked: the operator who listed the connection answers for the deployment's tables.
func (r record) byApp(q Request, tables []string, ans tokenResponse, who Connection) record {
	r.access, r.refresh, r.claims = ans.access, "", ""
	r.AccessTokenExpiresAt, r.RefreshedAt = ans.expires, ans.at
	r.Scopes, r.TenantID, r.Tables = []string{r.EnvironmentURL + "/.default"}, q.Tenant, tables
	r.DailyCalls = cmp.Or(q.DailyCalls, r.DailyCalls)
	r.Connection = r.actingAs(who)
	r.Status, r.LastError, r.Grant = StatusActive, "", GrantClientCredentials
	r.authorizedBy, r.forcedAt = "", time.Time{}
	return r
}
