package emulator

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha1" // the thumbprint that x5t is defined as
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// assertion is a JWT whose form is right and whose truth is not known yet.
type assertion struct {
	header assertionHeader
	claims assertionClaims
	signed string
	sig    []byte
}

type assertionHeader struct {
	Alg     string   `json:"alg"`
	Kid     string   `json:"kid"`
	X5t     string   `json:"x5t"`
	X5tS256 string   `json:"x5t#S256"`
	X5c     []string `json:"x5c"`
}

type assertionClaims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  audience `json:"aud"`
	ID        string   `json:"jti"`
	Expires   *float64 `json:"exp"`
	NotBefore *float64 `json:"nbf"`
}

// audience is one string or a list of them (RFC 7519, section 4.1.3).
type audience []string

func (a *audience) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() == '"' {
		var one string
		err := json.UnmarshalDecode(d, &one)
		*a = audience{one}
		return err
	}
	return json.UnmarshalDecode(d, (*[]string)(a))
}

const (
	maxAssertion  = 16 << 10
	assertionSkew = 5 * time.Minute
)

func malformedJWT(format string, a ...any) *entraError {
	return refuse("invalid_client", 50027, "JWT token is invalid or malformed. "+format, a...)
}

// parseAssertion reads the compact form; no text of the assertion gets into the refusal.
func parseAssertion(text string) (*assertion, *entraError) {
	signed, sig64, ok := cutLast(text, ".")
	head64, body64, ok2 := strings.Cut(signed, ".")
	if !ok || !ok2 || len(text) > maxAssertion || strings.Contains(body64, ".") {
		return nil, malformedJWT("It must have three parts and at most %d characters.", maxAssertion)
	}
	a := &assertion{signed: signed}
	head, err1 := base64.RawURLEncoding.DecodeString(head64)
	body, err2 := base64.RawURLEncoding.DecodeString(body64)
	sig, err3 := base64.RawURLEncoding.DecodeString(sig64)
	if err1 != nil || err2 != nil || err3 != nil {
		return nil, malformedJWT("A part is not base64url without padding.")
	}
	if json.Unmarshal(head, &a.header) != nil || json.Unmarshal(body, &a.claims) != nil {
		return nil, malformedJWT("A part is not a JSON object with the members of a JWT.")
	}
	if a.header.Alg != "RS256" && a.header.Alg != "PS256" {
		return nil, malformedJWT("The signing algorithm must be RS256 or PS256.")
	}
	for _, t := range []*float64{a.claims.Expires, a.claims.NotBefore} {
		if t != nil && (*t < 0 || *t > 253402300799) { // the year 9999
			return nil, malformedJWT("A time is out of range.")
		}
	}
	if a.claims.Expires == nil {
		return nil, malformedJWT("The claim 'exp' is missing.")
	}
	a.sig = sig
	return a, nil
}

// signedBy verifies the signature over what was sent.
func (a *assertion) signedBy(key *rsa.PublicKey) bool {
	sum := sha256.Sum256([]byte(a.signed))
	if a.header.Alg == "PS256" { // RFC 7518, section 3.5: the salt is as long as the hash
		return rsa.VerifyPSS(key, crypto.SHA256, sum[:], a.sig,
			&rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
	}
	return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], a.sig) == nil
}

// inTime checks exp and nbf with the skew that Entra allows; a missing nbf is the epoch.
func (a *assertion) inTime(now time.Time) *entraError {
	from, to := time.Unix(0, 0), time.Unix(int64(*a.claims.Expires), 0)
	if a.claims.NotBefore != nil {
		from = time.Unix(int64(*a.claims.NotBefore), 0)
	}
	if now.Before(to.Add(assertionSkew)) && !now.Before(from.Add(-assertionSkew)) {
		return nil
	}
	const form = "2006-01-02T15:04:05.0000000Z"
	return refuse("invalid_client", 700024,
		"Client assertion is not within its valid time range. Current time: %s, assertion valid from %s, expiry time of assertion %s. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials .",
		now.UTC().Format(form), from.UTC().Format(form), to.UTC().Format(form))
}

// certificateAssertion checks what the application signed with the key of one of its certificates.
func (s *Server) certificateAssertion(r *http.Request, tenant string, a *assertion) *entraError {
	if !strings.EqualFold(a.claims.Issuer, s.opts.ClientID) || !strings.EqualFold(a.claims.Subject, s.opts.ClientID) {
		return refuse("invalid_client", 700021,
			"Client assertion application identifier doesn't match 'client_id' parameter. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials .")
	}
	cert, fail := s.certificate(a.header)
	if fail != nil {
		return fail
	}
	now := s.opts.Now()
	key, isRSA := cert.PublicKey.(*rsa.PublicKey)
	switch {
	case now.After(cert.NotAfter):
		return s.badSignature(a.header, "The key used is expired.", cert)
	case !isRSA || !a.signedBy(key):
		return s.badSignature(a.header, "The provided signature value did not match the expected signature value.", cert)
	case !slices.ContainsFunc(a.claims.Audience,
		func(aud string) bool { return slices.Contains(s.assertionAudiences(r, tenant), aud) }):
		return refuse("invalid_client", 700023,
			"Client assertion audience claim does not match Realm issuer. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials .")
	}
	if fail := a.inTime(now); fail != nil {
		return fail
	}
	return s.once(a)
}

// once refuses an identifier that was seen before, where the options ask for it.
func (s *Server) once(a *assertion) *entraError {
	if !s.opts.SingleUseAssertions {
		return nil
	}
	if a.claims.ID == "" {
		return malformedJWT("The claim 'jti' is missing.")
	}
	if !s.rules.firstUse(a.claims.ID, s.opts.Now(), time.Unix(int64(*a.claims.Expires), 0).Add(assertionSkew)) {
		return refuse("invalid_client", 50012, "Authentication failed. The client assertion was used before.")
	}
	return nil
}

// assertionAudiences are the token endpoints and issuers of the tenant, under the host and the
// tenant's name that were asked.
func (s *Server) assertionAudiences(r *http.Request, tenant string) []string {
	var out []string
	for _, base := range []string{s.authority(r), origin(r)} {
		for _, t := range []string{tenant, strings.ToLower(s.opts.TenantID), strings.ToLower(s.opts.TenantDomain)} {
			out = append(out, base+"/"+t+"/oauth2/v2.0/token", base+"/"+t+"/oauth2/token", base+"/"+t+"/v2.0")
		}
	}
	return out
}

// certificate finds the registered one that the header names: x5t#S256 or x5t in either alphabet,
// or kid with the thumbprint in hex.
func (s *Server) certificate(h assertionHeader) (*x509.Certificate, *entraError) {
	for _, c := range s.opts.ClientCertificates {
		if h.names(c) {
			return c, nil
		}
	}
	if h.X5tS256+h.X5t+h.Kid != "" && len(h.X5c) == 0 {
		return nil, s.badSignature(h, "The key was not found.", nil)
	}
	if len(h.X5c) > 0 { // subject name and issuer authentication, which no application here has
		der, _ := base64.StdEncoding.DecodeString(h.X5c[0])
		subject := "(unreadable)"
		if c, err := x509.ParseCertificate(der); err == nil {
			subject = c.Subject.String()
		}
		return nil, refuse("invalid_client", 700030,
			"Invalid certificate - subject name in certificate isn't authorized. SubjectNames/SubjectAlternativeNames (up to 10) in token certificate are: %.200q.", subject)
	}
	return nil, malformedJWT("No certificate thumbprint or KeyId is specified in the token header ('x5t', 'x5t#S256' or 'kid').")
}

// names says whether every thumbprint in the header is the certificate's; kid counts where there is none.
func (h assertionHeader) names(c *x509.Certificate) bool {
	sum256, sum1 := sha256.Sum256(c.Raw), sha1.Sum(c.Raw)
	if h.X5tS256+h.X5t == "" {
		return strings.EqualFold(h.Kid, hex.EncodeToString(sum1[:]))
	}
	return (h.X5tS256 == "" || string(thumbprint(h.X5tS256)) == string(sum256[:])) &&
		(h.X5t == "" || string(thumbprint(h.X5t)) == string(sum1[:]))
}

// thumbprint decodes base64 in the URL or the standard alphabet, padded or not; nil for anything else.
func thumbprint(text string) []byte {
	text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
	b, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	return b
}

func (s *Server) badSignature(h assertionHeader, reason string, found *x509.Certificate) *entraError {
	print := strings.ToUpper(h.Kid)
	if t := h.X5tS256 + h.X5t; t != "" {
		print = strings.ToUpper(hex.EncodeToString(thumbprint(t)))
	}
	if len(print) > 64 {
		print = print[:64]
	}
	key := ""
	if found != nil {
		const form = "01/02/2006 15:04:05"
		key = fmt.Sprintf(", Found key 'Start=%s, End=%s'", found.NotBefore.UTC().Format(form),
			found.NotAfter.UTC().Format(form))
	}
	return refuse("invalid_client", 700027,
		"The certificate with identifier used to sign the client assertion is not registered on application. [Reason - %s, Thumbprint of key used by client: '%s'%s, Please visit the Azure Portal, Graph Explorer or directly use MS Graph to see configured keys for app Id '%s'.]",
		reason, strings.Map(printable, print), key, s.opts.ClientID)
}

func printable(r rune) rune {
	if r < ' ' || r > '~' {
		return -1
	}
	return r
}
