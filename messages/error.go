package messages

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// A Code is the kind of error that a reply carries; programs branch on it.
type Code string

// The codes. README.md explains them.
const (
	InvalidRequest          Code = "invalid_request"
	InvalidState            Code = "invalid_state"
	ReauthorizationRequired Code = "reauthorization_required"
	PermissionDenied        Code = "permission_denied"
	ConsentRequired         Code = "consent_required"
	ConnectionNotFound      Code = "connection_not_found"
	NotFound                Code = "not_found"
	ConnectionExists        Code = "connection_exists"
	IdentityMismatch        Code = "identity_mismatch"
	CursorExpired           Code = "cursor_expired"
	TooLarge                Code = "too_large"
	NotSupported            Code = "not_supported"
	Throttled               Code = "throttled"
	Cancelled               Code = "cancelled"
	ConfigurationError      Code = "configuration_error"
	Internal                Code = "internal"
	UpstreamError           Code = "upstream_error"
	Overloaded              Code = "overloaded"
	Unavailable             Code = "unavailable"
	DeadlineExceeded        Code = "deadline_exceeded"
)

// codes holds the HTTP-like number of each code, whether the same request may
// succeed when it is sent again unchanged, and what the code means in general.
var codes = map[Code]struct {
	number    int
	retryable bool
	sentence  string
}{
	InvalidRequest:          {400, false, "the request is not one that can be answered"},
	InvalidState:            {400, false, "the sign-in is unknown, used or expired; start it again"},
	ReauthorizationRequired: {401, false, "a person must connect again"},
	PermissionDenied:        {403, false, "the connection's user may not do this"},
	ConsentRequired:         {403, false, "the person or an administrator must consent"},
	ConnectionNotFound:      {404, false, "there is no such connection"},
	NotFound:                {404, false, "there is no such row, or the user may not see it"},
	ConnectionExists:        {409, false, "the connection belongs to another environment"},
	IdentityMismatch:        {409, false, "another user or directory than the connection's"},
	CursorExpired:           {410, false, "the cursor's place is not known any more; start again without a cursor"},
	TooLarge:                {413, false, "the request or its answer is too large"},
	NotSupported:            {422, false, "the environment, or this version, cannot do this"},
	Throttled:               {429, true, "too many requests; wait and try again"},
	Cancelled:               {499, false, "the request was cancelled"},
	ConfigurationError:      {500, false, "crmbridge's set-up is at fault, which its operator mends"},
	Internal:                {500, false, "crmbridge failed on this request; its log tells more under this request id"},
	UpstreamError:           {502, true, "the other side answered something unusable"},
	Overloaded:              {503, true, "too many requests wait already; try again"},
	Unavailable:             {503, true, "this does not work at the moment; try again"},
	DeadlineExceeded:        {504, true, "the deadline passed before the answer was ready"},
}

// Number is the HTTP-like number that goes with the code, 500 for an unknown one.
func (c Code) Number() int {
	if known, ok := codes[c]; ok {
		return known.number
	}
	return 500
}

// Retryable reports whether the same request may succeed later, unchanged.
func (c Code) Retryable() bool { return codes[c].retryable }

// Sentence is what the code means in general: the message of an error that has
// none of its own.
func (c Code) Sentence() string {
	if known, ok := codes[c]; ok {
		return known.sentence
	}
	return "the request failed"
}

// Codes lists every code, in no particular order.
func Codes() []Code {
	all := make([]Code, 0, len(codes))
	for code := range codes {
		all = append(all, code)
	}
	return all
}

// An Error is the error member of a reply: a code for programs, a message for
// people. Its cause is for operators and never crosses the wire.
type Error struct {
	Code            Code           `json:"code"`
	Message         string         `json:"message"`
	Retryable       bool           `json:"retryable"`
	RetryAfterMS    int64          `json:"retry_after_ms,omitzero"`
	Details         []Detail       `json:"details,omitempty"`
	AdminConsentURL string         `json:"admin_consent_url,omitzero"`
	Dynamics        *DynamicsError `json:"dynamics,omitzero"`

	cause error
}

// A Detail names one fault: where it is and what would be right.
type Detail struct {
	Path    string `json:"path"`
	Message string `json:"message"`
}

// DynamicsError is what Dataverse itself said.
type DynamicsError struct {
	Status    int    `json:"status"`
	Code      string `json:"code"`
	Message   string `json:"message"`
	RequestID string `json:"request_id"`
}

// Errorf makes an Error of a code with a message for the requester.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: formatted(format, args...), Retryable: code.Retryable()}
}

// Invalid makes an invalid_request Error that names one place of the request.
func Invalid(path, format string, args ...any) *Error {
	fault := formatted(format, args...)
	message := fault
	if path != "" {
		path = strings.ToValidUTF8(path, "?")
		message = path + ": " + fault
	}
	return &Error{Code: InvalidRequest, Message: message, Details: []Detail{{Path: path, Message: fault}}}
}

// formatted writes a message as UTF-8 whatever it quotes, since an error that has no
// JSON form could not be answered.
func formatted(format string, args ...any) string {
	return strings.ToValidUTF8(fmt.Sprintf(format, args...), "?")
}

// Error is the code and the message.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Unwrap is the cause, nil on the requester's side.
func (e *Error) Unwrap() error { return e.cause }

// Because attaches the cause that operators see in the log.
func (e *Error) Because(cause error) *Error {
	e.cause = cause
	return e
}

// After sets how long to wait before the request is sent again.
func (e *Error) After(wait time.Duration) *Error {
	e.RetryAfterMS = max(wait.Milliseconds(), 1)
	return e
}

// RetryAfter is the wait that the error asks for. It is 0 where the error asks for none: where it is
// Retryable then, back off, from a second on.
func (e *Error) RetryAfter() time.Duration {
	const most = math.MaxInt64 / int64(time.Millisecond) // a reply may hold any number
	return time.Duration(min(max(e.RetryAfterMS, 0), most)) * time.Millisecond
}
