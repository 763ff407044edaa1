package emulator

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// tokenBody is the success answer of the token endpoint (section 1.5).
type tokenBody struct {
	TokenType    string `json:"token_type"`
	Scope        string `json:"scope,omitempty"`
	ExpiresIn    int    `json:"expires_in"`
	ExtExpiresIn int    `json:"ext_expires_in"`
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	ClientInfo   string `json:"client_info,omitempty"`
}

// serveToken is POST /{tenant}/oauth2/v2.0/token.
func (s *Server) serveToken(w http.ResponseWriter, r *http.Request, tenant string) {
	t := newTrace(r, s.opts.Now())
	entraHeaders(w, r, t)
	r.Body = http.MaxBytesReader(w, r.Body, 256<<10)
	grantType := "none"
	if r.Method == http.MethodPost && r.ParseForm() == nil {
		grantType = knownGrant(r.PostForm.Get("grant_type"))
	}
	s.tally.add(func(c *Counts) { c.Tokens[grantType]++ })
	w, done := s.fault(w, r, FaultToken, t)
	if done {
		return
	}
	body, fail := s.token(r, tenant)
	if fail != nil {
		s.tally.add(func(c *Counts) {
			c.TokenErrors[fail.kind]++
			c.TokenNumbers[strconv.Itoa(fail.number)]++
		})
		if fail.status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", "POST, OPTIONS")
		}
		fail.write(w, s.authority(r), t)
		return
	}
	writeJSON(w, http.StatusOK, body)
}

func knownGrant(g string) string {
	switch g {
	case "authorization_code", "refresh_token", "client_credentials":
		return g
	case "":
		return "none"
	}
	return "other"
}

func (s *Server) token(r *http.Request, tenant string) (*tokenBody, *entraError) {
	if r.Method != http.MethodPost {
		e := refuse("invalid_request", 900561, "The endpoint only accepts POST, OPTIONS requests. Received a %s request.",
			r.Method)
		e.status = http.StatusMethodNotAllowed
		return nil, e
	}
	tid, fail := s.tenant(tenant)
	if fail != nil {
		return nil, fail
	}
	f := r.PostForm
	if f.Get("grant_type") == "" {
		return nil, missingField("grant_type")
	}
	how, fail := s.client(r, tenant)
	if fail != nil {
		return nil, fail
	}
	if fail := checkClaims(f.Get("claims")); fail != nil {
		return nil, fail
	}
	switch f.Get("grant_type") {
	case "authorization_code":
		return s.redeemCode(r, tid, how)
	case "refresh_token":
		return s.redeemRefresh(r, how)
	case "client_credentials":
		return s.clientCredentials(r, tenant, how)
	}
	return nil, refuse("unsupported_grant_type", 70003, "The app requested an unsupported grant type '%s'.",
		f.Get("grant_type"))
}

func (s *Server) redeemCode(r *http.Request, tid, how string) (*tokenBody, *entraError) {
	f := r.PostForm
	for _, name := range []string{"code", "redirect_uri"} {
		if f.Get(name) == "" {
			return nil, missingField(name)
		}
	}
	c, ok := s.grants.code(f.Get("code"))
	switch {
	case !ok:
		return nil, refuse("invalid_grant", 70000,
			"The provided value for the 'code' parameter is not valid. The provided authorization code or refresh token is malformed or unknown.")
	case c.used:
		return nil, refuse("invalid_grant", 54005,
			"OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh token.")
	case s.opts.Now().After(c.expires):
		return nil, refuse("invalid_grant", 70008,
			"The provided authorization code or refresh token has expired due to inactivity. Send a new interactive authorization request for this user and resource.")
	case c.tenant != tid:
		return nil, refuse("invalid_grant", 700005,
			"Provided Authorization Code is intended to use against other tenant, thus rejected.")
	case c.redirectURI != f.Get("redirect_uri"):
		return nil, refuse("invalid_grant", 500112,
			"The reply address '%s' does not match the reply address '%s' provided when requesting Authorization code.",
			f.Get("redirect_uri"), c.redirectURI)
	case !c.proves(f.Get("code_verifier")):
		return nil, refuse("invalid_grant", 501481,
			"The Code_Verifier does not match the code_challenge supplied in the authorization request.")
	}
	if fail := s.refusal(c.grant); fail != nil {
		return nil, fail
	}
	scopes, fail := s.narrowed(r, c.scopes)
	if fail != nil {
		return nil, fail
	}
	if !s.grants.use(f.Get("code")) { // another request won the race
		return nil, refuse("invalid_grant", 54005,
			"OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh token.")
	}
	return s.delegated(r, c.grant, scopes, how)
}

// proves checks the PKCE verifier; a verifier for a code without challenge is refused as well.
func (c *code) proves(verifier string) bool {
	if c.challenge == "" {
		return verifier == ""
	}
	if !challengeForm.MatchString(verifier) {
		return false
	}
	if c.challengeMethod == "S256" {
		sum := sha256.Sum256([]byte(verifier))
		verifier = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return subtle.ConstantTimeCompare([]byte(verifier), []byte(c.challenge)) == 1
}

func (s *Server) redeemRefresh(r *http.Request, how string) (*tokenBody, *entraError) {
	key := r.PostForm.Get("refresh_token")
	if key == "" {
		return nil, missingField("refresh_token")
	}
	g, ok := s.grants.refreshToken(key)
	switch {
	case !ok:
		return nil, refuse("invalid_grant", 70000, "Provided grant is invalid or malformed.")
	case g.revoked:
		return nil, refuse("invalid_grant", 50173,
			"The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might have changed or reset their password. The grant was issued on '%s' and the TokensValidFrom date (before which tokens are not valid) for this user is '%s'.",
			g.made.UTC().Format("2006-01-02T15:04:05.0000000Z"), s.opts.Now().UTC().Format("2006-01-02T15:04:05.0000000Z"))
	case s.opts.Now().After(g.expires):
		return nil, refuse("invalid_grant", 700082,
			"The refresh token has expired due to inactivity. The token was issued on %s and was inactive for %d.00:00:00.",
			g.made.UTC().Format("2006-01-02T15:04:05.0000000Z"), int(s.opts.RefreshTokenLifetime.Hours()/24))
	}
	if fail := s.refusal(g.grant); fail != nil {
		return nil, fail
	}
	scopes, fail := s.narrowed(r, g.scopes)
	if fail != nil {
		return nil, fail
	}
	if s.opts.SingleUseRefreshTokens && !s.grants.useRefresh(key) {
		e := refuse("invalid_grant", 70000, "Provided grant is invalid or malformed.")
		e.suberror = "bad_token"
		return nil, e
	}
	// The next refresh token stands for the whole grant, also when this request asked for less of it.
	return s.delegated(r, g.grant, scopes, how)
}

// narrowed is the request's own scope parameter where there is one. The resource may be another
// one: consent is to the user's whole grant, and the emulator's application may ask for any
// environment that it serves. offline_access is part of any consent, so it may be asked for here
// alone; MSAL Go does.
func (s *Server) narrowed(r *http.Request, granted scopeSet) (scopeSet, *entraError) {
	text := strings.TrimSpace(r.PostForm.Get("scope"))
	if text == "" {
		return granted, nil
	}
	asked, fail := s.parseScopes(r, text)
	if fail != nil {
		return asked, fail
	}
	if asked.resource == "" {
		asked.resource, asked.names = granted.resource, granted.names
	}
	return asked, nil
}

// delegated makes the tokens of a person's grant.
func (s *Server) delegated(r *http.Request, g grant, scopes scopeSet, how string) (*tokenBody, *entraError) {
	now := s.opts.Now()
	if c := r.PostForm.Get("claims"); c != "" {
		g.claims = c
	}
	resource := scopes.resource
	if resource == "" {
		resource = graph
	}
	access, err := s.accessToken(accessFor{g.user, resource, "user_impersonation", how, g.claims})
	if err != nil {
		return nil, serverError()
	}
	body := &tokenBody{TokenType: "Bearer", Scope: scopes.granted(), AccessToken: access}
	body.ExpiresIn = s.expiresIn()
	body.ExtExpiresIn = body.ExpiresIn
	if scopes.has("offline_access") || r.PostForm.Get("grant_type") == "refresh_token" {
		g.made = now // of this token; the sign-in stays g.signedIn
		body.RefreshToken = s.grants.addRefresh(&refreshToken{grant: g, expires: now.Add(s.opts.RefreshTokenLifetime)})
	}
	if scopes.has("openid") {
		if body.IDToken, err = s.idToken(r, g); err != nil {
			return nil, serverError()
		}
	}
	if r.PostForm.Get("client_info") == "1" {
		body.ClientInfo = s.clientInfo(g.user)
	}
	return body, nil
}

func (s *Server) clientInfo(u *systemUser) string {
	b, err := json.Marshal(map[string]string{"uid": u.objectID.String(), "utid": strings.ToLower(s.opts.TenantID)})
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func (s *Server) clientCredentials(r *http.Request, tenant, how string) (*tokenBody, *entraError) {
	switch strings.ToLower(tenant) {
	case "common", "organizations":
		return nil, refuse("invalid_request", 9001023,
			"The grant type is not supported over the /common or /consumers endpoints. Please use the /organizations or tenant-specific endpoint.")
	}
	if s.opts.PublicClient {
		return nil, refuse("invalid_client", 7000218,
			"The request body must contain the following parameter: 'client_assertion' or 'client_secret'.")
	}
	text := r.PostForm.Get("scope")
	if strings.TrimSpace(text) == "" {
		return nil, missingField("scope")
	}
	scopes, fail := s.parseScopes(r, text)
	if fail != nil {
		return nil, fail
	}
	if !scopes.isDefault() { // OIDC scopes beside it mean nothing; MSAL sends them
		return nil, refuse("invalid_scope", 1002012,
			"The provided value for scope %s is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI).", text)
	}
	access, err := s.accessToken(accessFor{nil, scopes.resource, "", how, r.PostForm.Get("claims")})
	if err != nil {
		return nil, serverError()
	}
	return &tokenBody{TokenType: "Bearer", AccessToken: access, ExpiresIn: s.expiresIn(), ExtExpiresIn: s.expiresIn()}, nil
}

// expiresIn is one second short of the life, as Entra's answers are; never 0, which clients take for "does not expire".
func (s *Server) expiresIn() int {
	return max(1, int(s.rules.accessLifetime().Seconds())-1)
}

func serverError() *entraError {
	e := refuse("server_error", 90033, "A transient error has occurred. Please try again.")
	e.status = http.StatusInternalServerError
	return e
}
