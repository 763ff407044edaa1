package dynamics

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// origin is a parsed, canonical origin; two are one environment if they are equal.
type origin struct{ scheme, host, port string }

func (o origin) String() string {
	if o.port == "" {
		return o.scheme + "://" + o.host
	}
	return o.scheme + "://" + o.host + ":" + o.port
}

func (o origin) loopback() bool {
	addr, isIP := parseIP(o.host)
	return o.host == "localhost" || isIP && addr.IsLoopback()
}

// parseOrigin reads scheme://host[:port][/]. It is written by hand because a
// lenient URL parser and the HTTP stack may disagree about odd input, and here
// such a disagreement would send a token to the wrong host.
func parseOrigin(raw string) (origin, error) {
	if raw == "" {
		return origin{}, errors.New("it is empty")
	}
	if len(raw) > 300 {
		return origin{}, errors.New("it is too long")
	}
	scheme, rest, found := strings.Cut(raw, "://")
	scheme = strings.ToLower(scheme)
	if !found || scheme != "https" && scheme != "http" {
		return origin{}, errors.New("it does not begin with https://")
	}
	for _, c := range []byte(rest) {
		if c <= ' ' || c >= 0x7f {
			return origin{}, errors.New("it holds a space, a control character or a letter outside ASCII")
		}
		if fault, bad := oddCharacters[c]; bad {
			return origin{}, errors.New(fault)
		}
	}
	authority, path, _ := strings.Cut(rest, "/")
	if path != "" {
		return origin{}, errors.New("it has a path")
	}
	host, port, err := splitAuthority(authority)
	if err != nil {
		return origin{}, err
	}
	if port == defaultPort(scheme) {
		port = ""
	}
	return origin{scheme: scheme, host: dropAPILabel(host, false), port: port}, nil
}

var oddCharacters = map[byte]string{
	'@': "it has user information", '?': "it has a query", '#': "it has a fragment",
	'\\': "it has a backslash", '%': "it has a percent-encoding",
}

// splitAuthority reads host[:port] into a lower-case host that is a DNS name, an
// IPv4 address or a bracketed IPv6 address.
func splitAuthority(text string) (host, port string, err error) {
	host = strings.ToLower(text)
	after := strings.LastIndexByte(host, ']') + 1 // colons inside brackets are no port
	if colon := strings.LastIndexByte(host[after:], ':'); colon >= 0 {
		host, port = host[:after+colon], host[after+colon+1:]
		n, convErr := strconv.ParseUint(port, 10, 16)
		if convErr != nil || n == 0 || port[0] == '0' || port[0] == '+' {
			return "", "", errors.New("the port is not a number from 1 to 65535")
		}
	}
	if strings.HasPrefix(host, "[") {
		addr, parseErr := netip.ParseAddr(strings.TrimSuffix(host[1:], "]"))
		if parseErr != nil || !addr.Is6() || addr.Zone() != "" || !strings.HasSuffix(host, "]") {
			return "", "", errors.New("the host is not an address")
		}
		return "[" + addr.String() + "]", port, nil
	}
	return host, port, checkName(host)
}

func checkName(host string) error {
	switch {
	case host == "":
		return errors.New("the host is missing")
	case len(host) > 253:
		return errors.New("the host is longer than 253 characters")
	case strings.HasSuffix(host, "."):
		return errors.New("the host ends in a dot")
	}
	if addr, isIP := parseIP(host); isIP && !addr.Is4() {
		return errors.New("the host is an oddly written IP address")
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return errors.New("the host is not a DNS name")
		}
		if strings.HasPrefix(label, "xn--") {
			return errors.New("the host is an internationalised name, which no environment has")
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
				return fmt.Errorf("the host holds the character %q", c)
			}
		}
	}
	return nil
}

func defaultPort(scheme string) string {
	if scheme == "http" {
		return "80"
	}
	return "443"
}

// dropAPILabel turns ORG.api.crmN.domain into ORG.crmN.domain: both names lead to
// the same environment. In a suffix the first label is the place of the organization's.
func dropAPILabel(host string, suffix bool) string {
	labels := strings.Split(host, ".")
	at := 1
	if suffix {
		at = 0
	}
	if len(labels) < at+4 || labels[at] != "api" || !isRegionLabel(labels[at+1]) {
		return host
	}
	return strings.Join(append(labels[:at:at], labels[at+1:]...), ".")
}

func isRegionLabel(label string) bool {
	number, ok := strings.CutPrefix(label, "crm")
	return ok && strings.Trim(number, "0123456789") == ""
}
