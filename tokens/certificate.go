package tokens

import (
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

const (
	maxCertificateFile = 256 << 10
	minKeyBits         = 2048
	assertionLife      = 10 * time.Minute // Entra asks for 5 to 10
	expirySoon         = 30 * 24 * time.Hour
	expiryReminder     = 24 * time.Hour
)

// keyPair is a certificate of the app registration with its private key. The key
// is wrapped in a function for the same reason as in [prover].
type keyPair struct {
	key        func() *rsa.PrivateKey
	thumbprint string // base64url of the certificate's SHA-256
	from, to   time.Time
}

// Format keeps fmt away from the key.
func (keyPair) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// CheckCertificateFile says what is wrong with a file that should hold a client
// certificate and its private key, nil if it can be used now. The error names the
// variable and the file, and nothing of the key.
func CheckCertificateFile(file string) error {
	_, err := newWatchedCertificate(file, nil)
	return err
}

// newWatchedCertificate returns a file's key pair, which must be valid now.
func newWatchedCertificate(file string, log *slog.Logger) (*watched[keyPair], error) {
	w := &watched[keyPair]{
		read:  func() ([]byte, error) { return readCertificate(file) },
		parse: func(content []byte) (keyPair, error) { return parseCertificate(file, content) },
		log:   log,
	}
	if err := w.look(); err != nil {
		return nil, err
	}
	return w, w.value.valid(file, time.Now())
}

// WatchCertificate gives a function that says when the certificate in a file ends: the one that
// is there then, as long as it is of use. Errors as [CheckCertificateFile].
func WatchCertificate(file string) (end func() time.Time, err error) {
	held, err := newWatchedCertificate(file, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	return func() time.Time { return held.get().to }, nil
}

// certificateProver signs a client assertion for each request.
func certificateProver(file, clientID string, log *slog.Logger) (prover, error) {
	held, err := newWatchedCertificate(file, log)
	if err != nil {
		return nil, err
	}
	reminder := &reminder{log: log}
	reminder.look(file, held.value, time.Now())
	return func(tokenURL string) (proof, error) {
		pair, now := held.get(), time.Now()
		if err := pair.valid(file, now); err != nil {
			return proof{}, err
		}
		reminder.look(file, pair, now)
		return pair.assert(tokenURL, clientID, now)
	}, nil
}

// assert makes the JWT that Entra takes in place of a client secret:
// https://learn.microsoft.com/entra/identity-platform/certificate-credentials
func (p keyPair) assert(tokenURL, clientID string, now time.Time) (proof, error) {
	t := jwt.NewWithClaims(jwt.SigningMethodPS256, jwt.RegisteredClaims{
		Audience: jwt.ClaimStrings{tokenURL}, Issuer: clientID, Subject: clientID, ID: uuid.NewString(),
		NotBefore: jwt.NewNumericDate(now), IssuedAt: jwt.NewNumericDate(now),
		ExpiresAt: jwt.NewNumericDate(now.Add(assertionLife)),
	})
	t.Header["x5t#S256"] = p.thumbprint
	signed, err := t.SignedString(p.key())
	if err != nil {
		return proof{}, errors.New("ENTRA_CLIENT_CERTIFICATE_FILE: its key does not sign")
	}
	return proof{assertion: Secret(signed)}, nil
}

// valid refuses what Entra would refuse with less to go by.
func (p keyPair) valid(file string, now time.Time) error {
	switch {
	case now.After(p.to):
		return fmt.Errorf("ENTRA_CLIENT_CERTIFICATE_FILE: the certificate in %s expired on %s; register "+
			"a new one at Entra "+
			"and put it there",
			file, p.to.UTC().Format(time.DateOnly))
	case now.Before(p.from.Add(-clockSkew)):
		return fmt.Errorf("ENTRA_CLIENT_CERTIFICATE_FILE: the certificate in %s is not valid before %s; check this "+
			"machine's clock",
			file, p.from.UTC().Format(time.RFC3339))
	}
	return nil
}

// reminder logs, once a day, that the certificate ends soon.
type reminder struct {
	log  *slog.Logger
	mu   sync.Mutex
	next time.Time
}

func (r *reminder) look(file string, p keyPair, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.to.Sub(now) > expirySoon || now.Before(r.next) {
		return
	}
	r.next = now.Add(expiryReminder)
	r.log.Warn("the client certificate expires soon; register a new one at Entra and put it in the file", "file", file,
		"expires", p.to.UTC())
}

func readCertificate(file string) ([]byte, error) {
	content, err := readSmall(file, maxCertificateFile)
	if err != nil {
		return nil, fmt.Errorf("ENTRA_CLIENT_CERTIFICATE_FILE: %w", err)
	}
	return content, nil
}

func parseCertificate(file string, content []byte) (keyPair, error) {
	pair, err := parsePair(content)
	if err != nil {
		return keyPair{}, fmt.Errorf("ENTRA_CLIENT_CERTIFICATE_FILE: %s %w", file, err)
	}
	return pair, nil
}

// parsePair takes the private key and, of the certificates, the one that
// belongs to it: a file may hold the whole chain. Errors go on from the file's name.
func parsePair(content []byte) (keyPair, error) {
	var key *rsa.PrivateKey
	var certificates []*x509.Certificate
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "CERTIFICATE":
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return keyPair{}, errors.New("holds a certificate that cannot be read")
			}
			certificates = append(certificates, c)
		case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY":
			if key != nil {
				return keyPair{}, errors.New("holds more than one private key")
			}
			var err error
			if key, err = parseKey(block); err != nil {
				return keyPair{}, err
			}
		}
	}
	switch {
	case key == nil && len(certificates) == 0:
		return keyPair{}, errors.New("is not PEM with a CERTIFICATE and a PRIVATE KEY")
	case key == nil:
		return keyPair{}, errors.New("holds no private key; append the PEM block PRIVATE KEY that belongs " +
			"to the certificate")
	case len(certificates) == 0:
		return keyPair{}, errors.New("holds no certificate; append the PEM block CERTIFICATE that is " +
			"registered at Entra")
	}
	for _, c := range certificates {
		if key.PublicKey.Equal(c.PublicKey) {
			sum := sha256.Sum256(c.Raw)
			return keyPair{
				key:        func() *rsa.PrivateKey { return key },
				thumbprint: base64.RawURLEncoding.EncodeToString(sum[:]), from: c.NotBefore, to: c.NotAfter,
			}, nil
		}
	}
	return keyPair{}, errors.New("holds a private key that does not belong to its certificate")
}

func parseKey(block *pem.Block) (*rsa.PrivateKey, error) {
	if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["Proc-Type"] != "" {
		return nil, errors.New("holds an encrypted private key; store it unencrypted and protect the file")
	}
	var found any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		found, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "PRIVATE KEY":
		found, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, errors.New("holds a private key that cannot be read")
	}
	key, ok := found.(*rsa.PrivateKey)
	switch {
	case !ok:
		return nil, errors.New("holds a private key that is not RSA, which Entra demands")
	case key.N.BitLen() < minKeyBits:
		return nil, fmt.Errorf("holds an RSA key of %d bits; Entra demands %d at least", key.N.BitLen(), minKeyBits)
	}
	return key, nil
}
