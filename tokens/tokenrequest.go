package tokens

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// TokenRequest is one request to Entra's token endpoint, for metrics.
type TokenRequest struct {
	Grant    string // "authorization_code", "refresh_token" or "client_credentials"
	Code     string // "ok" or the code of the error
	AADSTS   int    // Entra's error number, 0 where there is none
	Duration time.Duration
}

// codeOK counts as the code of a request that succeeded.
const codeOK = "ok"

// RequestCodes lists what [TokenRequest].Code most often is, and Grants its grants.
func RequestCodes() []string {
	return []string{codeOK, CodeReauthorizationRequired, CodeConsentRequired, CodeThrottled, CodeConfigurationError,
		CodeUpstreamError, CodeUnavailable}
}

// Grants lists the grants of [TokenRequest].
func Grants() []string { return []string{GrantAuthorizationCode, grantRefresh, GrantClientCredentials} }

// tokenResponse is what the token endpoint gave.
type tokenResponse struct {
	access, refresh, id Secret
	scopes              []string
	at, expires         time.Time
}

// Format keeps fmt away from the tokens.
func (a tokenResponse) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "token response, "+redacted)
}

// redeem exchanges an authorization code. Errors are *Error.
func (e *Entra) redeem(ctx context.Context, tenant, environment, redirectURL string, code, verifier Secret) (
	tokenResponse, error,
) {
	c := e.config(tenant, environment, redirectURL)
	q := question{GrantAuthorizationCode, environment, c.Endpoint.TokenURL, []Secret{code, verifier}}
	return e.request(ctx, q, func(ctx context.Context, p proof) (*oauth2.Token, error) {
		c.ClientSecret = p.secret.Reveal()
		return c.Exchange(ctx, code.Reveal(), append(p.options(), oauth2.VerifierOption(verifier.Reveal()),
			oauth2.SetAuthURLParam("scope", strings.Join(c.Scopes, " ")))...)
	})
}

// renew uses a refresh token. The scope is sent along, so that the new token is
// for this environment whatever else the person consented to: a refresh token is
// bound to user and client, not to a resource. claims, where not "", are those
// that Microsoft asked for. Errors are *Error.
func (e *Entra) renew(ctx context.Context, tenant, environment string, refresh, claims Secret) (tokenResponse, error) {
	q := question{grantRefresh, environment, e.endpoint(tenant).TokenURL, []Secret{refresh}}
	extra := url.Values{"grant_type": {grantRefresh}, "refresh_token": {refresh.Reveal()}}
	return e.post(ctx, q, scopes(environment), withClaims(extra, claims))
}

func withClaims(form url.Values, claims Secret) url.Values {
	if claims != "" {
		form.Set("claims", claims.Reveal())
	}
	return form
}

// post asks with a form of which oauth2.Config can send only a part;
// clientcredentials.Config can send it all, with the grant type overridden.
func (e *Entra) post(ctx context.Context, q question, scopes []string, extra url.Values) (tokenResponse, error) {
	return e.request(ctx, q, func(ctx context.Context, p proof) (*oauth2.Token, error) {
		maps.Copy(extra, p.fields())
		c := &clientcredentials.Config{
			ClientID: e.id, ClientSecret: p.secret.Reveal(), TokenURL: q.tokenURL,
			AuthStyle: oauth2.AuthStyleInParams, Scopes: scopes, EndpointParams: extra,
		}
		return c.Token(ctx)
	})
}

// maxLife bounds expires_in; Entra's longest-lived tokens (continuous access
// evaluation) live up to 28 h.
const maxLife = 28 * time.Hour

// unknownLife is assumed for an answer without expires_in (Entra always sends
// one): short, so that a wrong guess costs a refresh and not a refused call.
const unknownLife = 5 * time.Minute

// grantRefresh is the grant type by which a person's grant is renewed.
const grantRefresh = "refresh_token"

// question is a token request apart from its form.
type question struct {
	grant, environment, tokenURL string
	sent                         []Secret // besides the proof
}

// request is the way of every token request. Nothing is sent for an environment
// that this installation does not serve, nor without a proof.
func (e *Entra) request(ctx context.Context, q question, ask func(context.Context, proof) (*oauth2.Token,
	error)) (tokenResponse, error) {
	if err := e.serves(q.environment); err != nil {
		f := newError(CodeConfigurationError,
			"this installation does not serve "+q.environment+", so that no token is "+
				"asked for", err)
		f.own = true
		return tokenResponse{}, f
	}
	p, err := e.prove(q.tokenURL)
	if err != nil {
		return tokenResponse{}, newError(CodeConfigurationError, err.Error(), nil)
	}
	begun := time.Now()
	t, err := ask(context.WithValue(ctx, oauth2.HTTPClient, e.client), p)
	var a tokenResponse
	if err == nil {
		a, err = readTokenResponse(t, begun, q.environment)
	} else {
		if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
			e.Close() // of idle connections that died the same way, each would cost a request
		}
		err = classify(q.grant, err)
	}
	seen := TokenRequest{Grant: q.grant, Code: codeOK, Duration: time.Since(begun)}
	if f, ok := errors.AsType[*Error](err); ok {
		seen.Code, seen.AADSTS = f.Code, f.AADSTS
		if f.claims != nil && echoes(f.claims(), append(q.sent, p.secret, p.assertion)...) {
			f.claims = nil
		}
	}
	e.observe(seen)
	return a, err
}

// readTokenResponse counts the life of the token from before the request was sent, so
// that it is never thought to live longer than it does.
func readTokenResponse(t *oauth2.Token, begun time.Time, environment string) (tokenResponse, error) {
	if !strings.EqualFold(t.Type(), "Bearer") {
		return tokenResponse{}, newError(CodeUpstreamError, "Entra answered with a token that is "+
			"not a bearer token", nil)
	}
	life := time.Until(t.Expiry).Round(time.Second)
	if t.Expiry.IsZero() || life <= 0 {
		life = unknownLife
	}
	a := tokenResponse{
		access: Secret(t.AccessToken), refresh: Secret(t.RefreshToken),
		at: begun.UTC(), expires: begun.Add(min(life, maxLife)).UTC(),
	}
	if s, ok := t.Extra("scope").(string); ok {
		a.scopes = ownScopes(strings.Fields(s), environment)
	}
	if s, ok := t.Extra("id_token").(string); ok {
		a.id = Secret(s)
	}
	return a, nil
}
