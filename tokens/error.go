package tokens

import (
	"errors"
	"time"
)

// Codes of [Error], as messages/README.md#errors defines them.
const (
	CodeInvalidRequest          = "invalid_request"
	CodeInvalidState            = "invalid_state"
	CodeReauthorizationRequired = "reauthorization_required"
	CodePermissionDenied        = "permission_denied"
	CodeConsentRequired         = "consent_required"
	CodeConnectionNotFound      = "connection_not_found"
	CodeConnectionExists        = "connection_exists"
	CodeIdentityMismatch        = "identity_mismatch"
	CodeThrottled               = "throttled"
	CodeConfigurationError      = "configuration_error"
	CodeInternal                = "internal"
	CodeUpstreamError           = "upstream_error"
	CodeUnavailable             = "unavailable"
	CodeDeadlineExceeded        = "deadline_exceeded"
)

// Error is every error of this package: a code for programs, a message for
// people, a cause for operators. No part of it holds a token, a secret, an
// authorization code or a sentence of Microsoft's own error text.
type Error struct {
	Code    string // one of the Code constants
	Message string // one sentence or two for the requester
	// Field is the request member at fault, "" where there is none.
	Field      string
	Retryable  bool          // the same call may succeed later
	RetryAfter time.Duration // how long to wait before that; 0 = unknown
	// AdminConsentURL is where a directory administrator can consent; only with
	// CodeConsentRequired.
	AdminConsentURL string
	// AADSTS is Entra's error number, 0 where there is none.
	AADSTS int
	// Actor is who must act so that it works, "" where that is not known.
	Actor Actor
	Err   error // the cause; may be nil
	// own: it is of this connection, or of its directory, and says nothing about others.
	own bool
	// claims gives Entra's claims challenge, nil where there is none. It is a
	// function so that no printer sees it.
	claims func() Secret
}

// Error returns code, message and cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Code + ": " + e.Message
	}
	return e.Code + ": " + e.Message + " (" + e.Err.Error() + ")"
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// CodeOf returns the code of the first [Error] in err's chain, "" for nil and
// [CodeInternal] for an error of another kind.
func CodeOf(err error) string {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeInternal
}

func newError(code, message string, cause error) *Error {
	return &Error{Code: code, Message: message, Err: cause}
}

func invalid(field, message string) *Error {
	return &Error{Code: CodeInvalidRequest, Field: field, Message: message}
}
