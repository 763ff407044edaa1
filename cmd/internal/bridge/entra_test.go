package bridge_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/tokens"
)

// settings are good ones, changed by a test.
func settings(t *testing.T, change ...func(*bridge.Settings)) bridge.Settings {
	t.Helper()
	keyset, err := tokens.GenerateKeyset()
	if err != nil {
		t.Fatal(err)
	}
	s := bridge.Settings{
		NATS: bridge.NATS{URL: "nats://127.0.0.1:4222"}, RedisURL: "redis://127.0.0.1:6379/0", TokenKeyset: string(keyset),
		EntraClientID: "11111111-2222-3333-4444-555555555555", EntraAuthorityURL: "https://login.microsoftonline.com",
		PublicURL: "http://localhost:8080", HTTPAddr: "127.0.0.1:8080", AdminAddr: "127.0.0.1:8081", ReplySubjects: "_INBOX.>",
		APIVersion: "v9.2", MaxInFlight: "256", ShutdownGrace: "30s", LogLevel: "info", LogFormat: "auto",
	}
	for _, c := range change {
		c(&s)
	}
	return s
}

func file(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func certificate(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return file(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))+
		string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})))
}

// The application proves itself in exactly one way, and anything else is one
// fault; the platform's variable counts only where the operator set nothing.
func TestExactlyOneCredential(t *testing.T) {
	const secret = "CANARY"
	pem, jwt, none := certificate(t), file(t, "a.b.c\n"), filepath.Join(t.TempDir(), "none")
	for _, c := range []struct {
		name                                      string
		secret, secretFile, cert, token, platform string
		fault                                     string // "" = accepted
		check                                     func(bridge.Config) bool
	}{
		{"nothing", "", "", "", "", "", "ENTRA_CLIENT_SECRET: is missing", nil},
		{"secret and certificate", secret, "", pem, "", "", "exactly one", nil},
		{"secret and token", secret, "", "", jwt, "", "exactly one", nil},
		{"secret file and certificate", "", file(t, secret), pem, "", "", "exactly one", nil},
		{"certificate and token", "", "", pem, jwt, "", "exactly one", nil},
		{"all three", secret, "", pem, jwt, "", "exactly one", nil},
		{"no such certificate", "", "", none, "", "", "ENTRA_CLIENT_CERTIFICATE_FILE: stat " + none, nil},
		{"a certificate that is none", "", "", jwt, "", "", "ENTRA_CLIENT_CERTIFICATE_FILE: " + jwt + " is not PEM", nil},
		{"no such token", "", "", "", none, "", "ENTRA_FEDERATED_TOKEN_FILE: stat " + none, nil},
		{"a token that is none", "", "", "", pem, "", "does not hold a JWT", nil},
		{"the platform's token is missing", "", "", "", "", none, "AZURE_FEDERATED_TOKEN_FILE, which the platform set and stands for ENTRA_FEDERATED_TOKEN_FILE: stat " + none, nil},
		{"a secret", secret, "", "", "", "", "", func(c bridge.Config) bool { return c.ClientSecret.Reveal() == secret }},
		{"a secret file", "", file(t, secret+"\n"), "", "", "", "", func(c bridge.Config) bool { return c.ClientSecret.Reveal() == secret }},
		{"a certificate", "", "", pem, "", "", "", func(c bridge.Config) bool { return c.ClientCertificateFile == pem && c.ClientSecret == "" }},
		{"a token", "", "", "", jwt, none, "", func(c bridge.Config) bool { return c.FederatedTokenFile == jwt }},
		{"the platform's token", "", "", "", "", jwt, "", func(c bridge.Config) bool { return c.FederatedTokenFile == jwt }},
		{"a secret beside the platform's token", secret, "", "", "", jwt, "", func(c bridge.Config) bool { return c.FederatedTokenFile == "" && c.ClientSecret.Reveal() == secret }},
	} {
		config, err := settings(t, func(s *bridge.Settings) {
			s.EntraClientSecret, s.EntraClientSecretFile, s.EntraClientCertificateFile = c.secret, c.secretFile, c.cert
			s.EntraFederatedTokenFile, s.AzureFederatedTokenFile = c.token, c.platform
		}).Config()
		switch {
		case c.fault == "" && (err != nil || !c.check(config)):
			t.Errorf("%s: %v", c.name, err)
		case c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), secret)):
			t.Errorf("%s: %v, want one fault with %q", c.name, err, c.fault)
		}
	}
}

func TestAppConnectionsFile(t *testing.T) {
	good := func(authority, content string) (map[string]string, error) {
		config, err := settings(t, func(s *bridge.Settings) {
			s.EntraClientSecret, s.EntraAuthorityURL, s.AppConnectionsFile = "x", authority, file(t, content)
		}).Config()
		return config.AppConnections, err
	}
	const global = "https://login.microsoftonline.com"
	for content, says := range map[string][]string{
		"":     {"must be JSON of the form"},
		"null": {"null"},
		"{}":   {"must be JSON of the form"},
		`[{"connection":"acme","environment_url":"https://contoso.crm4.dynamics.com"}`:                        {"must be JSON of the form"},
		`[{"connection":"acme","environment_url":"https://contoso.crm4.dynamics.com"}] []`:                    {"must be JSON of the form"},
		`[{"connection":"acme","environment_url":"https://contoso.crm4.dynamics.com","tenant":"x"}]`:          {"tenant"},
		`[{"connection":"acme","connection":"globex","environment_url":"https://contoso.crm4.dynamics.com"}]`: {"duplicate"},
		`[{"connection":"acme"}]`: {"entry 1 (acme): environment_url"},
		`[{"environment_url":"https://contoso.crm4.dynamics.com"},{"connection":"a b","environment_url":"x"}]`:                                  {"entry 1: connection", "entry 2: connection"},
		`[{"connection":"a","environment_url":"https://evil.example"},{"connection":"b","environment_url":"http://x"}]`:                         {"entry 1 (a)", "entry 2 (b)"},
		`[{"connection":"a","environment_url":"https://a.crm.dynamics.cn"}]`:                                                                    {"https://login.partner.microsoftonline.cn"},
		`[{"connection":"a","environment_url":"https://o.crm.dynamics.com"},{"connection":"a","environment_url":"https://p.crm.dynamics.com"}]`: {"connection a is listed twice"},
	} {
		pairs, err := good(global, content)
		if err == nil {
			t.Errorf("%s: %v, want a fault", content, pairs)
			continue
		}
		for _, words := range append(says, "APP_CONNECTIONS_FILE: ") {
			if !strings.Contains(err.Error(), words) {
				t.Errorf("%s: %v, want %q", content, err, words)
			}
		}
	}
	pairs, err := good(global, `[{"connection":"acme","environment_url":"https://Contoso.api.CRM4.dynamics.com/"},{"connection":"b","environment_url":"https://contoso.crm4.dynamics.com"}]`)
	if want := map[string]string{"acme": "https://contoso.crm4.dynamics.com", "b": "https://contoso.crm4.dynamics.com"}; err != nil || !maps.Equal(pairs, want) {
		t.Errorf("%v, %v; want %v", pairs, err, want)
	}
	if pairs, err := good("https://login.partner.microsoftonline.cn", `[{"connection":"a","environment_url":"https://a.crm.dynamics.cn"}]`); err != nil || len(pairs) != 1 {
		t.Errorf("%v, %v", pairs, err)
	}
	if pairs, err := good(global, `[]`); err != nil || len(pairs) != 0 {
		t.Errorf("%v, %v", pairs, err)
	}
	_, err = settings(t, func(s *bridge.Settings) { s.EntraClientSecret, s.AppConnectionsFile = "x", "/does/not/exist" }).Config()
	if err == nil || !strings.Contains(err.Error(), "APP_CONNECTIONS_FILE: open /does/not/exist") {
		t.Error(err)
	}
}

// A list of hosts cannot bring an environment to another cloud's authority.
func TestHostsOfAnotherCloudAreAFault(t *testing.T) {
	_, err := settings(t, func(s *bridge.Settings) {
		s.EntraClientSecret, s.AllowedHosts, s.EntraAuthorityURL = "x", "contoso.crm4.dynamics.com,*.crm.microsoftdynamics.us", "https://login.microsoftonline.us"
	}).Config()
	if err == nil || !strings.Contains(err.Error(), "DYNAMICS_ALLOWED_HOSTS: ") || !strings.Contains(err.Error(), "https://login.microsoftonline.com") || strings.Contains(err.Error(), `"*.crm`) {
		t.Error(err)
	}
}
