package emulator

import (
	"html/template"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// authorization is a validated authorize request.
type authorization struct {
	tenant, clientID, redirectURI string
	state, mode, prompt, hint     string
	nonce, challenge, method      string
	claims                        string
	scopes                        scopeSet
}

// serveAuthorize is GET /{tenant}/oauth2/v2.0/authorize.
func (s *Server) serveAuthorize(w http.ResponseWriter, r *http.Request, tenant string) {
	s.tally.add(func(c *Counts) { c.Authorize++ })
	t := newTrace(r, s.opts.Now())
	entraHeaders(w, r, t)
	w, done := s.fault(w, r, FaultAuthorize, t)
	if done {
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		w.Header().Set("Allow", "GET, POST")
		s.errorPage(w, refuse("invalid_request", 900561,
			"The endpoint only accepts GET, POST requests. Received a %s request.", r.Method), t)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		s.errorPage(w, refuse("invalid_request", 900144, "The request cannot be read."), t)
		return
	}
	a, known, fail := s.authorization(r, tenant, r.Form)
	switch {
	case fail != nil && !known:
		s.errorPage(w, fail, t)
	case fail != nil:
		a.fail(w, r, fail, t)
	case s.opts.AutoConsent:
		u := s.dir.signIn(a.hint)
		if u == nil {
			a.fail(w, r, refuse("invalid_request", 50034, "The user account %s does not exist in the %s directory.", a.hint,
				s.opts.TenantID), t)
			return
		}
		if fail := s.silentRefusal(a, u); fail != nil {
			a.fail(w, r, fail, t)
			return
		}
		s.consent(w, r, a, u, t)
	case a.prompt == "none":
		a.fail(w, r, refuse("login_required", 50058, "A silent sign-in request was sent but no user is signed in."), t)
	default:
		s.signInPage(w, tenant, r.Form, a)
	}
}

// serveSignIn takes the person's answer from the sign-in page.
func (s *Server) serveSignIn(w http.ResponseWriter, r *http.Request, tenant string) {
	t := newTrace(r, s.opts.Now())
	entraHeaders(w, r, t)
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if r.Method != http.MethodPost || r.ParseForm() != nil {
		s.errorPage(w, refuse("invalid_request", 900561, "The sign-in page's form is sent with POST."), t)
		return
	}
	a, known, fail := s.authorization(r, tenant, r.URL.Query())
	u := s.dir.byUserName(r.PostForm.Get("user"))
	switch {
	case fail != nil && !known:
		s.errorPage(w, fail, t)
	case fail != nil:
		a.fail(w, r, fail, t)
	case r.PostForm.Get("action") != "accept":
		e := refuse("access_denied", 65004, "User declined to consent to access the app.")
		a.fail(w, r, e, t)
	case u == nil || u.ApplicationID != "":
		s.errorPage(w, refuse("invalid_request", 50034, "The user account does not exist in the directory."), t)
	default:
		s.consent(w, r, a, u, t)
	}
}

var challengeForm = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)

// authorization validates the parameters; known says that client and redirect URI are good, so that
// errors may be sent there.
func (s *Server) authorization(r *http.Request, tenant string, q url.Values) (a authorization, known bool,
	fail *entraError) {
	tid, fail := s.tenant(tenant)
	if fail != nil {
		return a, false, fail
	}
	a = authorization{tenant: tid, clientID: q.Get("client_id"), redirectURI: q.Get("redirect_uri"), state: q.Get("state"),
		mode: q.Get("response_mode"), prompt: q.Get("prompt"), hint: q.Get("login_hint"), nonce: q.Get("nonce"),
		challenge: q.Get("code_challenge"), method: q.Get("code_challenge_method"), claims: q.Get("claims")}
	switch {
	case a.clientID == "":
		return a, false, missingField("client_id")
	case !strings.EqualFold(a.clientID, s.opts.ClientID):
		return a, false, s.unknownClient(a.clientID)
	case a.redirectURI == "":
		return a, false, missingField("redirect_uri")
	case !s.redirectAllowed(a.redirectURI):
		return a, false, s.unknownRedirect(a.redirectURI, a.clientID)
	}
	if a.mode == "" {
		a.mode = "query"
	}
	if !slices.Contains([]string{"query", "fragment", "form_post"}, a.mode) {
		mode := a.mode
		a.mode = "query"
		return a, true, refuse("invalid_request", 900144, "The value '%s' of the parameter 'response_mode' is not valid.",
			mode)
	}
	switch q.Get("response_type") {
	case "code":
	case "":
		return a, true, missingField("response_type")
	default:
		return a, true, refuse("unsupported_response_type", 700054,
			"response_type '%s' is not enabled for the application.", q.Get("response_type"))
	}
	if strings.TrimSpace(q.Get("scope")) == "" {
		return a, true, missingField("scope")
	}
	if a.scopes, fail = s.parseScopes(r, q.Get("scope")); fail != nil {
		return a, true, fail
	}
	if !slices.Contains([]string{"", "login", "none", "consent", "select_account"}, a.prompt) {
		return a, true, refuse("invalid_request", 90023, "Unsupported 'prompt' value.")
	}
	if fail := checkClaims(a.claims); fail != nil {
		return a, true, fail
	}
	return a, true, a.checkPKCE()
}

func (a *authorization) checkPKCE() *entraError {
	if a.challenge == "" {
		if a.method != "" {
			return missingField("code_challenge")
		}
		return nil
	}
	if a.method == "" {
		a.method = "plain"
	}
	if a.method != "plain" && a.method != "S256" {
		return refuse("invalid_request", 501491, "Invalid code_challenge_method '%s'. It must be 'plain' or 'S256'.",
			a.method)
	}
	if !challengeForm.MatchString(a.challenge) {
		return refuse("invalid_request", 501491, "Invalid size or form of Code_Challenge parameter.")
	}
	return nil
}

func (s *Server) redirectAllowed(uri string) bool {
	if slices.Contains(s.opts.RedirectURIs, uri) {
		return true
	}
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "http" || u.Hostname() != "localhost" || u.Port() == "" {
		return false
	}
	withoutPort := strings.Replace(uri, "localhost:"+u.Port(), "localhost", 1)
	return slices.Contains(s.opts.RedirectURIs, withoutPort)
}

// silentRefusal is what prompt=none gets where the person would have to do something.
func (s *Server) silentRefusal(a authorization, u *systemUser) *entraError {
	switch {
	case a.prompt != "none":
		return nil
	case s.rules.needsFactor(u):
		return s.factorRequired("interaction_required")
	case !s.rules.consented(u):
		return s.noConsent("interaction_required")
	}
	return nil
}

// consent makes the code and sends the browser back. Whoever gets here has signed in, with a second factor where one is
// required. A blocked account never leaves Entra's own page.
func (s *Server) consent(w http.ResponseWriter, r *http.Request, a authorization, u *systemUser, t trace) {
	if s.rules.isBlocked(u) {
		s.errorPage(w, refuse("invalid_grant", 50057,
			"Your account has been locked. Contact your support person to unlock it, then try again."), t)
		return
	}
	if !s.rules.agree(u) {
		a.fail(w, r, refuse("consent_required", 90094, "The grant requires admin permission."), t)
		return
	}
	now := s.opts.Now()
	key := s.grants.addCode(&code{
		grant: grant{user: u, clientID: s.opts.ClientID, tenant: a.tenant, scopes: a.scopes, nonce: a.nonce, made: now,
			session: randomGUID().String(), signedIn: now, mfa: s.rules.needsFactor(u), claims: a.claims},
		redirectURI: a.redirectURI, challenge: a.challenge, challengeMethod: a.method, expires: now.Add(s.opts.CodeLifetime),
	}, now)
	back := url.Values{"code": {key}, "session_state": {randomGUID().String()}}
	a.reply(w, r, back)
}

func (a *authorization) fail(w http.ResponseWriter, r *http.Request, e *entraError, t trace) {
	back := url.Values{"error": {e.kind}, "error_description": {e.description(t)}}
	if e.number == 65004 {
		back.Set("error_subcode", "cancel")
	}
	a.reply(w, r, back)
}

var postBack = template.Must(template.New("post").Parse(
	`<html><head><title>Working...</title></head><body onload="document.forms[0].submit()">` +
		`<form method="POST" name="hiddenform" action="{{.URI}}">{{range $k, $v := .Values}}<input type="hidden" name="{{$k}}" value="{{index $v 0}}"/>{{end}}` +
		`<noscript><p>Script is disabled. Click Submit to continue.</p><input type="submit" value="Submit"/></noscript></form></body></html>`))

// reply sends the parameters back in the response mode that was asked for.
func (a *authorization) reply(w http.ResponseWriter, r *http.Request, back url.Values) {
	if a.state != "" {
		back.Set("state", a.state)
	}
	switch a.mode {
	case "form_post":
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = postBack.Execute(w, struct {
			URI    string
			Values url.Values
		}{a.redirectURI, back}) // the client may be gone
	case "fragment":
		http.Redirect(w, r, a.redirectURI+"#"+back.Encode(), http.StatusFound)
	default:
		sep := "?"
		if strings.Contains(a.redirectURI, "?") {
			sep = "&"
		}
		http.Redirect(w, r, a.redirectURI+sep+back.Encode(), http.StatusFound)
	}
}

// tenant resolves the path's first segment.
func (s *Server) tenant(segment string) (string, *entraError) {
	switch strings.ToLower(segment) {
	case "organizations", "common", strings.ToLower(s.opts.TenantID), strings.ToLower(s.opts.TenantDomain):
		return strings.ToLower(s.opts.TenantID), nil
	}
	return "", refuse("invalid_request", 90002,
		"Tenant '%s' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant.", segment)
}

func (s *Server) unknownRedirect(uri, client string) *entraError {
	return refuse("invalid_request", 50011,
		"The redirect URI '%s' specified in the request does not match the redirect URIs configured for the application '%s'. Make sure the redirect URI sent in the request matches one added to your application in the Azure portal.", uri, client)
}

func (s *Server) unknownClient(id string) *entraError {
	return refuse("unauthorized_client", 700016,
		"Application with identifier '%s' was not found in the directory 'Contoso'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant.", id)
}
