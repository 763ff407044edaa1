package tokens

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// EntraConfig says which Entra ID application crmbridge is.
type EntraConfig struct {
	// Authority is the origin of the cloud's login host; "" means
	// https://login.microsoftonline.com. Tokens are asked for there and nowhere else.
	Authority string
	ClientID  string // application (client) id; required
	// Exactly one of the next three is how the application proves itself.
	ClientSecret Secret
	// ClientCertificateFile is PEM with a registered certificate and its RSA key.
	// It is read again when it changes.
	ClientCertificateFile string
	// FederatedTokenFile holds a JWT that the platform makes and renews (workload
	// identity federation). It is read for every request.
	FederatedTokenFile string
	// Apps are the environments, by connection, that client_credentials may be
	// used for.
	Apps map[string]string
	// Serves says whether this installation may handle an environment; its error
	// ends a token request before it is sent. nil means every environment.
	Serves func(environment string) error
	// AllowHTTP permits plain http for a loopback authority (an emulator on this machine).
	AllowHTTP bool
	// Timeout bounds one token request; 0 means 20 s.
	Timeout time.Duration
	// Transport is used for token requests; nil means an own one with TLS 1.2 and time-outs.
	Transport http.RoundTripper
	// Observe is told about every token request; nil means nobody. It must not block.
	Observe func(TokenRequest)
	// Log hears about certificates; nil discards.
	Log *slog.Logger
}

// TokenRequest is one request to Entra's token endpoint, for metrics.
type TokenRequest struct {
	Grant    string // "authorization_code", "refresh_token" or "client_credentials"
	Code     string // "ok" or the code of the error
	AADSTS   int    // Entra's error number, 0 where there is none
	Duration time.Duration
}

// Entra asks Microsoft Entra ID's v2.0 endpoints for tokens. Safe for concurrent use.
type Entra struct {
	authority string
	id        string
	prove     prover
	apps      map[string]string
	serves    func(environment string) error
	client    *http.Client
	own       *http.Transport // nil when the caller gave a transport
	observe   func(TokenRequest)
}

// NewEntra checks the configuration; all faults come in one error.
func NewEntra(c EntraConfig) (*Entra, error) {
	var faults []error
	authority, err := checkAuthority(c.Authority, c.AllowHTTP)
	if err != nil {
		faults = append(faults, err)
	}
	if c.ClientID == "" || len(c.ClientID) > 100 || strings.ContainsAny(c.ClientID, " \t\r\n") {
		faults = append(faults, errors.New("ENTRA_CLIENT_ID must be the application (client) id of the app registration"))
	}
	prove, err := c.prover()
	if err != nil {
		faults = append(faults, err)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	e := &Entra{authority: authority, id: c.ClientID, prove: prove, apps: maps.Clone(c.Apps), serves: c.Serves, observe: c.Observe}
	if e.serves == nil {
		e.serves = func(string) error { return nil }
	}
	if e.observe == nil {
		e.observe = func(TokenRequest) {}
	}
	transport := c.Transport
	if transport == nil {
		e.own = newEntraTransport()
		transport = e.own
	}
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = 20 * time.Second
	}
	e.client = &http.Client{
		Transport: transport, Timeout: timeout,
		// A redirect would carry the secret and the code to another place.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return e, nil
}

// newEntraTransport is for few requests, each of which somebody waits for.
func newEntraTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    5 * time.Second,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        60 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		// All requests share one HTTP/2 connection. Where it died without a sign it is
		// found out before the time-out of the first request that is lost on it.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second},
	}
}

// Close gives back idle connections.
func (e *Entra) Close() {
	if e.own != nil {
		e.own.CloseIdleConnections()
	}
}

// Format writes authority and client id, never the secret.
func (e *Entra) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "entra application "+e.id+" at "+e.authority)
}

func checkAuthority(raw string, allowHTTP bool) (string, error) {
	if raw == "" {
		raw = "https://login.microsoftonline.com"
	}
	origin, err := checkOrigin(raw, allowHTTP)
	if err != nil {
		return "", fmt.Errorf("ENTRA_AUTHORITY_URL %w, for example https://login.microsoftonline.com", err)
	}
	return origin, nil
}

// checkOrigin accepts an https origin, or an http one on a loopback host where
// that is allowed, and returns it without a trailing slash.
func checkOrigin(raw string, allowHTTP bool) (string, error) {
	u, err := url.Parse(strings.TrimSuffix(raw, "/"))
	if err != nil || u.Host == "" || u.Path != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" || u.ForceQuery {
		return "", errors.New("must be an origin: scheme and host, nothing else")
	}
	switch {
	case u.Scheme == "https":
	case u.Scheme == "http" && allowHTTP && loopback(u.Hostname()):
	default:
		return "", errors.New("must use https (http only for loopback addresses and where it is allowed)")
	}
	return u.Scheme + "://" + strings.ToLower(u.Host), nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

var (
	guid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	// A verified domain: at least two labels.
	domain = regexp.MustCompile(`^([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)+[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])$`)
)

// validTenant checks what becomes a path segment at the authority.
func validTenant(t string) bool {
	return t == "organizations" || t == "common" || guid.MatchString(t) || len(t) <= 253 && domain.MatchString(t)
}

// scopes of a delegated grant for one environment: one resource, which Entra
// demands, and offline_access without which there is no refresh token.
func scopes(environment string) []string {
	return []string{userScope(environment), "offline_access", "openid", "profile"}
}

func userScope(environment string) string { return environment + "/user_impersonation" }

func (e *Entra) endpoint(tenant string) oauth2.Endpoint {
	if tenant == "" {
		tenant = "organizations"
	}
	base := e.authority + "/" + tenant + "/oauth2/v2.0/"
	return oauth2.Endpoint{AuthURL: base + "authorize", TokenURL: base + "token", AuthStyle: oauth2.AuthStyleInParams}
}

func (e *Entra) config(tenant, environment, redirectURL string) *oauth2.Config {
	return &oauth2.Config{
		ClientID: e.id, Endpoint: e.endpoint(tenant),
		RedirectURL: redirectURL, Scopes: scopes(environment),
	}
}

// adminConsentURL is where an administrator of tenant consents for everybody.
// https://learn.microsoft.com/entra/identity-platform/v2-admin-consent
func (e *Entra) adminConsentURL(tenant, scope, redirectURL string) string {
	if tenant == "" || tenant == "common" {
		tenant = "organizations" // the endpoint does not know "common"
	}
	q := url.Values{
		"client_id": {e.id}, "redirect_uri": {redirectURL},
		"scope": {scope}, "state": {random(16)},
	}
	return e.authority + "/" + tenant + "/v2.0/adminconsent?" + q.Encode()
}

// answer is a token response.
type answer struct {
	access, refresh, id Secret
	scopes              []string
	at, expires         time.Time
}

// Format keeps fmt away from the tokens.
func (a answer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "token answer, "+redacted) }

// redeem exchanges an authorization code. Errors are *Error.
func (e *Entra) redeem(ctx context.Context, tenant, environment, redirectURL string, code, verifier Secret) (answer, error) {
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
func (e *Entra) renew(ctx context.Context, tenant, environment string, refresh, claims Secret) (answer, error) {
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
func (e *Entra) post(ctx context.Context, q question, scopes []string, extra url.Values) (answer, error) {
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
	sent                         []Secret // beside the proof
}

// request is the way of every token request. Nothing is sent for an environment
// that this installation does not serve, nor without a proof.
func (e *Entra) request(ctx context.Context, q question, ask func(context.Context, proof) (*oauth2.Token, error)) (answer, error) {
	if err := e.serves(q.environment); err != nil {
		f := newError(CodeConfigurationError, "this installation does not serve "+q.environment+", so that no token is asked for", err)
		f.own = true
		return answer{}, f
	}
	p, err := e.prove(q.tokenURL)
	if err != nil {
		return answer{}, newError(CodeConfigurationError, err.Error(), nil)
	}
	begun := time.Now()
	t, err := ask(context.WithValue(ctx, oauth2.HTTPClient, e.client), p)
	var a answer
	if err == nil {
		a, err = readAnswer(t, begun, q.environment)
	} else {
		if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
			e.Close() // of idle connections that died the same way, each would cost a request
		}
		err = classify(q.grant, err)
	}
	seen := TokenRequest{Grant: q.grant, Code: "ok", Duration: time.Since(begun)}
	if f, ok := errors.AsType[*Error](err); ok {
		seen.Code, seen.AADSTS = f.Code, f.AADSTS
		if f.claims != nil && echoes(f.claims(), append(q.sent, p.secret, p.assertion)...) {
			f.claims = nil
		}
	}
	e.observe(seen)
	return a, err
}

// readAnswer counts the life of the token from before the request was sent, so
// that it is never thought to live longer than it does.
func readAnswer(t *oauth2.Token, begun time.Time, environment string) (answer, error) {
	if !strings.EqualFold(t.Type(), "Bearer") {
		return answer{}, newError(CodeUpstreamError, "Entra answered with a token that is not a bearer token", nil)
	}
	life := time.Until(t.Expiry).Round(time.Second)
	if t.Expiry.IsZero() || life <= 0 {
		life = unknownLife
	}
	a := answer{
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
