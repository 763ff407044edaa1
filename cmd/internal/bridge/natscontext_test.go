package bridge_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/crmbridge/crmbridge/cmd/internal/bridge"
	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
)

// inFolder makes a folder of contexts, with these files beside the contexts' folder.
func inFolder(t *testing.T, files map[string]string) (folder string) {
	t.Helper()
	folder = filepath.Join(t.TempDir(), "nats")
	t.Setenv("XDG_CONFIG_HOME", filepath.Dir(folder))
	for name, text := range files {
		name = filepath.Join(folder, name)
		err := os.MkdirAll(filepath.Dir(name), 0o700)
		if err == nil {
			err = os.WriteFile(name, []byte(strings.ReplaceAll(text, "FOLDER", folder)), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// keyPair is an nkey's public key and seed.
func keyPair(t *testing.T, kind nkeys.PrefixByte) (pair nkeys.KeyPair, public, seed string) {
	t.Helper()
	pair, err := nkeys.CreatePair(kind)
	if err != nil {
		t.Fatal(err)
	}
	public, _ = pair.PublicKey()
	text, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	return pair, public, string(text)
}

// decentral makes the server one of JWTs, and returns a user's credentials file.
func decentral(t *testing.T, o *server.Options) (creds string) {
	t.Helper()
	operatorPair, operator, _ := keyPair(t, nkeys.PrefixByteOperator)
	accountPair, account, _ := keyPair(t, nkeys.PrefixByteAccount)
	_, user, seed := keyPair(t, nkeys.PrefixByteUser)
	accountJWT, err := jwt.NewAccountClaims(account).Encode(operatorPair)
	if err != nil {
		t.Fatal(err)
	}
	userJWT, err := jwt.NewUserClaims(user).Encode(accountPair)
	if err != nil {
		t.Fatal(err)
	}
	resolver := &server.MemAccResolver{}
	if err := resolver.Store(account, accountJWT); err != nil {
		t.Fatal(err)
	}
	o.TrustedOperators = []*jwt.OperatorClaims{jwt.NewOperatorClaims(operator)}
	o.AccountResolver, o.JetStream = resolver, false
	file, err := jwt.FormatUserConfig(userJWT, []byte(seed))
	if err != nil {
		t.Fatal(err)
	}
	return string(file)
}

// mutual makes the server one that asks for certificates, and returns that of server and client
// with its key.
func mutual(t *testing.T, o *server.Options) (certificate, key string) {
	t.Helper()
	source := httptest.NewTLSServer(nil) // for its certificate
	defer source.Close()
	pair := source.TLS.Certificates[0]
	o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12}
	o.TLS, o.TLSTimeout = true, 60
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// Every way by which a context says who connects, and how.
func TestContextsByAuthentication(t *testing.T) {
	for _, c := range []struct {
		name    string
		context string // FOLDER is that of the contexts
		change  func(o *server.Options) (files map[string]string)
	}{
		{"token", `"token":"s3cret"`, func(o *server.Options) map[string]string {
			o.Authorization = "s3cret"
			return nil
		}},
		{"nkey", `"nkey":"FOLDER/ann.nk"`, func(o *server.Options) map[string]string {
			_, public, seed := keyPair(t, nkeys.PrefixByteUser)
			o.Nkeys = []*server.NkeyUser{{Nkey: public}}
			return map[string]string{"ann.nk": seed}
		}},
		{"creds", `"creds":"$XDG_CONFIG_HOME/nats/ann.creds"`, func(o *server.Options) map[string]string {
			return map[string]string{"ann.creds": decentral(t, o)}
		}},
		{"tls", `"ca":"FOLDER/ca.pem","cert":"FOLDER/ca.pem","key":"FOLDER/key.pem"`, func(o *server.Options) map[string]string {
			certificate, key := mutual(t, o)
			return map[string]string{"ca.pem": certificate, "key.pem": key}
		}},
		{"tls first", `"tls_first":true,"ca":"FOLDER/ca.pem","cert":"FOLDER/ca.pem","key":"FOLDER/key.pem"`, func(o *server.Options) map[string]string {
			certificate, key := mutual(t, o)
			o.TLSHandshakeFirst = true
			return map[string]string{"ca.pem": certificate, "key.pem": key}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := map[string]string{}
			s := streamstest.Server(t, func(o *server.Options) {
				for name, text := range c.change(o) {
					files[name] = text
				}
			})
			url := "nats://" + s.Addr().String()
			files["context/a.json"] = `{"url":"` + url + `",` + c.context + `}`
			files["context/plain.json"] = `{"url":"` + url + `"}`
			folder := inFolder(t, files)
			nc, err := bridge.ClientNATS{Context: "a"}.Connect("test")
			if err != nil {
				t.Fatal(err)
			}
			nc.Close()
			if nc, err := (bridge.ClientNATS{Context: "plain"}).Connect("test"); err == nil {
				nc.Close()
				t.Error("the server takes anybody")
			}
			if names := bridge.Contexts(); !slices.Equal(names, []string{"a", "plain"}) {
				t.Errorf("contexts %q", names)
			}
			for name := range files {
				if name = filepath.Join(folder, name); strings.HasSuffix(name, ".json") {
					continue
				}
				if err := os.WriteFile(name, []byte("junk"), 0o600); err != nil {
					t.Fatal(err)
				}
				if nc, err := (bridge.ClientNATS{Context: "a"}).Connect("test"); err == nil {
					nc.Close()
					t.Errorf("%s is junk, and the server takes it", name)
				} else if strings.Contains(err.Error(), "connect to NATS") {
					t.Errorf("%s is junk: %v, want a fault of the configuration", name, err)
				}
			}
		})
	}
}

// A socks proxy is dialled, and not the server.
func TestContextsByProxy(t *testing.T) {
	s := streamstest.Server(t, nil)
	inFolder(t, map[string]string{
		"context/a.json": `{"url":"` + s.ClientURL() + `","socks_proxy":"socks5://127.0.0.1:1"}`,
		"context/b.json": `{"url":"` + s.ClientURL() + `","socks_proxy":"::"}`})
	for name, want := range map[string]string{"a": "connect to NATS", "b": "socks_proxy is no URL"} {
		nc, err := bridge.ClientNATS{Context: name}.Connect("test")
		if err == nil {
			nc.Close()
			t.Errorf("%s connects", name)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
