package tokens

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"regexp"
	"sync"
	"time"

	"golang.org/x/oauth2"
)

// proof shows in one token request that it comes from the application: a client
// secret, or an assertion that stands in its place.
type proof struct{ secret, assertion Secret }

// Format keeps fmt away from both.
func (proof) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// assertionType is RFC 7523's name for a JWT in place of a client secret.
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// fields are the form fields that take a client secret's place.
func (p proof) fields() url.Values {
	if p.assertion == "" {
		return url.Values{}
	}
	return url.Values{"client_assertion_type": {assertionType}, "client_assertion": {p.assertion.Reveal()}}
}

func (p proof) options() []oauth2.AuthCodeOption {
	var list []oauth2.AuthCodeOption
	for name, values := range p.fields() {
		list = append(list, oauth2.SetAuthURLParam(name, values[0]))
	}
	return list
}

// prover makes the proof for a request to a token endpoint. It is a function,
// since reflection sees into every unexported field but not into closures: fmt
// would print a secret through any value that points at it.
type prover func(tokenURL string) (proof, error)

// prover checks how the application proves itself: exactly one way.
func (c EntraConfig) prover() (prover, error) {
	ways := 0
	for _, set := range []bool{c.ClientSecret != "", c.ClientCertificateFile != "", c.FederatedTokenFile != ""} {
		if set {
			ways++
		}
	}
	if ways != 1 {
		return nil, errors.New("set exactly one of ENTRA_CLIENT_SECRET (the value, not the id, of a " +
			"client secret of the " +
			"app registration), ENTRA_CLIENT_CERTIFICATE_FILE and ENTRA_FEDERATED_TOKEN_FILE")
	}
	switch {
	case c.ClientCertificateFile != "":
		log := c.Log
		if log == nil {
			log = slog.New(slog.DiscardHandler)
		}
		return certificateProver(c.ClientCertificateFile, c.ClientID, log)
	case c.FederatedTokenFile != "":
		if err := CheckFederatedTokenFile(c.FederatedTokenFile); err != nil {
			return nil, err
		}
		return func(string) (proof, error) { return federatedProof(c.FederatedTokenFile) }, nil
	}
	secret := c.ClientSecret.Reveal
	return func(string) (proof, error) { return proof{secret: Secret(secret())}, nil }, nil
}

// CheckFederatedTokenFile says what is wrong with a file that should hold a
// federated token, nil if it holds one now. The error names the variable and the
// file, and nothing of its content.
func CheckFederatedTokenFile(file string) error {
	_, err := federatedProof(file)
	return err
}

// maxTokenFile bounds a federated token; those of Kubernetes have about 1 KiB.
const maxTokenFile = 16 << 10

var jwtForm = regexp.MustCompile(`^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\s*$`)

// federatedProof reads the platform's token, which is renewed in its file long
// before it ends: so it is read for every request and kept nowhere.
// https://learn.microsoft.com/entra/workload-id/workload-identity-federation
func federatedProof(file string) (proof, error) {
	content, err := readSmall(file, maxTokenFile)
	switch {
	case err != nil:
		return proof{}, fmt.Errorf("ENTRA_FEDERATED_TOKEN_FILE: %w", err)
	case !jwtForm.Match(content):
		return proof{}, fmt.Errorf("ENTRA_FEDERATED_TOKEN_FILE: %s does not hold a JWT, which the "+
			"platform (for example "+
			"Kubernetes) should write there", file)
	}
	return proof{assertion: Secret(trimSpace(content))}, nil
}

func trimSpace(b []byte) string {
	for len(b) > 0 && b[len(b)-1] <= ' ' {
		b = b[:len(b)-1]
	}
	return string(b)
}

// readSmall reads a regular file of at most limit bytes. A pipe or a device could
// block a token request for ever.
func readSmall(file string, limit int64) ([]byte, error) {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", file)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return nil, err
	case len(content) == 0:
		return nil, fmt.Errorf("%s is empty", file)
	case int64(len(content)) > limit:
		return nil, fmt.Errorf("%s is larger than %d bytes", file, limit)
	}
	return content, nil
}

// watched holds what a file's content means and reads the file for every use, so
// that a certificate is exchanged without a restart. Its content alone says whether
// it changed: one written twice within the file system's clock tick can have the
// size and the time of before. Safe for concurrent use.
type watched[T any] struct {
	read  func() ([]byte, error)
	parse func(content []byte) (T, error)
	log   *slog.Logger

	mu       sync.Mutex
	value    T
	seen     [sha256.Size]byte // of the content that was parsed last
	err      error             // why that is of no use; value is of one before it then
	complain time.Time         // no log line about that before
}

// complainPause is the time between two log lines about a file that is of no use.
const complainPause = 10 * time.Minute

// get returns the newest content that is of use. A file that is missing or half
// written, as in the middle of an exchange, does not end what worked before.
func (w *watched[T]) get() T {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.look(); err != nil && time.Now().After(w.complain) {
		w.complain = time.Now().Add(complainPause)
		w.log.Warn("a changed file cannot be used; what it held before is", "error", err)
	}
	return w.value
}

// look takes over what the file holds now. The caller holds mu.
func (w *watched[T]) look() error {
	content, err := w.read()
	if err != nil {
		return err
	}
	sum := sha256.Sum256(content)
	if sum == w.seen {
		return w.err
	}
	value, err := w.parse(content)
	w.seen, w.err = sum, err
	if err == nil {
		w.value = value
	}
	return err
}
