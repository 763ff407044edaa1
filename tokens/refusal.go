package tokens

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	json "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/oauth2"
)

// refusal is an error answer of Entra, from the token endpoint or on the way back
// from the authorize endpoint.
type refusal struct {
	Error       string         `json:"error"`
	Description string         `json:"error_description"`
	Suberror    string         `json:"suberror"`
	Codes       []int          `json:"error_codes"`
	Claims      jsontext.Value `json:"claims"`
}

// judge decides by the error code; suberror and number refine it. An error that
// speaks of Entra itself or of the client's own authentication is never the
// person's grant, and neither is one that a suberror or number blames on the set-up.
func (r refusal) judge(grant string) (meaning, int) {
	by := meaning{class: byError[r.Error]}
	sub := bySuberror[r.Suberror]
	refined, number := meaning{}, 0
	if len(r.Codes) > 0 {
		number = r.Codes[0]
	}
	for _, n := range r.Codes {
		if m, ok := byNumber[n]; ok {
			refined, number = m, n
			break
		}
	}
	if grant == GrantClientCredentials && refined.app != classUnknown {
		refined.class = refined.app
		return refined, number
	}
	if refined.hint == "" {
		refined.hint = sub.hint
	}
	switch {
	case refined.class == classLoop, refined.class == classClock:
		return refined, number
	case by.class == classLater:
		return by, number
	case r.Error == "invalid_client" && refined.class != classLater && refined.class != classDirectory:
		by.hint = refined.hint
		return by, number
	case sub.class != classUnknown && sub.class != classPerson:
		return sub, number
	case refined.class != classUnknown:
		return refined, number
	}
	by.hint = refined.hint
	return by, number
}

// loopPause is how long nothing is asked after Entra reported a request loop.
const loopPause = 5 * time.Minute

// verdict words the answer for one grant type.
func (r refusal) verdict(grant string) *Error {
	m, number := r.judge(grant)
	e := &Error{AADSTS: number, Actor: m.actor(), own: r.own(m.class, number)}
	switch m.class {
	case classPerson, classConsent, classCode:
		e.Code, e.Message = r.person(m.class, grant)
	case classConfiguration:
		e.Code, e.Message = CodeConfigurationError,
			"Entra refuses this installation's set-up, which its operator must mend"
	case classDirectory:
		e.Code, e.Message = CodeConfigurationError, "Entra refuses because of how the customer's directory is set up, "+
			"which "+string(ActorAdministrator)+" must mend"
	case classClock:
		e.Code, e.Message = CodeConfigurationError, "Entra refuses the proof that this installation gives of itself"
	case classLater:
		e.Code, e.Message, e.Retryable = CodeUnavailable, "Entra cannot answer now; try again", true
	case classLoop:
		e.Code, e.Message, e.Retryable = CodeUnavailable, "Entra saw the same request too often; wait some minutes",
			true
		e.RetryAfter = loopPause
	default:
		e.Code, e.Message = CodeUpstreamError, "Entra refused with an error that crmbridge does not know"
	}
	e.Message += explain(number, m.hint, r.Error)
	if claims := readClaims(r.claimsText()); claims != "" {
		e.claims = func() Secret { return claims }
	}
	return e
}

// own reports whether the answer concerns the connection or its directory alone: an
// administrator who blocks the application is one customer's, a wrong secret and an
// Entra that cannot answer are everybody's.
func (r refusal) own(c class, number int) bool {
	switch c {
	case classClock, classLater:
		return false
	case classConfiguration:
		_, known := byNumber[number]
		return known && !ofAll[number] || !known && r.Error != "invalid_client"
	}
	return true
}

// person words what concerns the one who signs in, or the application as itself.
func (r refusal) person(c class, grant string) (code, message string) {
	switch {
	case grant == grantRefresh:
		return CodeReauthorizationRequired, "Microsoft no longer accepts this connection's grant; a person " +
			"must connect again"
	case grant == GrantClientCredentials && c == classConsent:
		return CodeConsentRequired, "the directory has not let the application in; an administrator must consent"
	case grant == GrantClientCredentials:
		return CodePermissionDenied, "the directory does not let the application in"
	case c == classConsent:
		return CodeConsentRequired, "consent was not given"
	case c == classCode, r.Error == "invalid_grant" && slices.Contains([]string{"", "bad_token", "token_expired"},
		r.Suberror) &&
		(len(r.Codes) == 0 || r.Codes[0] == 70000 || r.Codes[0] == 70008):
		return CodeInvalidState, "Microsoft does not accept the authorization code, it was used or has " +
			"expired; start again"
	}
	return CodeReauthorizationRequired, "Microsoft did not let this person in"
}

// explain adds number and hint; an unknown number is still told, since people
// look it up.
func explain(number int, hint, oauthError string) string {
	if hint != "" {
		hint = ": " + hint
	}
	switch {
	case number != 0:
		return fmt.Sprintf("%s (AADSTS%d)", hint, number)
	case byError[oauthError] != classUnknown:
		return hint + " (" + oauthError + ")"
	}
	return hint
}

// claimsText is the challenge: JSON in a string, or as it is.
func (r refusal) claimsText() string {
	if r.Claims.Kind() != '"' {
		return string(r.Claims)
	}
	var text string
	if json.Unmarshal(r.Claims, &text) != nil {
		return ""
	}
	return text
}

// classify turns what x/oauth2 returns into an *Error. Nothing of the original
// text is kept: it may hold the response's body or the request's URL.
func classify(grant string, err error) *Error {
	answered, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		return silence(err)
	}
	status, header := answered.Response.StatusCode, answered.Response.Header
	if status == http.StatusTooManyRequests {
		return &Error{Code: CodeThrottled, Message: "Entra limits the requests; try again", Retryable: true,
			RetryAfter: retryAfter(header, 30*time.Second)}
	}
	r, ok := readRefusal(status, answered.Body)
	if !ok {
		return &Error{Code: CodeUnavailable, Retryable: true, RetryAfter: retryAfter(header, 0),
			Message: fmt.Sprintf("Entra's token endpoint answered HTTP %d without an OAuth answer; try again", status)}
	}
	e := r.verdict(grant)
	if e.Retryable && e.RetryAfter == 0 {
		e.RetryAfter = retryAfter(header, 0)
	}
	return e
}

// readRefusal takes what only Entra can have said: an OAuth error with the status
// that OAuth has for it (RFC 6749, section 5.2), or with another 4xx if it bears
// Entra's own number. A proxy's or an outage's page is never a verdict on a grant.
func readRefusal(status int, body []byte) (r refusal, ok bool) {
	if json.Unmarshal(body, &r) != nil || r.Error == "" {
		return refusal{}, false
	}
	if len(r.Codes) == 0 {
		r.Codes = numberIn(r.Description)
	}
	switch {
	case len(r.Codes) == 0 && r.Error == "access_denied": // not of the token endpoint: a proxy's
		return refusal{}, false
	case status == http.StatusBadRequest, status == http.StatusUnauthorized:
		return r, true
	case status > http.StatusUnauthorized && status < http.StatusInternalServerError:
		return r, len(r.Codes) > 0
	}
	return refusal{}, false
}

// silence classifies a request without a usable answer. It never says anything
// about the grant.
func silence(err error) *Error {
	why, cause := "cannot be reached", error(nil)
	dns, isDNS := errors.AsType[*net.DNSError](err)
	_, isCert := errors.AsType[*tls.CertificateVerificationError](err)
	_, isCA := errors.AsType[x509.UnknownAuthorityError](err)
	op, isOp := errors.AsType[*net.OpError](err)
	switch {
	case errors.Is(err, context.Canceled):
		why, cause = "was not asked to the end", context.Canceled
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		why, cause = "did not answer in time", context.DeadlineExceeded
	case isDNS:
		why = "cannot be reached: the name " + dns.Name + " was not found"
	case isCert, isCA:
		why = "cannot be trusted: its TLS certificate is not valid here"
	case isOp:
		why = "cannot be reached: " + op.Op + " failed"
		cause = op.Err
	default:
		why = "gave no usable answer"
	}
	return &Error{Code: CodeUnavailable, Message: "Entra's token endpoint " + why + "; try again", Retryable: true,
		Err: cause}
}

// maxRetryAfter bounds what a header may make us wait, as it does for Dataverse.
const maxRetryAfter = 10 * time.Minute

// retryAfter reads seconds or an HTTP date (RFC 9110, 10.2.3); a date that is past is 0,
// and what is neither is otherwise.
func retryAfter(h http.Header, otherwise time.Duration) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v != "" && strings.Trim(v, "0123456789") == "" {
		seconds, err := strconv.ParseUint(v, 10, 32)
		if err != nil { // more digits than the number has
			return maxRetryAfter
		}
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(v); err == nil {
		return min(max(time.Until(at), 0), maxRetryAfter)
	}
	return otherwise
}
