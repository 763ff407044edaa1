package emulator

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// DefaultFederatedAudience is what a federated token must be for, unless the credential says otherwise.
const DefaultFederatedAudience = "api://AzureADTokenExchange"

// FederatedCredential lets tokens of another issuer stand for the application, as workload identity federation does
// (https://learn.microsoft.com/entra/workload-id/workload-identity-federation).
type FederatedCredential struct {
	// Issuer and Subject must equal iss and sub, case included. Issuer is an https URL, such as a cluster's.
	Issuer, Subject string
	// Audience is DefaultFederatedAudience when empty.
	Audience string
	// Keys are the issuer's RSA keys by kid; they are given here because the emulator calls nobody.
	// Entra takes RS256 only.
	Keys map[string]*rsa.PublicKey
}

func (c FederatedCredential) audience() string {
	if c.Audience == "" {
		return DefaultFederatedAudience
	}
	return c.Audience
}

func (c FederatedCredential) check() error {
	u, err := url.Parse(c.Issuer)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("emulator: a federated credential's issuer %q is not an https URL", c.Issuer)
	case c.Subject == "":
		return errors.New("emulator: a federated credential has no subject")
	case len(c.Keys) == 0:
		return fmt.Errorf("emulator: the federated issuer %s has no keys", c.Issuer)
	}
	for kid, k := range c.Keys {
		if k == nil {
			return fmt.Errorf("emulator: key %q of the federated issuer %s is nil", kid, c.Issuer)
		}
	}
	return nil
}

// federated checks a token of an issuer that the application trusts. Each of the three members has
// a number of its own; before 2024 all were 70021.
func (s *Server) federated(a *assertion) *entraError {
	const see = " Check your federated identity credential Subject, Audience and Issuer against the presented assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
	creds := slices.Clone(s.opts.FederatedCredentials)
	keep := func(f func(FederatedCredential) bool) bool {
		creds = slices.DeleteFunc(creds, func(c FederatedCredential) bool { return !f(c) })
		return len(creds) > 0
	}
	none := func(number int, what, value string) *entraError {
		if len(value) > 200 {
			value = value[:200]
		}
		return refuse("invalid_client", number,
			"No matching federated identity record found for presented assertion %s '%s'."+see, what,
			strings.Map(printable, value))
	}
	if !keep(func(c FederatedCredential) bool { return c.Issuer == a.claims.Issuer }) {
		return none(700211, "issuer", a.claims.Issuer)
	}
	if !keep(func(c FederatedCredential) bool { return slices.Contains(a.claims.Audience, c.audience()) }) {
		return none(700212, "audience", strings.Join(a.claims.Audience, " "))
	}
	if !keep(func(c FederatedCredential) bool { return c.Subject == a.claims.Subject }) {
		return none(700213, "subject", a.claims.Subject)
	}
	if a.header.Alg != "RS256" {
		return malformedJWT("Tokens of a federated issuer must be signed with RS256.")
	}
	key, ok := creds[0].Keys[a.header.Kid]
	switch {
	case !ok:
		return s.badSignature(a.header, "The key was not found.", nil)
	case !a.signedBy(key):
		return s.badSignature(a.header, "The provided signature value did not match the expected signature value.", nil)
	}
	if fail := a.inTime(s.opts.Now()); fail != nil {
		return fail
	}
	return s.once(a)
}
