package tokens_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/crmbridge/crmbridge/tokens"
	"github.com/golang-jwt/jwt/v5"
)

// jwtBearer is the type of a client assertion that is a JWT (RFC 7523, section 2.2).
const jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// identity is a certificate and its key, as an operator makes them.
type identity struct {
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

// Keys are slow to make; a test needs two, and one that is too short.
var rsaKeys = sync.OnceValue(func() [3]*rsa.PrivateKey {
	var made [3]*rsa.PrivateKey
	for i, bits := range []int{2048, 2048, 1024} {
		made[i], _ = rsa.GenerateKey(rand.Reader, bits)
	}
	return made
})

func newIdentity(t *testing.T, key int, from, to time.Time) identity {
	t.Helper()
	k := rsaKeys()[key]
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject: pkix.Name{CommonName: "crmbridge"}, NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return identity{k, c}
}

func good(t *testing.T, key int) identity {
	return newIdentity(t, key, time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0))
}

func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func (i identity) certificate() string { return block("CERTIFICATE", i.cert.Raw) }
func (i identity) pkcs1() string {
	return block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(i.key))
}
func (i identity) pkcs8() string {
	der, _ := x509.MarshalPKCS8PrivateKey(i.key)
	return block("PRIVATE KEY", der)
}

// write exchanges a file the way an operator should: whole, by renaming.
func exchange(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file+".new", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

func credential(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "credential")
	exchange(t, name, content)
	return name
}

// provesBy checks the assertion as Entra does, with the keys that are registered now.
type provesBy struct {
	mu         sync.Mutex
	registered map[string]*rsa.PublicKey // by thumbprint
	seen       map[string]bool           // jti
	last       string                    // thumbprint
}

func (p *provesBy) register(i identity) string {
	sum := sha256.Sum256(i.cert.Raw)
	name := base64.RawURLEncoding.EncodeToString(sum[:])
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.registered == nil {
		p.registered, p.seen = map[string]*rsa.PublicKey{}, map[string]bool{}
	}
	p.registered[name] = &i.key.PublicKey
	return name
}

// signer is the thumbprint that the last assertion named.
func (p *provesBy) signer() string { p.mu.Lock(); defer p.mu.Unlock(); return p.last }

func (p *provesBy) check(form url.Values, endpoint string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if form.Has("client_secret") || form.Get("client_assertion_type") != jwtBearer {
		return errors.New("not by an assertion alone")
	}
	var claims jwt.RegisteredClaims
	token, err := jwt.ParseWithClaims(form.Get("client_assertion"), &claims, func(t *jwt.Token) (any, error) {
		p.last, _ = t.Header["x5t#S256"].(string)
		key := p.registered[p.last]
		if key == nil || t.Header["typ"] != "JWT" {
			return nil, fmt.Errorf("header %v", t.Header)
		}
		return key, nil
	}, jwt.WithValidMethods([]string{"PS256"}), jwt.WithAudience(endpoint), jwt.WithIssuer(clientID),
		jwt.WithSubject(clientID),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(5*time.Second))
	if err != nil || !token.Valid {
		return err
	}
	if life := claims.ExpiresAt.Sub(claims.NotBefore.Time); life != 10*time.Minute ||
		!claims.IssuedAt.Equal(claims.NotBefore.Time) {
		return fmt.Errorf("it lives %s", life)
	}
	if len(claims.ID) != 36 || p.seen[claims.ID] {
		return fmt.Errorf("jti %q is no new GUID", claims.ID)
	}
	p.seen[claims.ID] = true
	return nil
}

func byCertificate(name string) func(*tokens.EntraConfig) {
	return func(c *tokens.EntraConfig) { c.ClientSecret, c.ClientCertificateFile = "", name }
}

// Every grant is proved by a signed assertion, and an exchanged certificate is
// used at once, without a restart; a file in between does not end what worked.
func TestACertificateInPlaceOfASecret(t *testing.T) {
	t.Parallel()
	b := newBench(t, client(t, miniredis.RunT(t).Addr()))
	first, second := good(t, 0), good(t, 1)
	entra := &provesBy{}
	print1, print2 := entra.register(first), entra.register(second)
	b.entra.set(func() { b.entra.proves = entra.check })
	name := credential(t, first.certificate()+first.pkcs8())
	b.tune = byCertificate(name)
	b.auth = b.authorizer()
	b.connect("acme", 3600)
	if _, err := b.auth.App(t.Context(), app()); err != nil {
		t.Fatal(err)
	}
	s := b.source()
	refresh := func(want string) {
		t.Helper()
		b.connect("acme", 3600)
		a, err := s.Access(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		before := b.entra.count("refresh_token")
		if _, err := s.Refused(t.Context(), "acme", a); err != nil {
			t.Fatal(err)
		}
		if b.entra.count("refresh_token") != before+1 || entra.signer() != want {
			t.Errorf("%d refreshes, signed by %s, want %s", b.entra.count("refresh_token")-before, entra.signer(), want)
		}
	}
	refresh(print1)
	exchange(t, name, second.certificate()) // half written: no key
	refresh(print1)
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	refresh(print1)
	exchange(t, name, first.certificate()+second.pkcs1()+second.certificate()) // the chain in odd order, PKCS#1
	refresh(print2)
	// Written over in place, within one tick of the file system's clock: nothing
	// but the content tells that it changed.
	back := first.certificate() + first.pkcs8()
	exchange(t, name, back)
	refresh(print1)
	before, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	other := second.certificate() + second.pkcs8()
	size := max(len(back), len(other))
	padded := func(text string) []byte { return []byte(text + strings.Repeat("\n", size-len(text))) }
	for _, c := range []struct{ content, signer string }{{back, print1}, {other, print2}} {
		if err := os.WriteFile(name, padded(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, before.ModTime(), before.ModTime()); err != nil {
			t.Fatal(err)
		}
		refresh(c.signer)
	}
	if log := b.logs.String(); !strings.Contains(log, "holds no private key") || !strings.Contains(log, name) {
		t.Errorf("the log does not name file and fault:\n%s", log)
	}
	if leaked := string(first.key.D.Bytes()); strings.Contains(b.logs.String(), leaked) {
		t.Error("the log holds the key")
	}
}

// Faults name the variable, the file and what would be right, never the key.
func TestCertificateFilesThatAreOfNoUse(t *testing.T) {
	t.Parallel()
	now := time.Now()
	ok, other := good(t, 0), good(t, 1)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec8, _ := x509.MarshalPKCS8PrivateKey(ec)
	ec1, _ := x509.MarshalECPrivateKey(ec)
	short := newIdentity(t, 2, now.Add(-time.Hour), now.Add(time.Hour))
	for _, c := range []struct{ name, content, says string }{
		{"empty", "", "is empty"},
		{"no PEM", "hello " + canary, "is not PEM with a CERTIFICATE and a PRIVATE KEY"},
		{"too large", strings.Repeat("x", 300<<10), "is larger than"},
		{"no key", ok.certificate(), "holds no private key"},
		{"no certificate", ok.pkcs8(), "holds no certificate"},
		{"another's key", ok.certificate() + other.pkcs8(), "does not belong to its certificate"},
		{"two keys", ok.certificate() + ok.pkcs8() + other.pkcs8(), "more than one private key"},
		{"a broken certificate", block("CERTIFICATE", []byte(canary)) + ok.pkcs8(), "certificate that cannot be read"},
		{"a broken key", ok.certificate() + block("PRIVATE KEY", []byte(canary)), "private key that cannot be read"},
		{"an encrypted key", ok.certificate() + block("ENCRYPTED PRIVATE KEY", []byte(canary)), "encrypted private key"},
		{"an elliptic key", ok.certificate() + block("PRIVATE KEY", ec8), "is not RSA"},
		{"an elliptic key, SEC 1", ok.certificate() + block("EC PRIVATE KEY", ec1), "is not RSA"},
		{"a short key", short.certificate() + short.pkcs8(), "1024 bits"},
		{"an expired certificate", func() string {
			i := newIdentity(t, 0, now.AddDate(-1, 0, 0), now.AddDate(0, 0, -1))
			return i.certificate() + i.pkcs8()
		}(), "expired on " + now.AddDate(0, 0, -1).UTC().Format(time.DateOnly)},
		{"a certificate of the future", func() string {
			i := newIdentity(t, 0, now.Add(time.Hour), now.AddDate(1, 0, 0))
			return i.certificate() + i.pkcs8()
		}(), "check this machine's clock"},
	} {
		name := credential(t, c.content)
		err := tokens.CheckCertificateFile(name)
		if err == nil || !strings.HasPrefix(err.Error(), "ENTRA_CLIENT_CERTIFICATE_FILE: ") ||
			!strings.Contains(err.Error(), name) ||
			!strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", c.name, err)
		}
		if _, started := tokens.NewEntra(tokens.EntraConfig{ClientID: clientID,
			ClientCertificateFile: name}); started == nil || err != nil && started.Error() != err.Error() {
			t.Errorf("%s: NewEntra says %v", c.name, started)
		}
	}
	for _, name := range []string{filepath.Join(t.TempDir(), "nothing"), t.TempDir()} {
		if err := tokens.CheckCertificateFile(name); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if err := tokens.CheckFederatedTokenFile(name); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, content := range []string{ok.certificate() + ok.pkcs8(), ok.pkcs1() + other.certificate() + ok.certificate()} {
		if err := tokens.CheckCertificateFile(credential(t, content)); err != nil {
			t.Error(err)
		}
	}
}

// A certificate that ends while the process runs is a fault of the set-up: it
// says so and marks nothing. That it will end is in the log before.
func TestACertificateThatEnds(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it waits for a certificate to end")
	}
	t.Parallel()
	b := newBench(t, client(t, miniredis.RunT(t).Addr()))
	b.connect("acme", 3600)
	a, err := b.source().Access(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	var name string
	var ends time.Time
	var app *tokens.Entra
	rsaKeys() // not while a certificate's time runs
	for life := 2 * time.Second; app == nil; life *= 2 {
		// Certificates count in whole seconds.
		ends = time.Now().Add(life).Truncate(time.Second)
		i := newIdentity(t, 0, time.Now().Add(-time.Hour), ends)
		name = credential(t, i.certificate()+i.pkcs8())
		b.tune = byCertificate(name)
		// On a machine that stalls it may have ended before it was read.
		if app, err = b.newApp(); err != nil && (time.Now().Before(ends) || life > time.Minute) {
			t.Fatal(err)
		}
	}
	s := b.sourceOf(app)
	if log := b.logs.String(); !strings.Contains(log, "the client certificate expires soon") ||
		!strings.Contains(log, name) {
		t.Errorf("no warning:\n%s", log)
	}
	await(t, "end of the certificate", func() bool { return time.Now().After(ends) })
	before := b.entra.count("refresh_token")
	_, err = s.Refused(t.Context(), "acme", a)
	wantCode(t, err, tokens.CodeConfigurationError)
	if !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "expired on") ||
		b.entra.count("refresh_token") != before {
		t.Error(err)
	}
	if c, err := b.store.Get(t.Context(), "acme"); err != nil || c.Status != tokens.StatusActive {
		t.Errorf("%+v %v", c, err)
	}
}

// The platform's token is read for every request.
func TestAFederatedTokenInPlaceOfASecret(t *testing.T) {
	t.Parallel()
	b := newBench(t, client(t, miniredis.RunT(t).Addr()))
	name := credential(t, "e30.e30."+canary+"1\n")
	var last atomic.Value
	b.entra.set(func() {
		b.entra.proves = func(form url.Values, _ string) error {
			if form.Has("client_secret") || form.Get("client_assertion_type") != jwtBearer {
				return errors.New("not by an assertion alone")
			}
			last.Store(form.Get("client_assertion"))
			return nil
		}
	})
	b.tune = func(c *tokens.EntraConfig) { c.ClientSecret, c.FederatedTokenFile = "", name }
	b.auth = b.authorizer()
	for n := 1; n <= 3; n++ {
		exchange(t, name, fmt.Sprintf("e30.e30.%s%d\n", canary, n))
		if _, err := b.auth.App(t.Context(), app()); err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("e30.e30.%s%d", canary, n); last.Load() != want {
			t.Errorf("sent %q, want %q", last.Load(), want)
		}
	}
	sent := b.entra.count("client_credentials")
	for _, content := range []string{"", canary, "a.b", "a.b.c d", "a.b.c.d", "a.b.c\nx", strings.Repeat("a", 20<<10) +
		".b.c", "a..c", "a.b.\x00"} {
		exchange(t, name, content)
		_, err := b.auth.App(t.Context(), app())
		wantCode(t, err, tokens.CodeConfigurationError)
		if !strings.Contains(err.Error(), "ENTRA_FEDERATED_TOKEN_FILE") || !strings.Contains(err.Error(), name) {
			t.Errorf("%q: %v", content, err)
		}
	}
	if n := b.entra.count("client_credentials"); n != sent {
		t.Errorf("%d requests without a proof", n-sent)
	}
}

func TestExactlyOneProof(t *testing.T) {
	t.Parallel()
	i := good(t, 0)
	certificate, federated := credential(t, i.certificate()+i.pkcs8()), credential(t, "a.b.c")
	for n := range 8 {
		c := tokens.EntraConfig{ClientID: clientID}
		set := 0
		for bit, use := range []func(){func() { c.ClientSecret = clientSecret },
			func() { c.ClientCertificateFile = certificate }, func() { c.FederatedTokenFile = federated }} {
			if n&(1<<bit) != 0 {
				use()
				set++
			}
		}
		e, err := tokens.NewEntra(c)
		if (err == nil) != (set == 1) || err != nil && (!strings.Contains(err.Error(), "exactly one") ||
			strings.Contains(err.Error(), canary)) {
			t.Errorf("%d set: %v", set, err)
		}
		if e != nil {
			var text bytes.Buffer
			fmt.Fprintf(&text, "%v %+v %#v %s", e, e, e, e)
			if strings.Contains(text.String(), canary) || strings.Contains(text.String(), i.key.D.String()) ||
				strings.Contains(text.String(), "a.b.c") {
				t.Errorf("printed: %s", text.String())
			}
			e.Close()
		}
	}
}

func FuzzCertificate(f *testing.F) {
	name := filepath.Join(f.TempDir(), "credential")
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := tokens.CheckCertificateFile(name); err == nil {
			t.Skip("a whole certificate")
		}
		_ = tokens.CheckFederatedTokenFile(name)
	})
}
