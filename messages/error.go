package messages

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// A Code says what kind of error a reply carries; programs branch on it.
type Code string

// The codes, as section 6 of the contract lists them.
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

// codes gives each code its HTTP-like number, and says whether the same request
// may succeed when it is sent again unchanged.
var codes = map[Code]struct {
	number    int
	retryable bool
}{
	InvalidRequest:          {400, false},
	InvalidState:            {400, false},
	ReauthorizationRequired: {401, false},
	PermissionDenied:        {403, false},
	ConsentRequired:         {403, false},
	ConnectionNotFound:      {404, false},
	NotFound:                {404, false},
	ConnectionExists:        {409, false},
	IdentityMismatch:        {409, false},
	CursorExpired:           {410, false},
	TooLarge:                {413, false},
	NotSupported:            {422, false},
	Throttled:               {429, true},
	Cancelled:               {499, false},
	ConfigurationError:      {500, false},
	Internal:                {500, false},
	UpstreamError:           {502, true},
	Overloaded:              {503, true},
	Unavailable:             {503, true},
	DeadlineExceeded:        {504, true},
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

// Codes lists every code of the contract, in no particular order.
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
	return &Error{Code: code, Message: sayf(format, args...), Retryable: code.Retryable()}
}

// Invalid makes an invalid_request Error that names one place of the request.
func Invalid(path, format string, args ...any) *Error {
	fault := sayf(format, args...)
	message := fault
	if path != "" {
		path = strings.ToValidUTF8(path, "?")
		message = path + ": " + fault
	}
	return &Error{Code: InvalidRequest, Message: message, Details: []Detail{{Path: path, Message: fault}}}
}

// sayf formats a message as UTF-8 whatever it quotes, since an error that has no
// JSON form could not be answered.
func sayf(format string, args ...any) string {
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

// After says how long to wait before the request is sent again.
func (e *Error) After(wait time.Duration) *Error {
	e.RetryAfterMS = max(wait.Milliseconds(), 1)
	return e
}

// RetryAfter is the wait that the error asks for, 0 for none.
func (e *Error) RetryAfter() time.Duration {
	const most = math.MaxInt64 / int64(time.Millisecond) // a reply may say anything
	return time.Duration(min(max(e.RetryAfterMS, 0), most)) * time.Millisecond
}
