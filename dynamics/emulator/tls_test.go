package emulator_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

// identity is a key with its certificate.
type identity struct {
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

// certify makes an identity that lives for an hour around now; a nil parent signs itself.
func certify(t testing.TB, name string, now time.Time, parent *identity, hosts ...string) identity {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		DNSNames: hosts, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: parent == nil &&
			len(hosts) == 0, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	signer, above := key, tpl
	if parent != nil {
		signer, above = parent.key, parent.cert
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, above, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return identity{key, cert}
}

type site struct {
	*rig
	msal *http.Client // follows redirects, trusts the CA
}

// startTLS serves under all the names, by a certificate of a CA of its own.
func startTLS(t testing.TB, o emulator.Options) *site {
	t.Helper()
	o.Environments = []string{environmentHost}
	s, err := emulator.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ca := certify(t, "test CA", time.Now(), nil)
	leaf := certify(t, "emulator", time.Now(), &ca, "login.microsoftonline.com", "login.contoso.example",
		"contoso.crm4.dynamics.com")
	srv := httptest.NewUnstartedServer(s)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.cert.Raw}, PrivateKey: leaf.key}}}
	srv.StartTLS()
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, srv.Listener.Addr().String())
		}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		srv.Close()
	})
	web := &http.Client{Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &site{&rig{s: s, url: srv.URL, web: web}, &http.Client{Transport: transport}}
}
