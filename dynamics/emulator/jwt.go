package emulator

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
)

// signer makes and checks the RS256 tokens of this server. The key lives and dies with it.
type signer struct {
	key *rsa.PrivateKey
	kid string
}

func newSigner() (*signer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(key.N.Bytes())
	return &signer{key: key, kid: base64.RawURLEncoding.EncodeToString(sum[:20])}, nil
}

func (s *signer) sign(claims any) (string, error) {
	header, err := json.Marshal(map[string]string{"typ": "JWT", "alg": "RS256", "kid": s.kid})
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(body)
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(nil, s.key, crypto.SHA256, sum[:])
	if err != nil {
		return "", err
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sig), nil
}

var errToken = errors.New("not a token of this server")

// verify checks algorithm, key and signature, and decodes the claims; their meaning is the caller's business.
func (s *signer) verify(token string, claims any) error {
	text, sig64, ok := cutLast(token, ".")
	head64, body64, ok2 := strings.Cut(text, ".")
	if !ok || !ok2 || len(token) > 16<<10 {
		return errToken
	}
	var header struct{ Alg, Kid string }
	head, err1 := base64.RawURLEncoding.DecodeString(head64)
	body, err2 := base64.RawURLEncoding.DecodeString(body64)
	sig, err3 := base64.RawURLEncoding.DecodeString(sig64)
	if err1 != nil || err2 != nil || err3 != nil || json.Unmarshal(head, &header) != nil {
		return errToken
	}
	if header.Alg != "RS256" || header.Kid != s.kid {
		return errToken
	}
	sum := sha256.Sum256([]byte(text))
	if rsa.VerifyPKCS1v15(&s.key.PublicKey, crypto.SHA256, sum[:], sig) != nil {
		return errToken
	}
	if json.Unmarshal(body, claims) != nil {
		return errToken
	}
	return nil
}

// jwks is the public half in the form of the keys endpoint.
func (s *signer) jwks(issuer string) any {
	return map[string]any{"keys": []map[string]any{{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": s.kid, "x5t": s.kid, "issuer": issuer,
		"n": base64.RawURLEncoding.EncodeToString(s.key.N.Bytes()),
		"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(s.key.E)).Bytes()),
	}}}
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
