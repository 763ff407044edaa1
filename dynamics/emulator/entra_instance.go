package emulator

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// The names of Microsoft's clouds, each with what stands for it in cloud_instance_name. Hosts that
// a test leads here by its own dialer are answered as the real ones are.
var clouds = []struct {
	name    string
	aliases []string // the preferred network first, the preferred cache second
}{
	{"microsoftonline.com", []string{"login.microsoftonline.com", "login.windows.net", "login.microsoft.com",
		"sts.windows.net"}},
	{"partner.microsoftonline.cn", []string{"login.partner.microsoftonline.cn", "login.partner.microsoftonline.cn",
		"login.chinacloudapi.cn"}},
	{"microsoftonline.us", []string{"login.microsoftonline.us", "login.microsoftonline.us", "login.usgovcloudapi.net"}},
}

func cloudName(authority string) string {
	_, host, _ := strings.Cut(authority, "://")
	for _, c := range clouds {
		if slices.Contains(c.aliases, host) {
			return c.name
		}
	}
	return clouds[0].name
}

// serveInstance is the instance discovery that Microsoft's clients ask first: whether a host is an
// authority, and by which other names it goes. They ask login.microsoftonline.com about hosts that
// they do not know.
func (s *Server) serveInstance(w http.ResponseWriter, r *http.Request) {
	t := newTrace(r, s.opts.Now())
	entraHeaders(w, r, t)
	s.tally.add(func(c *Counts) { c.Discovery["instance"]++ })
	w, done := s.fault(w, r, FaultDiscovery, t)
	if done {
		return
	}
	authority, tenant := s.authority(r), strings.ToLower(s.opts.TenantID)
	if about := r.URL.Query().Get("authorization_endpoint"); about != "" {
		u, err := url.Parse(about)
		if err != nil || !s.authorityHost(r, u) {
			refuse("invalid_instance", 50049, "Unknown or invalid instance.").write(w, authority, t)
			return
		}
		authority = u.Scheme + "://" + strings.ToLower(u.Host)
		if first, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/"); first != "" {
			tenant = first
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"tenant_discovery_endpoint": authority + "/" + tenant + "/v2.0/.well-known/openid-configuration",
		"api-version":               "1.1",
		"metadata":                  instances(authority),
	})
}

// authorityHost says whether the URL leads to this server, under a name that it knows.
func (s *Server) authorityHost(r *http.Request, u *url.URL) bool {
	if u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		return false
	}
	it := u.Scheme + "://" + strings.ToLower(u.Host)
	if it == s.authority(r) || it == origin(r) || loopback(u.Hostname()) {
		return true
	}
	return slices.ContainsFunc(clouds, func(c struct {
		name    string
		aliases []string
	}) bool {
		return slices.Contains(c.aliases, strings.ToLower(u.Host))
	})
}

func instances(authority string) []map[string]any {
	_, host, _ := strings.Cut(authority, "://")
	var out []map[string]any
	known := false
	for _, c := range clouds {
		known = known || slices.Contains(c.aliases, host)
		aliases := slices.Compact(slices.Clone(c.aliases))
		out = append(out, map[string]any{"preferred_network": c.aliases[0], "preferred_cache": c.aliases[1],
			"aliases": aliases})
	}
	if known {
		return out
	}
	return []map[string]any{{"preferred_network": host, "preferred_cache": host, "aliases": []string{host}}}
}
