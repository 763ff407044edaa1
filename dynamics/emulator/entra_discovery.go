package emulator

import (
	"net/http"
	"strings"
)

// serveConfiguration is the OpenID Connect metadata document.
func (s *Server) serveConfiguration(w http.ResponseWriter, r *http.Request, tenant string) {
	t := newTrace(r, s.opts.Now())
	entraHeaders(w, r, t)
	s.tally.add(func(c *Counts) { c.Discovery["openid-configuration"]++ })
	w, done := s.fault(w, r, FaultDiscovery, t)
	if done {
		return
	}
	if _, fail := s.tenant(tenant); fail != nil {
		fail.write(w, s.authority(r), t)
		return
	}
	base := s.authority(r) + "/" + tenant
	issuer := s.authority(r) + "/{tenantid}/v2.0" // as the shared endpoints have it
	switch strings.ToLower(tenant) {
	case "common", "organizations":
	default:
		issuer = s.issuer(r)
		base = s.authority(r) + "/" + strings.ToLower(s.opts.TenantID)
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                issuer,
		"authorization_endpoint":                base + "/oauth2/v2.0/authorize",
		"token_endpoint":                        base + "/oauth2/v2.0/token",
		"jwks_uri":                              base + "/discovery/v2.0/keys",
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "private_key_jwt", "client_secret_basic"},
		"response_modes_supported":              []string{"query", "fragment", "form_post"},
		"response_types_supported":              []string{"code"},
		"subject_types_supported":               []string{"pairwise"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"scopes_supported":                      []string{"openid", "profile", "email", "offline_access"},
		"claims_supported": []string{"sub", "iss", "aud", "exp", "iat", "nonce", "preferred_username",
			"name", "tid", "oid", "ver"},
		"request_uri_parameter_supported": false,
		"tenant_region_scope":             "EU",
		"cloud_instance_name":             cloudName(s.authority(r)),
	})
}

func (s *Server) issuer(r *http.Request) string {
	return s.authority(r) + "/" + strings.ToLower(s.opts.TenantID) + "/v2.0"
}

// serveKeys is the JSON Web Key Set.
func (s *Server) serveKeys(w http.ResponseWriter, r *http.Request, tenant string) {
	t := newTrace(r, s.opts.Now())
	entraHeaders(w, r, t)
	s.tally.add(func(c *Counts) { c.Discovery["keys"]++ })
	w, done := s.fault(w, r, FaultDiscovery, t)
	if done {
		return
	}
	if _, fail := s.tenant(tenant); fail != nil {
		fail.write(w, s.authority(r), t)
		return
	}
	writeJSON(w, http.StatusOK, s.signer.jwks(s.issuer(r)))
}
