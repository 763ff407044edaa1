package emulator_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics/emulator"
)

// signJWT is an independent signer for RS256 and PS256; any other algorithm is written into the
// header and signed as RS256.
func signJWT(key *rsa.PrivateKey, alg string, header, claims map[string]any) string {
	h := map[string]any{"alg": alg, "typ": "JWT"}
	maps.Copy(h, header)
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	text := part(h) + "." + part(claims)
	sum := sha256.Sum256([]byte(text))
	var sig []byte
	var err error
	if alg == "PS256" {
		sig, err = rsa.SignPSS(rand.Reader, key, crypto.SHA256, sum[:],
			&rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	} else {
		sig, err = rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	}
	if err != nil {
		panic(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

// assertionForm is a client_credentials request with an assertion.
func assertionForm(resource, assertion string) url.Values {
	return url.Values{"client_id": {emulator.DefaultClientID}, "grant_type": {"client_credentials"},
		"scope":                 {resource + "/.default"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {assertion}}
}

func with(m map[string]any, pairs ...any) map[string]any {
	m = maps.Clone(m)
	for i := 0; i < len(pairs); i += 2 {
		if m[pairs[i].(string)] = pairs[i+1]; pairs[i+1] == nil {
			delete(m, pairs[i].(string))
		}
	}
	return m
}

func TestClientAssertions(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	id, old, stranger := certify(t, "crmbridge", now, nil), certify(t, "old", now.Add(-48*time.Hour), nil),
		certify(t, "stranger", now, nil)
	g := start(t, emulator.Options{Accounts: -1,
		Now: func() time.Time { return now }, ClientCertificates: []*x509.Certificate{old.cert, id.cert}})
	sum, sum1 := sha256.Sum256(id.cert.Raw), sha1.Sum(id.cert.Raw)
	oldSum := sha256.Sum256(old.cert.Raw)
	url64, std64 := base64.RawURLEncoding, base64.StdEncoding
	head := map[string]any{"x5t#S256": url64.EncodeToString(sum[:])}
	claims := map[string]any{"iss": emulator.DefaultClientID, "sub": emulator.DefaultClientID, "aud": g.url + tokenPath,
		"jti": "1",
		"nbf": now.Unix(), "exp": now.Add(10 * time.Minute).Unix()}
	for _, c := range []struct {
		name      string
		assertion string
		number    int // 0 means a token
	}{
		{"not a JWT", "x", 50027},
		{"five parts", "a.b.c.d.e", 50027},
		{"not base64", "a.b!.c", 50027},
		{"padded parts", signJWT(id.key, "PS256", head, claims) + "=", 50027},
		{"not JSON", "eA.eA.eA", 50027},
		{"alg none", signJWT(id.key, "none", head, claims), 50027},
		{"alg HS256", signJWT(id.key, "HS256", head, claims), 50027},
		{"no thumbprint", signJWT(id.key, "PS256", nil, claims), 50027},
		{"no exp", signJWT(id.key, "PS256", head, with(claims, "exp", nil)), 50027},
		{"exp beyond all time", signJWT(id.key, "PS256", head, with(claims, "exp", 1e300)), 50027},
		{"too long", signJWT(id.key, "PS256", head, with(claims, "x", strings.Repeat("x", 16<<10))), 50027},
		{"of another application", signJWT(id.key, "PS256", head, with(claims, "iss", "x", "sub", "x")), 700021},
		{"about another application", signJWT(id.key, "PS256", head, with(claims, "sub", "x")), 700021},
		{"of an issuer nobody trusts", signJWT(id.key, "RS256", head, with(claims, "iss", "https://oidc.example")), 700211},
		{"another key", signJWT(stranger.key, "PS256", head, claims), 700027},
		{"PS256 signed as RS256", relabel(signJWT(id.key, "RS256", head, claims)), 700027},
		{"an unknown certificate", signJWT(stranger.key, "PS256", map[string]any{"x5t#S256": "AAAA"}, claims), 700027},
		{"two thumbprints that disagree", signJWT(id.key, "PS256", with(head, "x5t", "AAAA"), claims), 700027},
		{"an expired certificate", signJWT(old.key, "PS256", map[string]any{"x5t#S256": url64.EncodeToString(oldSum[:])}, claims), 700027},
		{"another audience", signJWT(id.key, "PS256", head, with(claims, "aud", "https://login.example/x/oauth2/v2.0/token")), 700023},
		{"no audience", signJWT(id.key, "PS256", head, with(claims, "aud", nil)), 700023},
		{"expired", signJWT(id.key, "PS256", head, with(claims, "exp", now.Add(-5*time.Minute-time.Second).Unix())), 700024},
		{"not yet valid", signJWT(id.key, "PS256", head, with(claims, "nbf", now.Add(5*time.Minute+time.Second).Unix())), 700024},

		{"base64url", signJWT(id.key, "PS256", head, claims), 0},
		{"base64url, padded", signJWT(id.key, "PS256", map[string]any{"x5t#S256": base64.URLEncoding.EncodeToString(sum[:])}, claims), 0},
		{"base64", signJWT(id.key, "PS256", map[string]any{"x5t#S256": base64.RawStdEncoding.EncodeToString(sum[:])}, claims), 0},
		{"base64, padded, as Microsoft's client", signJWT(id.key, "PS256", map[string]any{"x5t#S256": std64.EncodeToString(sum[:])}, claims), 0},
		{"RS256 with x5t", signJWT(id.key, "RS256", map[string]any{"x5t": url64.EncodeToString(sum1[:])}, claims), 0},
		{"kid", signJWT(id.key, "RS256", map[string]any{"kid": strings.ToUpper(hex.EncodeToString(sum1[:]))}, claims), 0},
		{"the issuer as audience", signJWT(id.key, "PS256", head, with(claims, "aud", g.url+"/"+emulator.DefaultTenantID+"/v2.0")), 0},
		{"a list of audiences", signJWT(id.key, "PS256", head, with(claims, "aud", []string{"x", g.url + tokenPath})), 0},
		{"expired within the skew", signJWT(id.key, "PS256", head, with(claims, "exp", now.Add(-4*time.Minute).Unix())), 0},
		{"early within the skew, without jti", signJWT(id.key, "PS256", head, with(claims, "nbf", now.Add(4*time.Minute).Unix(), "jti", nil)), 0},
	} {
		r := g.post(tokenPath, assertionForm(g.url, c.assertion))
		if c.number != 0 {
			checkEntraError(t, c.name, r, 401, "invalid_client", c.number)
		} else if r.status != 200 {
			t.Errorf("%s: %d %s", c.name, r.status, r.body)
		}
	}
	f := assertionForm(g.url, signJWT(id.key, "PS256", head, claims))
	f.Set("client_assertion_type", "urn:x")
	checkEntraError(t, "another type", g.post(tokenPath, f), 400, "invalid_request", 70003)
	n := g.s.Control().Counts()
	if n.Assertions["malformed"] == 0 || n.Assertions["PS256"] == 0 || n.Assertions["RS256"] == 0 ||
		n.TokenNumbers["700024"] != 2 {
		t.Errorf("counts: %+v", n)
	}
}

// relabel claims another algorithm than the one that signed; the signature covers the header, so it is of the old one.
func relabel(token string) string {
	parts := strings.Split(token, ".")
	head, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		panic(err)
	}
	parts[0] = base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(head), "RS256", "PS256", 1)))
	return strings.Join(parts, ".")
}

func TestFederatedTokens(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	issuer, stranger := certify(t, "cluster", now, nil), certify(t, "stranger", now, nil)
	g := start(t, emulator.Options{Accounts: -1,
		Now: func() time.Time { return now }, SingleUseAssertions: true, FederatedCredentials: []emulator.FederatedCredential{
			{Issuer: "https://oidc.example", Subject: "system:serviceaccount:crm:crmbridge", Keys: map[string]*rsa.PublicKey{"k1": &issuer.key.PublicKey}}}})
	head := map[string]any{"kid": "k1"}
	claims := map[string]any{"iss": "https://oidc.example", "sub": "system:serviceaccount:crm:crmbridge",
		"aud": emulator.DefaultFederatedAudience,
		"jti": "1", "exp": now.Add(time.Hour).Unix()}
	for _, c := range []struct {
		name, token string
		number      int
	}{
		{"issuer", signJWT(issuer.key, "RS256", head, with(claims, "iss", "https://oidc.example/")), 700211},
		{"audience", signJWT(issuer.key, "RS256", head, with(claims, "aud", "https://kubernetes.default.svc")), 700212},
		{"subject, by case", signJWT(issuer.key, "RS256", head, with(claims, "sub", "system:serviceaccount:crm:CRMbridge")), 700213},
		{"algorithm", signJWT(issuer.key, "PS256", head, claims), 50027},
		{"key id", signJWT(issuer.key, "RS256", map[string]any{"kid": "k2"}, claims), 700027},
		{"key", signJWT(stranger.key, "RS256", head, claims), 700027},
		{"time", signJWT(issuer.key, "RS256", head, with(claims, "exp", now.Add(-time.Hour).Unix())), 700024},
		{"no jti", signJWT(issuer.key, "RS256", head, with(claims, "jti", nil)), 50027},
		{"right", signJWT(issuer.key, "RS256", head, claims), 0},
		{"a second time", signJWT(issuer.key, "RS256", head, claims), 50012},
	} {
		r := g.post(tokenPath, assertionForm(g.url, c.token))
		if c.number != 0 {
			checkEntraError(t, c.name, r, 401, "invalid_client", c.number)
		} else if r.status != 200 {
			t.Errorf("%s: %d %s", c.name, r.status, r.body)
		}
	}
}

// What the keys endpoint publishes must verify what the token endpoint signs.
func TestKeysVerifyTokens(t *testing.T) {
	g := start(t, emulator.Options{AutoConsent: true, Accounts: -1})
	var set struct {
		Keys []struct{ Kid, N, E, Kty, Use string }
	}
	if err := json.Unmarshal([]byte(g.do("GET", "/common/discovery/v2.0/keys", "", nil).body), &set); err != nil ||
		len(set.Keys) != 1 {
		t.Fatal(err)
	}
	n, err1 := base64.RawURLEncoding.DecodeString(set.Keys[0].N)
	e, err2 := base64.RawURLEncoding.DecodeString(set.Keys[0].E)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	key := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	tok := g.signIn("")
	for name, text := range map[string]string{"access token": tok.AccessToken, "id token": tok.Extra("id_token").(string)} {
		parts := strings.Split(text, ".")
		head, _ := base64.RawURLEncoding.DecodeString(parts[0])
		sig, err := base64.RawURLEncoding.DecodeString(parts[2])
		sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
		if err != nil || rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], sig) != nil ||
			!strings.Contains(string(head), `"kid":"`+set.Keys[0].Kid+`"`) {
			t.Errorf("%s: header %s", name, head)
		}
	}
}
