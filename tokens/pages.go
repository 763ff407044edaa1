package tokens

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	maxQuery = 16 << 10
	pageTime = 30 * time.Second
)

//go:embed pages.html
var pagesText string

//go:embed pages.css
var pagesStyle string

// PagesStyle is the style sheet of the pages, for others that are to look like them.
func PagesStyle() string { return pagesStyle }

// page is what the template shows.
type page struct {
	Style template.CSS
	Operator
	Reads   []reading // what may be read
	Title   string
	Failed  bool
	Opening *Opening    // the connect page
	Done    *Connection // the success page
	Lines   []string    // what happened and what to do
	Consent string      // where an administrator can consent
	Detail  string      // what went wrong, for those who are asked for help
	Again   bool        // loading the same page again may help
}

type pages struct {
	*Authorizer
	show   *template.Template
	policy string // Content-Security-Policy
	goes   string // the same for the connect page, whose form leads to Microsoft
	cookie string
	secure bool
}

// Handler serves /connect/<ticket>, /oauth/callback and the operator's logo. GET and
// HEAD use nothing up, however often a mail scanner or a link preview asks: going on
// to Microsoft is a POST, behind a button.
func (a *Authorizer) Handler() http.Handler {
	style := sha256.Sum256([]byte(pagesStyle))
	policy := "default-src 'none'; img-src 'self'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(style[:]) +
		"'; base-uri 'none'; frame-ancestors 'none'; form-action "
	p := &pages{
		Authorizer: a,
		show:       template.Must(template.New("page").Funcs(template.FuncMap{"directory": directoryShown}).Parse(pagesText)),
		policy:     policy + "'none'",
		// The button's answer leads to Microsoft, which may lead on to the customer's own
		// identity provider: browsers apply the directive to each step.
		goes:   policy + "'self' https: " + a.entra.authority,
		cookie: "crmbridge",
		secure: strings.HasPrefix(a.public, "https://"),
	}
	if p.secure {
		p.cookie = "__Host-crmbridge"
	}
	mux := http.NewServeMux()
	mux.Handle("/connect/{ticket}", p.guard(p.connect))
	mux.Handle("/oauth/callback", p.guard(p.callback))
	if len(a.operator.Logo) > 0 {
		mux.Handle("/operator/logo", p.guard(p.logo))
	}
	return mux
}

func (p *pages) guard(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", p.policy)
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("X-Robots-Tag", "noindex")
		if p.secure {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		switch {
		case r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/connect/"):
			r.Body = http.MaxBytesReader(w, r.Body, maxQuery)
			ctx, cancel := context.WithTimeout(r.Context(), pageTime)
			defer cancel()
			p.goOn(w, r.WithContext(ctx))
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		case len(r.URL.RawQuery) > maxQuery:
			http.Error(w, "the query is too long", http.StatusRequestURITooLong)
		default:
			ctx, cancel := context.WithTimeout(r.Context(), pageTime)
			defer cancel()
			next(w, r.WithContext(ctx))
		}
	})
}

func (p *pages) connect(w http.ResponseWriter, r *http.Request) {
	ticket := r.PathValue("ticket")
	if r.Method == http.MethodHead {
		p.head(w, p.TicketKnown(r.Context(), ticket))
		return
	}
	o, err := p.Look(r.Context(), ticket, p.browser(r))
	if err != nil {
		p.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Security-Policy", p.goes)
	http.SetCookie(w, &http.Cookie{
		Name: p.cookie, Value: o.Cookie.Reveal(), Path: "/", Secure: p.secure,
		HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
	p.write(w, http.StatusOK, page{Title: "Connect Dynamics 365", Opening: &o, Reads: p.readings(o.Tables, o.New)})
}

// goOn makes a state for the browser and leads to Microsoft. Only the page's own
// button does: the cookie, which the page has set, is not sent with another site's
// form, since it is SameSite.
func (p *pages) goOn(w http.ResponseWriter, r *http.Request) {
	cookie := p.browser(r)
	if site := r.Header.Get("Sec-Fetch-Site"); cookie == "" || site != "" && site != "same-origin" {
		p.fail(w, r, newError(CodeInvalidRequest, "the button of the connect page leads here, in a browser that takes "+
			"cookies", nil))
		return
	}
	o, err := p.Ticket(r.Context(), r.PathValue("ticket"), cookie)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	w.Header().Set("Location", o.AuthorizationURL)
	w.WriteHeader(http.StatusSeeOther)
}

// logo serves the operator's logo, which Go has recognised as a picture.
func (p *pages) logo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", p.operator.LogoType)
	w.Header().Set("Content-Length", strconv.Itoa(len(p.operator.Logo)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(p.operator.Logo)
	}
}

func (p *pages) callback(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead {
		p.head(w, nil)
		return
	}
	cb, admin, err := readCallback(r.URL.RawQuery)
	switch {
	case err != nil:
		p.fail(w, r, err)
		return
	case admin:
		// The directory in this answer proves nothing, so nothing is done with it.
		p.write(w, http.StatusOK, page{Title: "Back from the administrator's approval", Lines: []string{
			"Microsoft came back from asking an administrator for consent.",
			"If consent was given, open the connect link again or ask for a new one.",
		}})
		return
	}
	cb.BrowserCookie = p.browser(r)
	c, err := p.Complete(r.Context(), cb)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	p.write(w, http.StatusOK, page{Title: "Connected", Done: &c, Reads: p.readings(c.Tables, nil)})
}

// readCallback takes the members it knows, each at most once.
func readCallback(raw string) (cb Callback, admin bool, err error) {
	q, err := url.ParseQuery(raw)
	if err != nil {
		return cb, false, invalid("", "the address is not what Microsoft redirects to")
	}
	for _, k := range []string{"state", "code", "error", "error_description", "admin_consent"} {
		if len(q[k]) > 1 {
			return cb, false, invalid(k, k+" is given more than once")
		}
	}
	if strings.EqualFold(q.Get("admin_consent"), "true") {
		return cb, true, nil
	}
	return Callback{
		State: q.Get("state"), Code: Secret(q.Get("code")),
		Error: q.Get("error"), ErrorDescription: q.Get("error_description"),
	}, false, nil
}

// browser returns the binding cookie; "" where it is missing or ambiguous.
func (p *pages) browser(r *http.Request) Secret {
	if c := r.CookiesNamed(p.cookie); len(c) == 1 && token256(c[0].Value) {
		return Secret(c[0].Value)
	}
	return ""
}

func (p *pages) head(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err != nil {
		w.WriteHeader(statusOf(err))
	}
}

func (p *pages) fail(w http.ResponseWriter, r *http.Request, err error) {
	f, ok := errors.AsType[*Error](err)
	if !ok {
		f = newError(CodeInternal, "something went wrong", err)
	}
	p.log.WarnContext(r.Context(), "page failed", "page", r.Pattern, "code", f.Code, "error", f.Error())
	what := f.Message
	if f.Code == CodeInternal || what == "" {
		what = "something went wrong inside crmbridge"
	}
	t := failurePageOf(f)
	p.write(w, statusOf(err), page{
		Title: t.title, Failed: true, Consent: f.AdminConsentURL, Lines: t.advice, Again: t.again, Detail: what,
	})
}

func (p *pages) write(w http.ResponseWriter, status int, v page) {
	v.Style, v.Operator = template.CSS(pagesStyle), p.operator
	var b bytes.Buffer
	if err := p.show.Execute(&b, v); err != nil {
		p.log.Error("page cannot be shown", "error", err)
		http.Error(w, "something went wrong", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// statuses are the numbers of messages/README.md#errors.
var statuses = map[string]int{
	CodeInvalidRequest: 400, CodeInvalidState: 400, CodeReauthorizationRequired: 401, CodePermissionDenied: 403,
	CodeConsentRequired: 403, CodeConnectionNotFound: 404, CodeConnectionExists: 409, CodeIdentityMismatch: 409,
	CodeThrottled: 429, CodeConfigurationError: 500, CodeInternal: 500, CodeUpstreamError: 502,
	CodeUnavailable: 503, CodeDeadlineExceeded: 504,
}

func statusOf(err error) int { return statuses[CodeOf(err)] }
