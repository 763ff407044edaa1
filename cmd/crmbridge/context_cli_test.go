package main

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/handlers/streams/streamstest"
)

// A natsCLI is the nats CLI with a home of its own.
type natsCLI struct {
	t       *testing.T
	program string
	home    string
}

func newNATSCLI(t *testing.T) *natsCLI {
	t.Helper()
	program, err := exec.LookPath(os.Getenv("CRMBRIDGE_TEST_NATS_CLI"))
	if err != nil {
		if os.Getenv("CRMBRIDGE_TEST_SHELL") == "required" {
			t.Fatal("CRMBRIDGE_TEST_SHELL=required, and there is no nats CLI at CRMBRIDGE_TEST_NATS_CLI")
		}
		t.Skip("there is no nats CLI at CRMBRIDGE_TEST_NATS_CLI")
	}
	return &natsCLI{t, program, t.TempDir()}
}

// run runs the CLI.
func (c *natsCLI) run(args ...string) {
	c.t.Helper()
	cmd := exec.Command(c.program, args...)
	cmd.Env = []string{"HOME=" + c.home, "XDG_CONFIG_HOME=" + c.home, "PATH=" + os.Getenv("PATH")}
	if out, err := cmd.CombinedOutput(); err != nil {
		c.t.Fatalf("nats %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// crmbridge is what crmbridge says, and its status, with the contexts of the CLI.
func (c *natsCLI) crmbridge(env []string, args ...string) string {
	c.t.Helper()
	cmd := bridgetest.Program(c.t, append([]string{"HOME=" + c.home, "XDG_CONFIG_HOME=" + c.home}, env...), args...)
	said, _ := cmd.CombinedOutput() // what it says tells
	return string(said)
}

func (c *natsCLI) file(name, text string) string {
	c.t.Helper()
	name = filepath.Join(c.home, name)
	write(c.t, name, text)
	return name
}

// refusing is a server whose requests are answered by one of its users.
func refusing(t *testing.T, change func(*server.Options), as ...nats.Option) *server.Server {
	t.Helper()
	s := streamstest.Server(t, change)
	nc, err := nats.Connect("nats://"+s.Addr().String(), as...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	for _, subject := range []string{"crm.*.*.request.>", "crm.*.*.request"} {
		if _, err := nc.Subscribe(subject, refuse(t)); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return s
}

// newUser is an nkey: its public key and its seed.
func newUser(t *testing.T, make func() (nkeys.KeyPair, error)) (pair nkeys.KeyPair, public, seed string) {
	t.Helper()
	pair, err := make()
	if err != nil {
		t.Fatal(err)
	}
	text, err := pair.Seed()
	if err == nil {
		public, err = pair.PublicKey()
	}
	if err != nil {
		t.Fatal(err)
	}
	return pair, public, string(text)
}

// signed makes the server one whose users have credentials files, and returns the content of one.
func signed(t *testing.T, o *server.Options) string {
	t.Helper()
	operatorPair, operator, _ := newUser(t, nkeys.CreateOperator)
	accountPair, account, _ := newUser(t, nkeys.CreateAccount)
	_, user, seed := newUser(t, nkeys.CreateUser)
	accountJWT, err := jwt.NewAccountClaims(account).Encode(operatorPair)
	if err != nil {
		t.Fatal(err)
	}
	resolver := &server.MemAccResolver{}
	userJWT, err := jwt.NewUserClaims(user).Encode(accountPair)
	if err = errors.Join(err, resolver.Store(account, accountJWT)); err != nil {
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

// A context that the nats CLI has made reaches the server, by whatever way it says who connects.
func TestContextsOfTheNATSCLI(t *testing.T) {
	const answered = "forbidden: the responder of the context"
	c := newNATSCLI(t)
	get := []string{"connections", "get", "acme"}
	save := func(name, url string, more ...string) {
		c.run(append([]string{"context", "save", name, "--server", url}, more...)...)
	}
	reaches := func(name string) {
		t.Helper()
		if said := c.crmbridge(nil, append(get, "--context="+name)...); !strings.Contains(said, answered) {
			t.Errorf("--context=%s: %s", name, said)
		}
	}

	strict := strictServer(t)
	save("password", strict.ClientURL(), "--user", "ann", "--password", "pass-of-ann", "--inbox-prefix", "_INBOX.ann")
	save("own-inboxes", strict.ClientURL(), "--user", "ann", "--password", "pass-of-ann")
	save("wrong", strict.ClientURL(), "--user", "ann", "--password", "no", "--inbox-prefix", "_INBOX.ann")
	reaches("password")
	token := refusing(t, func(o *server.Options) { o.Authorization = "s3cret" }, nats.Token("s3cret"))
	save("token", token.ClientURL(), "--user", "s3cret") // version 0.5.1 keeps nothing of --token
	reaches("token")

	_, public, seed := newUser(t, nkeys.CreateUser)
	nkey := c.file("ann.nk", seed)
	byKey, err := nats.NkeyOptionFromSeed(nkey)
	if err != nil {
		t.Fatal(err)
	}
	keyed := refusing(t, func(o *server.Options) { o.Nkeys = []*server.NkeyUser{{Nkey: public}} }, byKey)
	save("nkey", keyed.ClientURL(), "--nkey", nkey)
	reaches("nkey")

	creds := filepath.Join(c.home, "ann.creds")
	ofAccount := refusing(t, func(o *server.Options) { c.file("ann.creds", signed(t, o)) }, nats.UserCredentials(creds))
	save("creds", ofAccount.ClientURL(), "--creds", creds)
	reaches("creds")

	source := httptest.NewTLSServer(nil) // for its certificate
	pair := source.TLS.Certificates[0]
	source.Close()
	ca := c.file("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})))
	encrypted := refusing(t, func(o *server.Options) {
		o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
		o.TLS, o.TLSTimeout = true, 60
	}, nats.RootCAs(ca))
	secure := "tls://" + encrypted.Addr().String()
	save("tls", secure, "--tlsca", ca)
	save("no-ca", secure)
	reaches("tls")

	for _, test := range []struct {
		name string
		env  []string
		args []string
		want string
	}{
		{"NATS_CONTEXT", []string{"NATS_CONTEXT=token"}, nil, answered},
		{"a flag before NATS_CONTEXT", []string{"NATS_CONTEXT=wrong"}, []string{"--context=token"}, answered},
		{"a variable before a context", []string{"NATS_URL=nats://127.0.0.1:1"}, []string{"--context=password"}, "unavailable"},
		{"a flag before a variable", []string{"NATS_URL=nats://127.0.0.1:1"}, []string{"--context=password", "--nats-url=" +
			strict.ClientURL()}, answered},
		{"an inbox prefix before a context's", []string{"NATS_INBOX_PREFIX=_INBOX.ann"}, []string{"--context=own-inboxes"}, answered},
		{"no right to the usual inboxes", nil, []string{"--context=own-inboxes", "--timeout=2s"}, "Permissions Violation"},
		{"a wrong password", nil, []string{"--context=wrong"}, "Authorization Violation"},
		{"credentials before a context's", nil, []string{"--context=password", "--nats-url=" + ofAccount.ClientURL(),
			"--nats-creds=" + creds}, answered},
		{"a certificate that nobody knows", nil, []string{"--context=no-ca"}, "certificate"},
		{"a certificate by a flag", nil, []string{"--context=no-ca", "--nats-tls-ca=" + ca}, answered},
	} {
		if said := c.crmbridge(test.env, append(get, test.args...)...); !strings.Contains(said, test.want) {
			t.Errorf("%s: %s, want %s", test.name, said, test.want)
		}
	}
	c.run("context", "select", "password")
	for name, test := range map[string]struct{ env, want string }{
		"the selected context":         {"", answered},
		"NATS_CONTEXT before selected": {"NATS_CONTEXT=wrong", "Authorization Violation"},
		"a URL passes it over":         {"NATS_URL=" + token.ClientURL(), "Authorization Violation"},
	} {
		if said := c.crmbridge([]string{test.env}, get...); !strings.Contains(said, test.want) {
			t.Errorf("%s: %s, want %s", name, said, test.want)
		}
	}

	// The doctor's user who asks may be one of a context; the settings are serve's, whatever is selected.
	for name, test := range map[string]struct{ context, want string }{
		"a context for the doctor": {"--ask-nats-context=password", "- connection: not looked at: no crmbridge answers"},
		"with a wrong password":    {"--ask-nats-context=wrong", "the user that asks cannot connect to NATS"},
		"that there is not":        {"--ask-nats-context=nowhere", `the context "nowhere": there is no such context`},
	} {
		said := c.crmbridge([]string{"NATS_URL=" + token.ClientURL()}, "doctor", "acme", test.context)
		if !strings.Contains(said, test.want) {
			t.Errorf("%s: %s, want %s", name, said, test.want)
		}
	}
	if said := c.crmbridge([]string{"NATS_URL=" + token.ClientURL()}, "doctor"); !strings.Contains(said, "✗ nats.user") {
		t.Errorf("the doctor takes the selected context for serve's: %s", said)
	}
}
