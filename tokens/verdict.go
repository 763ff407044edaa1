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
	"strconv"
	"time"

	json "github.com/go-json-experiment/json"
	"golang.org/x/oauth2"
)

// class is what an answer of Entra means for the grant.
type class int

const (
	classUnknown       class = iota
	classPerson              // a person must sign in again
	classConsent             // a person or an administrator must consent
	classCode                // the authorization code or its PKCE verifier is no good; start again
	classConfiguration       // this installation or the app registration is wrong
	classLater               // Entra is not able to answer now
	classLoop                // Entra saw the same request too often
)

// numbers are the AADSTS numbers that refine what the OAuth error code says.
// Source: Microsoft's reference of authentication error codes.
var numbers = map[int]class{
	54005: classCode, 700005: classCode, 501481: classCode, 50147: classCode, 501491: classCode, 50089: classCode,

	70000: classPerson, 70008: classPerson, 700082: classPerson, 700084: classPerson, 70043: classPerson,
	50173: classPerson, 50132: classPerson, 50133: classPerson, 50013: classPerson, 500133: classPerson,
	50072: classPerson, 50074: classPerson, 50076: classPerson, 50078: classPerson, 50079: classPerson,
	50055: classPerson, 50144: classPerson, 50057: classPerson, 50034: classPerson, 50020: classPerson,
	50105: classPerson, 50097: classPerson, 53000: classPerson, 53001: classPerson, 53002: classPerson,
	53003: classPerson, 530032: classPerson, 530034: classPerson, 530035: classPerson, 50158: classPerson,
	16000: classPerson, 700020: classPerson,

	65001: classConsent, 65004: classConsent, 90094: classConsent, 90095: classConsent,

	7000215: classConfiguration, 7000222: classConfiguration, 7000218: classConfiguration, 700025: classConfiguration,
	700027: classConfiguration, 700030: classConfiguration, 50012: classConfiguration, 700016: classConfiguration,
	700011: classConfiguration, 70001: classConfiguration, 7000112: classConfiguration, 70002: classConfiguration,
	50011: classConfiguration, 900971: classConfiguration, 70004: classConfiguration, 500011: classConfiguration,
	50001: classConfiguration, 650057: classConfiguration, 650052: classConfiguration, 650056: classConfiguration,
	65005: classConfiguration, 70011: classConfiguration, 28002: classConfiguration, 28003: classConfiguration,
	700022: classConfiguration, 700023: classConfiguration, 90002: classConfiguration, 90038: classConfiguration,
	50194: classConfiguration, 9001023: classConfiguration, 90124: classConfiguration, 90130: classConfiguration,
	900144: classConfiguration, 900561: classConfiguration, 901002: classConfiguration,

	50033: classLater, 50087: classLater, 50088: classLater, 90006: classLater, 90012: classLater, 90024: classLater,
	90033: classLater, 90055: classLater, 90090: classLater, 40010: classLater, 70012: classLater,

	50196: classLoop,
}

// byError is what the OAuth error code says by itself.
var byError = map[string]class{
	"invalid_grant": classPerson, "interaction_required": classPerson, "login_required": classPerson,
	"consent_required": classConsent, "access_denied": classConsent,
	"invalid_client": classConfiguration, "unauthorized_client": classConfiguration,
	"unsupported_grant_type": classConfiguration, "unsupported_response_type": classConfiguration,
	"invalid_scope": classConfiguration, "invalid_resource": classConfiguration, "invalid_request": classConfiguration,
	"temporarily_unavailable": classLater, "server_error": classLater,
}

// hints say what to do about the numbers that are met most often.
var hints = map[int]string{
	700082:  "the refresh token was not used for too long",
	700084:  "the redirect URL is registered for a single-page application, whose grants end after 24 hours; register it as Web",
	70043:   "the directory's sign-in frequency policy ended the session",
	50173:   "the grant was revoked, for example after a password reset",
	50057:   "the user account is disabled",
	50055:   "the user's password has expired",
	50144:   "the user's password has expired",
	50072:   "multi-factor authentication must be set up",
	50074:   "multi-factor authentication is required",
	50076:   "multi-factor authentication is required",
	50078:   "the multi-factor authentication has expired",
	50079:   "multi-factor authentication must be set up",
	50105:   "the user is not assigned to the application; an administrator must assign it",
	50020:   "the user does not belong to this directory",
	50034:   "the user does not exist in this directory",
	53003:   "a Conditional Access policy forbids it",
	65001:   "the application has no consent",
	65004:   "the person declined to consent",
	90094:   "an administrator must consent",
	90095:   "an administrator's consent was asked for and is pending",
	7000215: "ENTRA_CLIENT_SECRET is wrong; it must be the value, not the id, of a client secret",
	7000222: "the client secret has expired; make a new one and set ENTRA_CLIENT_SECRET",
	7000218: "the application needs a client secret; set ENTRA_CLIENT_SECRET",
	700025:  "the app registration is a public client; register the redirect URL for the platform Web",
	50011:   "PUBLIC_URL/oauth/callback is not registered as a redirect URL of the app registration",
	700016:  "ENTRA_CLIENT_ID is not known in this directory",
	500011:  "the environment is not known in this directory; check environment URL and tenant",
	90002:   "the directory does not exist in this cloud; check tenant and ENTRA_AUTHORITY_URL",
	90038:   "the directory is in another cloud; check ENTRA_AUTHORITY_URL",
	50194:   "the app registration is for one directory only; make it multitenant or give the tenant",
	650057:  "the app registration lacks the delegated permission Dynamics CRM user_impersonation",
	65005:   "the app registration lacks the delegated permission Dynamics CRM user_impersonation",
}

// refusal is an error answer of Entra, from the token endpoint or on the way back
// from the authorize endpoint.
type refusal struct {
	Error    string `json:"error"`
	Suberror string `json:"suberror"`
	Codes    []int  `json:"error_codes"`
}

// judge decides by the error code; the numbers refine it. An error that speaks of
// Entra itself or of the client's own authentication is never the person's grant.
func (r refusal) judge() (class, int) {
	number := 0
	if len(r.Codes) > 0 {
		number = r.Codes[0]
	}
	by := byError[r.Error]
	refined := classUnknown
	for _, n := range r.Codes {
		if c, ok := numbers[n]; ok {
			refined, number = c, n
			break
		}
	}
	switch {
	case refined == classLoop:
		return classLoop, number
	case by == classLater:
		return by, number
	case r.Error == "invalid_client" && refined != classLater:
		return by, number
	case refined != classUnknown:
		return refined, number
	case r.Suberror == "consent_required":
		return classConsent, number
	}
	return by, number
}

// loopPause is how long nothing is asked after Entra reported a request loop.
const loopPause = 5 * time.Minute

// verdict words the answer for one grant type.
func (r refusal) verdict(grant string) *Error {
	c, number := r.judge()
	e := &Error{AADSTS: number}
	switch c {
	case classPerson, classConsent, classCode:
		e.Code, e.Message = r.person(c, grant)
	case classConfiguration:
		e.Code, e.Message = CodeConfigurationError, "Entra refuses this installation's set-up"
	case classLater:
		e.Code, e.Message, e.Retryable = CodeUnavailable, "Entra cannot answer now; try again", true
	case classLoop:
		e.Code, e.Message, e.Retryable = CodeUnavailable, "Entra saw the same request too often; wait some minutes", true
		e.RetryAfter = loopPause
	default:
		e.Code, e.Message = CodeUpstreamError, "Entra refused with an error that crmbridge does not know"
	}
	e.Message += explain(number, r.Error)
	return e
}

func (r refusal) person(c class, grant string) (code, message string) {
	const again = "a person must connect again"
	switch {
	case grant == "refresh_token":
		return CodeReauthorizationRequired, "Microsoft no longer accepts this connection's grant; " + again
	case c == classConsent:
		return CodeConsentRequired, "consent was not given"
	case c == classCode, r.Error == "invalid_grant" && (len(r.Codes) == 0 || r.Codes[0] == 70000 || r.Codes[0] == 70008):
		return CodeInvalidState, "Microsoft does not accept the authorization code, it was used or has expired; start again"
	}
	return CodeReauthorizationRequired, "Microsoft did not let this person in"
}

// explain adds number and hint; an unknown number is still told, since people
// look it up.
func explain(number int, oauthError string) string {
	hint := hints[number]
	switch {
	case number != 0 && hint != "":
		return fmt.Sprintf(": %s (AADSTS%d)", hint, number)
	case number != 0:
		return fmt.Sprintf(" (AADSTS%d)", number)
	case byError[oauthError] != classUnknown:
		return " (" + oauthError + ")"
	}
	return ""
}

// classify turns what x/oauth2 returns into an *Error. Nothing of the original
// text is kept: it may hold the response's body or the request's URL.
func classify(grant string, err error) *Error {
	answered, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		return silence(err)
	}
	status := answered.Response.StatusCode
	if status == http.StatusTooManyRequests {
		return &Error{Code: CodeThrottled, Message: "Entra limits the requests; try again", Retryable: true,
			RetryAfter: retryAfter(answered.Response.Header, 30*time.Second)}
	}
	var r refusal
	if status >= 500 || json.Unmarshal(answered.Body, &r) != nil || r.Error == "" {
		return &Error{Code: CodeUnavailable, Retryable: true, RetryAfter: retryAfter(answered.Response.Header, 0),
			Message: fmt.Sprintf("Entra's token endpoint answered HTTP %d without an OAuth answer; try again", status)}
	}
	e := r.verdict(grant)
	if e.Retryable && e.RetryAfter == 0 {
		e.RetryAfter = retryAfter(answered.Response.Header, 0)
	}
	return e
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
	return &Error{Code: CodeUnavailable, Message: "Entra's token endpoint " + why + "; try again", Retryable: true, Err: cause}
}

// maxRetryAfter bounds what a header may make us wait.
const maxRetryAfter = 15 * time.Minute

func retryAfter(h http.Header, otherwise time.Duration) time.Duration {
	v := h.Get("Retry-After")
	if n, err := strconv.Atoi(v); err == nil && n >= 0 {
		return min(time.Duration(min(n, 1<<20))*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(v); err == nil {
		return min(max(time.Until(at), 0), maxRetryAfter)
	}
	return otherwise
}
