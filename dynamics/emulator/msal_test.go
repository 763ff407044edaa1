package emulator_test

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	msalerrors "github.com/AzureAD/microsoft-authentication-library-for-go/apps/errors"
	"golang.org/x/oauth2"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

// The names under which one listener is reached: Microsoft's own, and one that Microsoft's client does not know.
const (
	microsoftHost   = "https://login.microsoftonline.com"
	ownHost         = "https://login.contoso.example"
	environmentHost = "https://contoso.crm4.dynamics.com"
)

func (g *site) client(t testing.TB, authority string, cred confidential.Credential,
	options ...confidential.Option) confidential.Client {
	t.Helper()
	c, err := confidential.New(authority, emulator.DefaultClientID, cred,
		append([]confidential.Option{confidential.WithHTTPClient(g.msal)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func secretCredential(t testing.TB, secret string) confidential.Credential {
	t.Helper()
	cred, err := confidential.NewCredFromSecret(secret)
	if err != nil {
		t.Fatal(err)
	}
	return cred
}

func certificateCredential(t testing.TB, id identity) confidential.Credential {
	t.Helper()
	cred, err := confidential.NewCredFromCert([]*x509.Certificate{id.cert}, crypto.PrivateKey(id.key))
	if err != nil {
		t.Fatal(err)
	}
	return cred
}

// signIn takes Microsoft's client through the authorization code flow with PKCE.
func (g *site) signIn(t testing.TB, c confidential.Client, scope string) confidential.AuthResult {
	t.Helper()
	verifier := oauth2.GenerateVerifier()
	address, err := c.AuthCodeURL(t.Context(), emulator.DefaultClientID, emulator.DefaultRedirectURI, []string{scope},
		confidential.WithLoginHint(emulator.DefaultUser))
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("code_challenge", oauth2.S256ChallengeFromVerifier(verifier))
	q.Set("code_challenge_method", "S256")
	u.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := g.web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	back, err := res.Location()
	if err != nil || back.Query().Get("code") == "" {
		t.Fatalf("authorize: %d %v", res.StatusCode, back)
	}
	out, err := c.AcquireTokenByAuthCode(t.Context(), back.Query().Get("code"), emulator.DefaultRedirectURI,
		[]string{scope}, confidential.WithChallenge(verifier))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Microsoft's client must find nothing wrong, whichever name the authority goes by.
func TestMSALCodeThenSilentThenRefresh(t *testing.T) {
	for name, authority := range map[string]string{"loopback": "", "a name of its own": ownHost, "Microsoft's name": microsoftHost, "many tenants": microsoftHost} {
		t.Run(name, func(t *testing.T) {
			o := emulator.Options{AutoConsent: true, Accounts: 3}
			if authority == ownHost {
				o.AuthorityURL = ownHost // instance discovery then asks Microsoft's name about it
			}
			g := startTLS(t, o)
			g.T = t
			resource := environmentHost
			options := []confidential.Option{confidential.WithInstanceDiscovery(true)}
			if authority == "" {
				authority, resource = g.url, g.url
				options[0] = confidential.WithInstanceDiscovery(false)
			}
			tenant := emulator.DefaultTenantID
			if name == "many tenants" {
				tenant = "organizations"
			}
			c := g.client(t, authority+"/"+tenant, secretCredential(t, emulator.DefaultClientSecret), options...)
			g.s.Control().SetAccessTokenLifetime(2 * time.Minute) // within MSAL's five minutes of "expired"
			scope := resource + "/user_impersonation"
			first := g.signIn(t, c, scope)
			if first.Account.PreferredUsername != emulator.DefaultUser || first.IDToken.TenantID != emulator.DefaultTenantID ||
				len(first.DeclinedScopes) != 0 {
				t.Errorf("account %+v, tenant %s, declined %v", first.Account, first.IDToken.TenantID, first.DeclinedScopes)
			}
			silent := func() confidential.AuthResult {
				t.Helper()
				r, err := c.AcquireTokenSilent(t.Context(), []string{scope}, confidential.WithSilentAccount(first.Account))
				if err != nil {
					t.Fatal(err)
				}
				return r
			}
			g.s.Control().SetAccessTokenLifetime(0)
			second := silent()
			if n := g.s.Control().Counts().Tokens; second.AccessToken == first.AccessToken || n["refresh_token"] != 1 {
				t.Fatalf("the token was not refreshed: %v", n)
			}
			if third := silent(); third.AccessToken != second.AccessToken ||
				g.s.Control().Counts().Tokens["refresh_token"] != 1 {
				t.Error("the cache was not used")
			}
			if r := g.do("GET", resource+"/api/data/v9.2/WhoAmI", second.AccessToken, nil); r.status != 200 {
				t.Errorf("WhoAmI: %d %s", r.status, r.body)
			}
			found := g.s.Control().Counts().Discovery
			if found["openid-configuration"] != 1 || (found["instance"] > 0) != (name != "loopback") {
				t.Errorf("discovery: %v", found)
			}
			g.s.Control().SetAccessTokenLifetime(2 * time.Minute)
			c = g.client(t, authority+"/"+tenant, secretCredential(t, emulator.DefaultClientSecret), options...) // with an empty cache
			g.signIn(t, c, scope)
			g.s.Control().RevokeRefreshTokens(emulator.DefaultUser)
			_, err := c.AcquireTokenSilent(t.Context(), []string{scope}, confidential.WithSilentAccount(first.Account))
			if err == nil || !strings.Contains(err.Error(), "AADSTS50173") {
				t.Errorf("after the revocation: %v", err)
			}
		})
	}
}

// What a person must do about it reaches the caller, and doing it helps.
func TestMSALWhenASecondFactorIsRequired(t *testing.T) {
	g := startTLS(t, emulator.Options{AutoConsent: true, Accounts: -1})
	c := g.client(t, microsoftHost+"/"+emulator.DefaultTenantID, secretCredential(t, emulator.DefaultClientSecret))
	scope := environmentHost + "/user_impersonation"
	g.s.Control().SetAccessTokenLifetime(2 * time.Minute)
	account := g.signIn(t, c, scope).Account
	g.s.Control().RequireMFA(emulator.DefaultUser, true)
	_, err := c.AcquireTokenSilent(t.Context(), []string{scope}, confidential.WithSilentAccount(account))
	e, ok := errors.AsType[msalerrors.CallErr](err)
	if !ok || e.Resp.StatusCode != http.StatusBadRequest || !strings.Contains(e.Err.Error(), "AADSTS50076:") ||
		!strings.Contains(e.Err.Error(), "capolids") {
		t.Errorf("got %v", err)
	}
	g.signIn(t, c, scope)
	if _, err := c.AcquireTokenSilent(t.Context(), []string{scope}, confidential.WithSilentAccount(account)); err != nil {
		t.Errorf("after signing in again: %v", err)
	}
}

func TestMSALRefusesAnUnknownInstance(t *testing.T) {
	g := startTLS(t, emulator.Options{Accounts: -1}) // without AuthorityURL the name is nobody's
	c := g.client(t, ownHost+"/"+emulator.DefaultTenantID, secretCredential(t, emulator.DefaultClientSecret))
	_, err := c.AcquireTokenByCredential(t.Context(), []string{environmentHost + "/.default"})
	if err == nil || !strings.Contains(err.Error(), "invalid_instance") {
		t.Errorf("got %v", err)
	}
}

func TestMSALCredentials(t *testing.T) {
	id, stranger := certify(t, "crmbridge", time.Now(), nil), certify(t, "stranger", time.Now(), nil)
	issuer := certify(t, "cluster", time.Now(), nil)
	g := startTLS(t, emulator.Options{Accounts: 3, ClientCertificates: []*x509.Certificate{id.cert},
		FederatedCredentials: []emulator.FederatedCredential{
			{Issuer: "https://oidc.example/cluster", Subject: "system:serviceaccount:crm:crmbridge", Keys: map[string]*rsa.PublicKey{"k1": &issuer.key.PublicKey}}}})
	g.T = t
	federated := func(subject string) confidential.Credential {
		return confidential.NewCredFromAssertionCallback(
			func(context.Context, confidential.AssertionRequestOptions) (string, error) {
				return signJWT(issuer.key, "RS256", map[string]any{"kid": "k1"},
					map[string]any{"iss": "https://oidc.example/cluster", "sub": subject,
						"aud": []string{emulator.DefaultFederatedAudience}, "exp": time.Now().Add(time.Minute).Unix()}), nil
			})
	}
	for _, c := range []struct {
		name   string
		cred   confidential.Credential
		option []confidential.Option
		number string // of the refusal; empty means a token
	}{
		{"another secret", secretCredential(t, "wrong"), nil, "AADSTS7000215"},
		{"another certificate", certificateCredential(t, stranger), nil, "AADSTS700027"},
		{"another certificate, sent along", certificateCredential(t, stranger), []confidential.Option{confidential.WithX5C()}, "AADSTS700030"},
		{"another workload", federated("system:serviceaccount:crm:other"), nil, "AADSTS700213"},
		{"the secret", secretCredential(t, emulator.DefaultClientSecret), nil, ""},
		{"the certificate", certificateCredential(t, id), nil, ""},
		{"the certificate, sent along", certificateCredential(t, id), []confidential.Option{confidential.WithX5C()}, ""},
		{"the workload", federated("system:serviceaccount:crm:crmbridge"), nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := g.client(t, microsoftHost+"/"+emulator.DefaultTenantID, c.cred, c.option...)
			got, err := client.AcquireTokenByCredential(t.Context(), []string{environmentHost + "/.default"})
			if c.number != "" {
				e, ok := errors.AsType[msalerrors.CallErr](err)
				if !ok || e.Resp.StatusCode != http.StatusUnauthorized || !strings.Contains(e.Err.Error(), c.number+":") {
					t.Fatalf("want %s, got %v", c.number, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if r := g.do("GET", environmentHost+"/api/data/v9.2/WhoAmI", got.AccessToken, nil); r.status != 200 {
				t.Errorf("WhoAmI: %d %s", r.status, r.body)
			}
			again, err := client.AcquireTokenByCredential(t.Context(), []string{environmentHost + "/.default"})
			if err != nil || again.AccessToken != got.AccessToken {
				t.Errorf("the cache was not used: %v", err)
			}
		})
	}
}
