package dynamics

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// Challenge is what an environment says in a 401 about who issues its tokens.
// It comes from outside: the tenant is a hint to compare with, the URIs are for
// people to read and never to be called.
type Challenge struct {
	Tenant           string // directory id, domain or "organizations"
	AuthorizationURI string // as sent
	ResourceID       string // as sent, may be empty
}

// Challenge asks an allowed environment without a token, which it refuses with
// a challenge that names its tenant. An address without an environment is
// NotFound.
func (c *Client) Challenge(ctx context.Context, environment string) (Challenge, error) {
	const op = "challenge"
	origin, err := c.config.Hosts.Environment(environment)
	if err != nil {
		return Challenge{}, err
	}
	r := request{op: op, origin: origin, path: c.root(), read: func(*body) error {
		return pageFault("the environment answers without asking for a token")
	}}
	err = c.send(ctx, &r, "")
	e, ok := errors.AsType[*Error](err)
	switch {
	case !ok:
		return Challenge{}, unusable(op, "the environment did not refuse", err)
	case e.Status == http.StatusNotFound, e.Status == http.StatusBadRequest:
		e.Kind, e.Message = NotFound, "there is no environment at this address"
		return Challenge{}, e
	case e.Status != http.StatusUnauthorized:
		return Challenge{}, e
	}
	if challenge, found := tenantOf(e.challenges); found {
		return challenge, nil
	}
	return Challenge{}, &Error{Kind: Upstream, Op: op, Status: e.Status, RequestID: e.RequestID,
		Message: "the environment's challenge names no tenant"}
}

// tenantOf finds the tenant in WWW-Authenticate lines: the first segment of the
// path of authorization_uri. The v1 endpoint's "common" means any organization.
func tenantOf(lines []string) (Challenge, bool) {
	for _, line := range lines {
		p := bearerParameters(line)
		uri := p["authorization_uri"]
		if uri == "" {
			uri = p["authorization"]
		}
		u, err := url.Parse(uri)
		if uri == "" || err != nil || u.Host == "" || u.User != nil {
			continue
		}
		tenant, _, _ := strings.Cut(strings.TrimPrefix(u.EscapedPath(), "/"), "/")
		tenant = strings.ToLower(tenant)
		if !isTenant(tenant) {
			continue
		}
		if tenant == "common" {
			tenant = "organizations"
		}
		return Challenge{Tenant: tenant, AuthorizationURI: uri, ResourceID: p["resource_id"]}, true
	}
	return Challenge{}, false
}

func isTenant(s string) bool {
	if s == "" || len(s) > 253 || s[0] == '.' || s[0] == '-' {
		return false
	}
	return !strings.ContainsFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-'
	})
}

// claims takes the claims parameter of a continuous-access challenge.
func claims(h http.Header) string {
	for _, line := range h.Values("Www-Authenticate") {
		if c := bearerParameters(line)["claims"]; c != "" && len(c) <= 8<<10 {
			return c
		}
	}
	return ""
}

// bearerParameters reads the parameters of a Bearer challenge. Dataverse does not
// quote its values, others do; the first of two parameters of one name counts.
// A line of another scheme, or none, gives none.
func bearerParameters(line string) map[string]string {
	const scheme = "bearer "
	if len(line) > 16<<10 || len(line) <= len(scheme) || !strings.EqualFold(line[:len(scheme)], scheme) {
		return nil
	}
	out := map[string]string{}
	rest := line[len(scheme):]
	for rest != "" {
		var name, value string
		rest = strings.TrimLeft(rest, ", \t")
		equals := strings.IndexByte(rest, '=')
		if equals < 0 {
			break
		}
		name, rest = strings.ToLower(strings.TrimSpace(rest[:equals])), strings.TrimLeft(rest[equals+1:], " \t")
		if strings.HasPrefix(rest, `"`) {
			value, rest = quotedString(rest[1:])
		} else {
			end := strings.IndexAny(rest, ", \t")
			if end < 0 {
				end = len(rest)
			}
			value, rest = rest[:end], rest[end:]
		}
		if _, seen := out[name]; !seen {
			out[name] = value
		}
	}
	return out
}

// quotedString reads up to the closing quote, undoing backslashes.
func quotedString(s string) (value, rest string) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case s[i] == '"':
			return b.String(), s[i+1:]
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), ""
}
