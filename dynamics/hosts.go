package dynamics

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
)

// HostPolicy decides to which hosts this process may talk as to a Dataverse
// environment. Its methods are safe for concurrent use and ask no DNS.
type HostPolicy struct {
	entries   []hostEntry
	cloud     cloud // of the authority; zero where that is not Microsoft's
	allowHTTP bool

	mu    sync.Mutex
	known map[string]string // origins that are allowed, as they were written → canonical
}

// maxKnownHosts bounds the origins that are remembered: each call begins with one.
const maxKnownHosts = 4096

// hostEntry is one operator's entry: an exact host with port, or a suffix.
type hostEntry struct {
	host   string // canonical host, or the suffix without "*."
	port   string // "" means the scheme's own
	suffix bool
}

// NewHostPolicy reads the operator's list of hosts. Entries are "host",
// "host:port" or "*.suffix" (any number of labels in front of the suffix). An
// empty list means the Dataverse hosts of the cloud that the Entra authority
// serves; hosts of another cloud are refused although they are listed. With
// allowHTTP a listed loopback host may be reached over plain http. All faults are
// reported together.
func NewHostPolicy(authorityURL string, allowed []string, allowHTTP bool) (*HostPolicy, error) {
	c, err := cloudOf(authorityURL)
	p := &HostPolicy{allowHTTP: allowHTTP, cloud: c}
	var faults []error
	switch {
	case err != nil:
		faults = append(faults, err)
	case len(allowed) == 0 && c.name == "":
		faults = append(faults, errors.New("dynamics: the Dataverse hosts of this authority are not known; list "+
			"them as host, host:port or *.suffix"))
	}
	for _, raw := range allowed {
		entry, err := parseHostEntry(strings.TrimSpace(raw))
		if err == nil {
			if c, other := p.foreign(entry.host); other {
				err = fmt.Errorf("dynamics: allowed host %q: %w", raw, p.elsewhere(c))
			}
		}
		if err != nil {
			faults = append(faults, err)
			continue
		}
		p.entries = append(p.entries, entry)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return p, nil
}

func parseHostEntry(raw string) (hostEntry, error) {
	fault := func(why string) (hostEntry, error) {
		return hostEntry{}, fmt.Errorf("dynamics: allowed host %q: %s; right would be org.crm4.dynamics.com, "+
			"127.0.0.1:8443 or *.crm4.dynamics.com", raw, why)
	}
	if raw == "" {
		return fault("is empty")
	}
	text, suffix := strings.CutPrefix(raw, "*.")
	if strings.Contains(text, "://") {
		return fault("has a scheme")
	}
	host, port, err := splitAuthority(text)
	if err != nil {
		return fault(err.Error())
	}
	if suffix {
		if port != "" {
			return fault("a suffix takes no port")
		}
		if _, isIP := parseIP(host); isIP || strings.Count(host, ".") < 1 {
			return fault("a suffix needs two labels at least")
		}
	}
	if strings.HasSuffix(host, ".") {
		return fault("ends in a dot")
	}
	return hostEntry{host: dropAPILabel(host, suffix), port: port, suffix: suffix}, nil
}

// Environment checks that raw is the origin of an environment that this process
// may talk to, and returns its canonical form: scheme and lower-case host
// without the "api" label, without trailing slash or default port. A refusal is
// an [Error] of kind Invalid whose message says what would be right; it does not
// repeat raw, which might hold a password.
func (p *HostPolicy) Environment(raw string) (string, error) {
	p.mu.Lock()
	canonical, ok := p.known[raw]
	p.mu.Unlock()
	if ok {
		return canonical, nil
	}
	canonical, err := p.environment(raw)
	if err != nil {
		return "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil || len(p.known) >= maxKnownHosts {
		p.known = map[string]string{} // they are soon known again
	}
	p.known[strings.Clone(raw)] = canonical // of what it may be part of nothing is kept
	return canonical, nil
}

func (p *HostPolicy) environment(raw string) (string, error) {
	o, err := parseOrigin(raw)
	if err != nil {
		return "", refuse("environment", "", "environment URL: %s; %s", err, p.right(raw))
	}
	if c, other := p.foreign(o.host); other {
		return "", refuse("environment", "", "environment URL: %s", p.elsewhere(c))
	}
	listed := p.listed(o)
	switch {
	case o.scheme == "http" && !p.allowHTTP:
		return "", refuse("environment", "", "environment URL: plain http is not allowed; use https")
	case o.scheme == "http" && !o.loopback():
		return "", refuse("environment", "", "environment URL: plain http is for this machine's loopback "+
			"addresses only; use https")
	case !listed:
		return "", refuse("environment", "", "environment URL: the host is not one of the Dataverse hosts that "+
			"this installation may use; %s", p.right(raw))
	}
	return o.String(), nil
}

// right says what would be right in the place of raw: its own host where that is allowed, which holds
// no secret then; else the form of what is, without the names of other customers' environments.
func (p *HostPolicy) right(raw string) string {
	_, rest, found := strings.Cut(raw, "://")
	if !found {
		rest = raw
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	for _, scheme := range []string{"http://", "https://"} {
		o, err := parseOrigin(scheme + rest[:end])
		if err == nil && p.listed(o) && (scheme == "https://" || p.allowHTTP && o.loopback()) {
			return "right would be " + o.String()
		}
	}
	for _, e := range p.entries {
		switch o := (origin{scheme: "http", host: e.host, port: e.port}); {
		case e.suffix:
			return "right would be https://ORG." + e.host
		case p.allowHTTP && o.loopback():
			return "right would be " + o.String()
		}
	}
	if len(p.entries) > 0 {
		return "its operator has listed those hosts"
	}
	return "right would be https://ORG.crm." + p.cloud.domains[0]
}

func (p *HostPolicy) listed(o origin) bool {
	for _, e := range p.entries {
		switch {
		case e.suffix && o.port == "" && strings.HasSuffix(o.host, "."+e.host):
			return true
		case !e.suffix && e.host == o.host && (e.port == o.port || e.port == defaultPort(o.scheme) && o.port == ""):
			return true
		}
	}
	if len(p.entries) > 0 {
		return false
	}
	for _, domain := range p.cloud.domains {
		if o.scheme == "https" && o.port == "" && isDataverseHost(o.host, domain) {
			return true
		}
	}
	return false
}

// isDataverseHost reports whether host is ORG.crm[N].domain. The numbers are open
// because Microsoft adds regions; the API label is gone already.
func isDataverseHost(host, domain string) bool {
	rest, ok := strings.CutSuffix(host, "."+domain)
	if !ok {
		return false
	}
	org, region, ok := strings.Cut(rest, ".")
	return ok && org != "" && isRegionLabel(region) && (domain == "dynamics.com" || region == "crm")
}

// SameEnvironment reports whether a and b are the origin of one environment:
// ORG.crm.dynamics.com and ORG.api.crm.dynamics.com are. What is not an origin
// is the same as nothing.
func SameEnvironment(a, b string) bool {
	left, err := parseOrigin(a)
	if err != nil {
		return false
	}
	right, err := parseOrigin(b)
	return err == nil && left == right
}

// parseIP recognises IP literals, also the odd spellings (127.1, 0x7f000001)
// that some resolvers take; those have no valid address and match no entry.
func parseIP(host string) (netip.Addr, bool) {
	if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return addr, true
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	if strings.HasPrefix(last, "0x") || last != "" && strings.Trim(last, "0123456789") == "" {
		return netip.Addr{}, true
	}
	return netip.Addr{}, false
}
