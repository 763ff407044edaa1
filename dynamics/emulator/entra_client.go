package emulator

import (
	"crypto/subtle"
	"net/http"
	"net/url"
	"strings"
)

// assertionType is the only client_assertion_type (RFC 7523, section 2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// client authenticates the application: client_secret in the body, HTTP Basic with both halves
// form-encoded, or an assertion. It returns the appidacr claim: "0" for a public client, "1" for a
// secret, "2" for an assertion.
func (s *Server) client(r *http.Request, tenant string) (string, *entraError) {
	f := r.PostForm
	id, secret, assertion := f.Get("client_id"), f.Get("client_secret"), f.Get("client_assertion")
	if user, pass, ok := r.BasicAuth(); ok {
		basicID, err1 := url.QueryUnescape(user)
		basicSecret, err2 := url.QueryUnescape(pass)
		if err1 != nil || err2 != nil || (id != "" && id != basicID) {
			return "", refuse("invalid_request", 90023, "The Authorization header and the body disagree.")
		}
		id, secret = basicID, basicSecret
	}
	switch {
	case id == "":
		return "", missingField("client_id")
	case !strings.EqualFold(id, s.opts.ClientID):
		return "", s.unknownClient(id)
	case s.opts.PublicClient && (secret != "" || assertion != ""):
		return "", refuse("invalid_client", 700025,
			"Client is public so neither 'client_assertion' nor 'client_secret' should be presented.")
	case s.opts.PublicClient:
		return "0", nil
	case assertion != "":
		return "2", s.clientAssertion(r, tenant, assertion)
	case secret == "" && f.Get("grant_type") == "client_credentials":
		return "", refuse("invalid_client", 7000216,
			"'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.")
	case secret == "":
		return "", refuse("invalid_client", 7000218,
			"The request body must contain the following parameter: 'client_assertion' or 'client_secret'.")
	}
	return "1", s.clientSecret(id, secret)
}

func (s *Server) clientSecret(id, secret string) *entraError {
	if subtle.ConstantTimeCompare([]byte(secret), []byte(s.opts.ClientSecret)) != 1 {
		return refuse("invalid_client", 7000215,
			"Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '%s'.", id)
	}
	if s.rules.secretIsExpired() {
		return refuse("invalid_client", 7000222,
			"The provided client secret keys for app '%s' are expired. Visit the Azure portal to create new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: https://aka.ms/certCreds.", id)
	}
	return nil
}

// clientAssertion checks a JWT that the application signed itself, or one of an issuer that the application trusts.
func (s *Server) clientAssertion(r *http.Request, tenant, text string) *entraError {
	switch r.PostForm.Get("client_assertion_type") {
	case assertionType:
	case "":
		return missingField("client_assertion_type")
	default:
		return refuse("invalid_request", 70003,
			"The value of the parameter 'client_assertion_type' is not supported; it must be '%s'.", assertionType)
	}
	a, fail := parseAssertion(text)
	if fail != nil {
		s.tally.add(func(c *Counts) { c.Assertions["malformed"]++ })
		return fail
	}
	s.tally.add(func(c *Counts) { c.Assertions[a.header.Alg]++ })
	if strings.Contains(a.claims.Issuer, "://") { // an application's own assertion names its client id there
		return s.federated(a)
	}
	return s.certificateAssertion(r, tenant, a)
}
