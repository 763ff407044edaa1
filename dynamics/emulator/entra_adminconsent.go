package emulator

import (
	"html/template"
	"net/http"
	"net/url"
	"strings"
)

// adminConsent is a validated admin-consent request.
type adminConsent struct {
	tenant, clientID, redirectURI, state, scope string
	v2                                          bool
}

var adminPage = template.Must(template.New("admin").Parse(
	`<!doctype html><html lang="en"><head><meta charset="utf-8">` +
		`<meta name="viewport" content="width=device-width"><title>Permissions requested (emulator)</title>` + pageStyle + `</head><body><main>
<h1>Permissions requested: review for your organization</h1><p class="note">This is an emulated Entra ID. No real account is used.</p>
<p>The application <b>{{.Client}}</b> asks for <code>{{.Scope}}</code>, for everybody in {{.Tenant}}.</p>
<form method="post" action="{{.Action}}"><button name="action" value="accept">Accept</button><button name="action" value="cancel">Cancel</button></form>
</main></body></html>
`))

// serveAdminConsent is GET /{tenant}/v2.0/adminconsent and /{tenant}/adminconsent. Whoever asks
// counts as the administrator.
func (s *Server) serveAdminConsent(w http.ResponseWriter, r *http.Request, tenant string, v2 bool) {
	s.tally.add(func(c *Counts) { c.AdminConsent++ })
	t := newTrace(r, s.opts.Now())
	entraHeaders(w, r, t)
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", "GET")
		s.errorPage(w, refuse("invalid_request", 900561, "The endpoint only accepts GET requests. Received a %s request.",
			r.Method), t)
		return
	}
	a, fail := s.adminConsent(r, tenant, v2)
	switch {
	case fail != nil:
		s.errorPage(w, fail, t)
	case s.opts.AutoConsent:
		s.adminAnswer(w, r, a, true, t)
	default:
		action := "/_emulator/adminconsent/" + url.PathEscape(tenant)
		if v2 {
			action += "/v2.0"
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
		w.Header().Set("X-Frame-Options", "DENY")
		_ = adminPage.Execute(w, map[string]string{"Client": a.clientID, "Scope": a.scope, "Tenant": s.opts.TenantDomain,
			"Action": action + "?" + r.URL.Query().Encode()}) // the client may be gone
	}
}

// serveAdminAnswer takes the administrator's answer from that page.
func (s *Server) serveAdminAnswer(w http.ResponseWriter, r *http.Request, tenant string) {
	t := newTrace(r, s.opts.Now())
	entraHeaders(w, r, t)
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if r.Method != http.MethodPost || r.ParseForm() != nil {
		s.errorPage(w, refuse("invalid_request", 900561, "The page's form is sent with POST."), t)
		return
	}
	tenant, v2 := strings.CutSuffix(tenant, "/v2.0")
	a, fail := s.adminConsent(r, tenant, v2)
	if fail != nil {
		s.errorPage(w, fail, t)
		return
	}
	s.adminAnswer(w, r, a, r.PostForm.Get("action") == "accept", t)
}

// adminConsent validates; every failure is a page, since nothing vouches for the redirect URI yet.
func (s *Server) adminConsent(r *http.Request, tenant string, v2 bool) (adminConsent, *entraError) {
	q := r.URL.Query()
	a := adminConsent{clientID: q.Get("client_id"), redirectURI: q.Get("redirect_uri"), state: q.Get("state"),
		scope: q.Get("scope"), v2: v2}
	tid, fail := s.tenant(tenant)
	switch {
	case fail != nil:
		return a, fail
	case strings.EqualFold(tenant, "common"): // section 1.12: a tenant or organizations
		return a, refuse("invalid_request", 9002313,
			"Invalid request. Request is malformed or invalid. Admin consent needs a tenant or 'organizations', not 'common'.")
	case a.clientID == "":
		return a, missingField("client_id")
	case !strings.EqualFold(a.clientID, s.opts.ClientID):
		return a, s.unknownClient(a.clientID)
	case a.redirectURI == "":
		return a, missingField("redirect_uri")
	case !s.redirectAllowed(a.redirectURI):
		return a, s.unknownRedirect(a.redirectURI, a.clientID)
	}
	a.tenant = tid
	if !v2 { // version 1 has no scope: it is what the application is registered for
		a.scope = "user_impersonation"
		return a, nil
	}
	if strings.TrimSpace(a.scope) == "" {
		return a, missingField("scope")
	}
	_, fail = s.parseScopes(r, a.scope)
	return a, fail
}

// adminAnswer remembers the consent and sends the browser back, in the two versions' forms of section 1.12.
func (s *Server) adminAnswer(w http.ResponseWriter, r *http.Request, a adminConsent, accepted bool, t trace) {
	back := url.Values{}
	if a.v2 || accepted {
		back.Set("admin_consent", "True")
	}
	switch {
	case accepted:
		s.rules.adminAgrees()
		back.Set("tenant", a.tenant)
		if a.v2 {
			back.Set("scope", a.scope)
		}
	case a.v2:
		back.Set("error", "consent_required")
		back.Set("error_description", refuse("", 65004,
			"The resource owner or authorization server denied the request.").description(t))
	default:
		back.Set("error", "permission_denied")
		back.Set("error_description", "The admin canceled the request")
	}
	if a.state != "" {
		back.Set("state", a.state)
	}
	sep := "?"
	if strings.Contains(a.redirectURI, "?") {
		sep = "&"
	}
	http.Redirect(w, r, a.redirectURI+sep+back.Encode(), http.StatusFound)
}
