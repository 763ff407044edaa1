package emulator

import (
	"net/http"
	"strings"
)

// serveConfiguration is the OpenID Connect metadata document.
func (s *Server) serveConfiguration(w http.ResponseWriter, r *http.Request, tenant string) {
	t := newTrace(r, s.opts.Now())
	entraHeaders(w, r, t)
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
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "client_secret_basic"},
		"response_modes_supported":              []string{"query", "fragment", "form_post"},
		"response_types_supported":              []string{"code"},
		"subject_types_supported":               []string{"pairwise"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"scopes_supported":                      []string{"openid", "profile", "email", "offline_access"},
		"claims_supported":                      []string{"sub", "iss", "aud", "exp", "iat", "nonce", "preferred_username", "name", "tid", "oid", "ver"},
		"request_uri_parameter_supported":       false,
		"tenant_region_scope":                   "EU",
		"cloud_instance_name":                   "microsoftonline.com",
	})
}

func (s *Server) issuer(r *http.Request) string {
	return s.authority(r) + "/" + strings.ToLower(s.opts.TenantID) + "/v2.0"
}

// serveKeys is the JSON Web Key Set.
func (s *Server) serveKeys(w http.ResponseWriter, r *http.Request, tenant string) {
	t := newTrace(r, s.opts.Now())
	entraHeaders(w, r, t)
	if _, fail := s.tenant(tenant); fail != nil {
		fail.write(w, s.authority(r), t)
		return
	}
	writeJSON(w, http.StatusOK, s.signer.jwks(s.issuer(r)))
}

// serveInstance is the instance discovery that Microsoft's clients ask first.
func (s *Server) serveInstance(w http.ResponseWriter, r *http.Request) {
	entraHeaders(w, r, newTrace(r, s.opts.Now()))
	_, host, _ := strings.Cut(s.authority(r), "://")
	writeJSON(w, http.StatusOK, map[string]any{
		"tenant_discovery_endpoint": s.authority(r) + "/" + strings.ToLower(s.opts.TenantID) + "/v2.0/.well-known/openid-configuration",
		"api-version":               "1.1",
		"metadata": []map[string]any{{
			"preferred_network": host, "preferred_cache": host, "aliases": []string{host},
		}},
	})
}
