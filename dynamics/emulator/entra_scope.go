package emulator

import (
	"net/http"
	"slices"
	"strings"
)

// scopeSet is a parsed scope parameter.
type scopeSet struct {
	resource string   // as written, so with the slash where it was doubled; empty when only OIDC scopes were asked for
	names    []string // scope names at the resource; ".default" stands alone
	oidc     []string // openid, profile, email, offline_access in the order asked
}

func (s scopeSet) has(oidc string) bool { return slices.Contains(s.oidc, oidc) }

func (s scopeSet) isDefault() bool { return len(s.names) == 1 && s.names[0] == ".default" }

// granted is the scope member of a token response. offline_access is never in it: the refresh token
// itself says so. The .default form brings what it stands for and itself, so that clients which
// compare it with what they asked for find nothing declined.
func (s scopeSet) granted() string {
	oidc := slices.DeleteFunc(slices.Clone(s.oidc), func(o string) bool { return o == "offline_access" })
	return strings.Join(append(s.atResource(), oidc...), " ")
}

// agreed is what the person sees on the sign-in page.
func (s scopeSet) agreed() string { return strings.Join(append(s.atResource(), s.oidc...), " ") }

func (s scopeSet) atResource() []string {
	var out []string
	if s.resource != "" {
		out = append(out, s.resource+"/user_impersonation")
		if s.isDefault() {
			out = append(out, s.resource+"/.default")
		}
	}
	return out
}

const graph = "https://graph.microsoft.com"

// parseScopes applies the rules of section 1.6: the resource is the scope without its last path segment.
func (s *Server) parseScopes(r *http.Request, text string) (scopeSet, *entraError) {
	var set scopeSet
	for _, f := range strings.Fields(text) {
		switch f {
		case "openid", "profile", "email", "offline_access":
			if !set.has(f) {
				set.oidc = append(set.oidc, f)
			}
			continue
		}
		resource, name, ok := cutLast(f, "/")
		if !ok {
			resource, name = graph, f
		}
		if name == "" || resource == "" {
			return set, badScope(text, f)
		}
		if set.resource != "" && set.resource != resource {
			if name == ".default" || set.isDefault() {
				return set, mixedDefault(text)
			}
			return set, refuse("invalid_scope", 700022,
				"The provided value for the input parameter scope can't be empty when requesting an access token using the provided authorization code, and must not name more than one resource.")
		}
		set.resource = resource
		if !slices.Contains(set.names, name) {
			set.names = append(set.names, name)
		}
	}
	if slices.Contains(set.names, ".default") && len(set.names) > 1 {
		return set, mixedDefault(text)
	}
	return set, s.checkResource(r, set)
}

func (s *Server) checkResource(r *http.Request, set scopeSet) *entraError {
	if set.resource == "" {
		return nil
	}
	if !s.knownResource(r, set.resource) {
		return refuse("invalid_resource", 500011,
			"The resource principal named %s was not found in the tenant named Contoso. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You might have sent your authentication request to the wrong tenant.", set.resource)
	}
	for _, n := range set.names {
		if n != ".default" && n != "user_impersonation" {
			return refuse("invalid_client", 650053,
				"The application 'crmbridge' asked for scope '%s' that doesn't exist on the resource '00000007-0000-0000-c000-000000000000'. Contact the app vendor.", n)
		}
	}
	return nil
}

func badScope(all, one string) *entraError {
	return refuse("invalid_scope", 70011, "The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is not valid. The scope %s is not valid. (%s)", all, one)
}

func mixedDefault(all string) *entraError {
	return refuse("invalid_scope", 70011, "The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is not valid. The scope %s is not valid. .default scope can't be combined with resource-specific scopes.", all)
}
