package bridge_test

import (
	"strings"
	"testing"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
)

// What cannot work is a fault with the variable's name before anything connects, and
// not a server that is waited for.
func TestUnusableNATSSettings(t *testing.T) {
	junk := file(t, "hello")
	for _, c := range []struct {
		name, want string
		change     func(*bridge.Settings)
	}{
		{"no credentials", "NATS_CREDS: ", func(s *bridge.Settings) { s.Creds = "/does/not/exist" }},
		{"credentials without a key", "holds no user's JWT and key", func(s *bridge.Settings) { s.Creds = junk }},
		{"no certificates", "NATS_TLS_CA: ", func(s *bridge.Settings) { s.TLSCA = junk }},
		{"no client certificate", "NATS_TLS_CERT: ", func(s *bridge.Settings) { s.TLSCert, s.TLSKey = junk, junk }},
		{"a certificate without its key", "NATS_TLS_KEY go together", func(s *bridge.Settings) { s.TLSCert = junk }},
		{"a key without its certificate", "NATS_TLS_KEY go together", func(s *bridge.Settings) { s.TLSKey = junk }},
		{"an empty token", "NATS_INBOX_PREFIX: must be a subject", func(s *bridge.Settings) { s.InboxPrefix = "a..b" }},
		{"a dot at the end", "NATS_INBOX_PREFIX: must be a subject", func(s *bridge.Settings) { s.InboxPrefix = "a." }},
		{"a wildcard", "NATS_INBOX_PREFIX: must be a subject", func(s *bridge.Settings) { s.InboxPrefix = "a.>" }},
		{"a URL twice", "NATS_URL: is set, and NATS_URL_FILE too", func(s *bridge.Settings) {
			s.URL, s.URLFile = "nats://a:4222", file(t, "nats://b:4222")
		}},
		{"no file with a URL", "NATS_URL_FILE: ", func(s *bridge.Settings) { s.URLFile = "/does/not/exist" }},
		{"a file with something else", "NATS_URL_FILE: each server is a URL", func(s *bridge.Settings) { s.URLFile = junk }},
		{"one address for both", "ADMIN_ADDR: is the same as HTTP_ADDR", func(s *bridge.Settings) { s.AdminAddr = s.HTTPAddr }},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := settings(t, c.change, func(s *bridge.Settings) { s.EntraClientSecret = "x" }).Config()
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want one fault with %q", err, c.want)
			}
		})
	}
	good := settings(t, func(s *bridge.Settings) {
		s.EntraClientSecret = "x"
		s.InboxPrefix = "_INBOX.own"
		s.TLSCA = certificate(t)
	})
	if _, err := good.Config(); err != nil {
		t.Errorf("good settings: %v", err)
	}
}

// A password stays out of the environment and of command lines.
func TestTheNATSURLMayStandInAFile(t *testing.T) {
	const url = "nats://crmbridge:secret@127.0.0.1:4222,tls://crmbridge:secret@b:4222"
	config, err := settings(t, func(s *bridge.Settings) {
		s.EntraClientSecret, s.URL, s.URLFile = "x", "", file(t, url+"\n")
	}).Config()
	if err != nil || config.NATS.URL != url {
		t.Errorf("%q, %v", config.NATS.URL, err)
	}
}
