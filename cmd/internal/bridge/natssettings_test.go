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
