package emulator

import (
	"net/http"
	"strings"
)

// claims are those of an access token for Dataverse, which still come in the form of Entra's version 1.
type claims struct {
	Aud    string `json:"aud"`
	Iss    string `json:"iss"`
	Iat    int64  `json:"iat"`
	Nbf    int64  `json:"nbf"`
	Exp    int64  `json:"exp"`
	AppID  string `json:"appid"`
	AppACR string `json:"appidacr"`
	IDTyp  string `json:"idtyp"`
	Name   string `json:"name,omitempty"`
	OID    string `json:"oid"`
	Scp    string `json:"scp,omitempty"`
	Sub    string `json:"sub"`
	TID    string `json:"tid"`
	UPN    string `json:"upn,omitempty"`
	UTI    string `json:"uti"`
	JTI    string `json:"jti"`
	Ver    string `json:"ver"`
	Serial int64  `json:"emulator_serial"`           // what ExpireAccessTokens goes by
	Asked  string `json:"emulator_claims,omitempty"` // the claims parameter, which challenges go by
}

// accessFor is what an access token is made of: the person or nil for the application, and how the
// application proved itself.
type accessFor struct {
	user                            *systemUser
	resource, scope, how, requested string
}

// accessToken makes one for a person, or for the application itself where u is nil.
func (s *Server) accessToken(f accessFor) (string, error) {
	now, u := s.opts.Now(), f.user
	c := claims{
		Aud: f.resource, Iss: "https://sts.windows.net/" + strings.ToLower(s.opts.TenantID) + "/",
		Iat: now.Unix(), Nbf: now.Unix(), Exp: now.Add(s.rules.accessLifetime()).Unix(),
		AppID: strings.ToLower(s.opts.ClientID), AppACR: f.how, IDTyp: "user", Scp: f.scope, Asked: f.requested,
		TID: strings.ToLower(s.opts.TenantID), UTI: secretText(16), JTI: randomGUID().String(), Ver: "1.0",
		Serial: s.serial.Add(1),
	}
	if u != nil {
		c.Name, c.UPN, c.OID = u.Name, u.UserName, u.objectID.String()
		c.Sub = namedGUID("sub", c.OID, c.AppID).String()
	} else {
		c.IDTyp = "app"
		c.OID = s.dir.servicePrincipal(s.opts.ClientID).String()
		c.Sub = c.OID
	}
	return s.signer.sign(c)
}

// idToken says who signed in, to the application.
func (s *Server) idToken(r *http.Request, g grant) (string, error) {
	now := s.opts.Now()
	m := map[string]any{
		"aud": strings.ToLower(s.opts.ClientID), "iss": s.issuer(r), "iat": now.Unix(), "nbf": now.Unix(),
		"exp": now.Add(s.rules.accessLifetime()).Unix(), "name": g.user.Name, "oid": g.user.objectID.String(),
		"preferred_username": g.user.UserName, "sub": namedGUID("sub", g.user.objectID.String(), s.opts.ClientID).String(),
		"tid": strings.ToLower(s.opts.TenantID), "uti": secretText(16), "ver": "2.0",
	}
	if g.nonce != "" {
		m["nonce"] = g.nonce
	}
	return s.signer.sign(m)
}
