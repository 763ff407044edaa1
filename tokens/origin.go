package tokens

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

func checkAuthority(raw string, allowHTTP bool) (string, error) {
	if raw == "" {
		raw = "https://login.microsoftonline.com"
	}
	origin, err := checkOrigin(raw, allowHTTP)
	if err != nil {
		return "", fmt.Errorf("ENTRA_AUTHORITY_URL %w, for example https://login.microsoftonline.com", err)
	}
	return origin, nil
}

// checkOrigin accepts an https origin, or an http one on a loopback host where
// that is allowed, and returns it without a trailing slash.
func checkOrigin(raw string, allowHTTP bool) (string, error) {
	u, err := url.Parse(strings.TrimSuffix(raw, "/"))
	if err != nil || u.Host == "" || u.Path != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		u.Opaque != "" || u.ForceQuery {
		return "", errors.New("must be an origin: scheme and host, nothing else")
	}
	switch {
	case u.Scheme == "https":
	case u.Scheme == "http" && allowHTTP && loopback(u.Hostname()):
	default:
		return "", errors.New("must use https (http only for loopback addresses and where it is allowed)")
	}
	return u.Scheme + "://" + strings.ToLower(u.Host), nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// validTenant checks what becomes a path segment at the authority.
func validTenant(t string) bool {
	return t == "organizations" || t == "common" || guid.MatchString(t) || len(t) <= 253 && domain.MatchString(t)
}
