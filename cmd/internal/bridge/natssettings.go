package bridge

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/crmbridge/crmbridge/cmd/internal/files"
)

// nats checks the settings by which NATS is reached. Files are read, so that one that
// cannot be used is a fault of the configuration and not a server that is away.
func (r *reader) nats(s NATS) NATS {
	s.URL = r.natsURL(s)
	for _, server := range strings.Split(s.URL, ",") {
		u, err := url.Parse(strings.TrimSpace(server))
		if err != nil || u.Host == "" || !oneOf(u.Scheme, "nats", "tls", "ws", "wss") {
			right := "nats://127.0.0.1:4222 or tls://nats.example:4222"
			if host, port, err := net.SplitHostPort(server); err == nil && !r.files["NATS_URL"] && isPort(port) &&
				dnsName.MatchString(host) && (host == "localhost" || strings.Contains(host, ".")) { // no user, no secret
				right = "nats://" + server
			}
			r.fault("NATS_URL", "each server is a URL such as %s", right)
			break
		}
	}
	if s.Creds != "" {
		r.check("NATS_CREDS", checkCreds(s.Creds))
	}
	if s.TLSCA != "" {
		r.option("NATS_TLS_CA", nats.RootCAs(s.TLSCA), s.TLSCA)
	}
	switch {
	case (s.TLSCert == "") != (s.TLSKey == ""):
		r.fault("NATS_TLS_CERT", "and NATS_TLS_KEY go together; one of them is missing")
	case s.TLSCert != "":
		r.option("NATS_TLS_CERT", nats.ClientCert(s.TLSCert, s.TLSKey), s.TLSCert, s.TLSKey)
	}
	if s.InboxPrefix != "" && !inboxPrefix(s.InboxPrefix) {
		r.fault("NATS_INBOX_PREFIX", "must be a subject without wildcards such as _INBOX.campaigns")
	}
	return s
}

// dnsName is what may stand for a host in an error.
var dnsName = regexp.MustCompile(`^[A-Za-z0-9.-]+$`)

func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0
}

// defaultNATS is the URL where none is given.
const defaultNATS = "nats://127.0.0.1:4222"

// natsURL is the URL itself, or what a file holds: a password stands in it where NATS
// knows users by passwords.
func (r *reader) natsURL(s NATS) string {
	given := s.URL
	if given == defaultNATS {
		given = "" // says nothing, also beside a file
	}
	switch text := (Settings{}).secret(r, "NATS_URL", given, s.URLFile); text {
	case "", unreadable:
		return defaultNATS
	default:
		return text
	}
}

// option has the client library read the files that an option names.
func (r *reader) option(name string, option nats.Option, names ...string) {
	for _, file := range names {
		if err := files.Check(file); err != nil {
			r.check(name, err)
			return
		}
	}
	if err := option(&nats.Options{}); err != nil {
		r.fault(name, "%s", strings.TrimPrefix(err.Error(), "nats: "))
	}
}

// checkCreds reads a credentials file, which the client library does with each
// connection only: then a file without a key looks like a server that is away.
func checkCreds(file string) error {
	if err := files.Check(file); err != nil {
		return err
	}
	var o nats.Options
	if err := nats.UserCredentials(file)(&o); err != nil {
		return err
	}
	_, err := o.UserJWT()
	if err == nil {
		_, err = o.SignatureCB([]byte("nonce"))
	}
	if err != nil {
		return fmt.Errorf("%s holds no user's JWT and key, as 'nsc generate creds' writes them: %w", file, err)
	}
	return nil
}

// inboxPrefix reports whether text is a subject of plain tokens.
func inboxPrefix(text string) bool {
	for token := range strings.SplitSeq(text, ".") {
		if token == "" || strings.ContainsAny(token, "*> \t\r\n") {
			return false
		}
	}
	return true
}
