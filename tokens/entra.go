package tokens

import (
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
	// Observe is called after every token request; nil means nobody. It must not block.
	Observe func(TokenRequest)
	// Log hears about certificates; nil discards.
	Log *slog.Logger
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
		faults = append(faults, errors.New("ENTRA_CLIENT_ID must be the application (client) id of "+
			"the app registration"))
	}
	prove, err := c.prover()
	if err != nil {
		faults = append(faults, err)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	e := &Entra{authority: authority, id: c.ClientID, prove: prove, apps: maps.Clone(c.Apps), serves: c.Serves,
		observe: c.Observe}
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

var (
	guid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	// A verified domain: at least two labels.
	domain = regexp.MustCompile(`^([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)+` +
		`[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])$`)
)

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
