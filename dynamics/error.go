package dynamics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Kind says what an [Error] means for the one who asked.
type Kind int

// The kinds of an Error.
const (
	// Upstream: the environment answered something that is not usable: a
	// redirect, broken JSON, a status that the Web API does not use.
	Upstream Kind = iota + 1
	// NotFound: no row with this id, or no environment at this address.
	NotFound
	// Forbidden: the user may not; Privilege names what is missing if
	// Dataverse said it.
	Forbidden
	// Unauthorized: Dataverse refused the access token, and its replacement, which
	// may pass by itself.
	Unauthorized
	// Throttled: a service protection limit; RetryAfter is set if Dataverse
	// sent it.
	Throttled
	// Invalid: the request is wrong. Status is 0 if it was refused before
	// anything was sent.
	Invalid
	// UnknownColumn: the table has no such column; Column names it if it is
	// one that the request used.
	UnknownColumn
	// AggregateLimit: more than the 50,000 rows that Dataverse aggregates.
	AggregateLimit
	// TooLarge: the URL, the answer or a collection exceeds its bound.
	TooLarge
	// Unavailable: the network failed, a gateway answered, or no answer came
	// in time.
	Unavailable
	// Cancelled: the caller's context ended; errors.Is tells
	// context.Canceled from context.DeadlineExceeded.
	Cancelled
	// Overloaded: too many calls wait already; nothing was sent.
	Overloaded
	// Expired: Dataverse no longer knows the place that a link of its own leads
	// to, in its record of changes or among pages; what was asked for must be read
	// anew.
	Expired
	// Untracked: the environment does not track the table's changes.
	Untracked
	// Defect: this package was about to send what it must not; nothing was sent.
	Defect
	// PagesEnd: the order is one that Dataverse pages without cookies, and pages
	// after the first [MaxSimplePaging] rows cannot be had.
	PagesEnd
	// NotConsented: the person who connected was not told that the table is read; see
	// [Access].Tables. Nothing was sent.
	NotConsented
	// NoTable: the environment has no such table, because it does not have the
	// product that brings it ([Table].Product).
	NoTable
)

// String returns the kind as a lower-case word for logs and metric labels.
func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return "unknown"
	}
	return kindNames[k]
}

var kindNames = [...]string{"none", "upstream", "not_found", "forbidden", "unauthorized", "throttled", "invalid",
	"unknown_column", "aggregate_limit", "too_large", "unavailable", "cancelled", "overloaded", "expired", "untracked",
	"defect",
	"pages_end", "not_consented", "no_table"}

// Sentinel causes, found with errors.Is below an [Error].
var (
	// ErrConnectionChanged: the connection was deleted, made again, moved to
	// another environment or connected by another user while the session was open.
	// Kind Invalid.
	ErrConnectionChanged = errors.New("the connection changed while it was in use")
	// ErrURLTooLong: the query needs a URL of more than [MaxBatchURL] characters.
	// Kind TooLarge.
	ErrURLTooLong = errors.New("the query is longer than the 65,536 characters that Dataverse takes; give fewer or shorter values, or split the list of values over several requests")
	// ErrClosed: the client was closed. Kind Unavailable.
	ErrClosed = errors.New("the client is closed")
)

// Error is every error that this package makes. Its text names the operation,
// the kind and what Dataverse said, and holds no URL, token or filter value;
// the cause under Unwrap is for errors.Is and errors.As and not part of the
// text.
type Error struct {
	Kind       Kind
	Op         string        // operation as in [Call]
	Table      Table         // that was asked about, zero where none was
	Status     int           // HTTP status, 0 if there was no answer
	Code       string        // Dataverse's code, for example "0x80040220"; may be empty
	Message    string        // for people: one line, at most 1 KiB
	RetryAfter time.Duration // from Retry-After, 0 if absent; at most MaxRetryAfter
	Limit      Limit         // of the service protection limits, with Throttled
	RequestID  string        // Dataverse's own id, else the one that was sent
	Privilege  string        // for example "prvReadAccount"
	Column     string        // logical name of the column at fault
	Claims     string        // claims of a 401 challenge, as sent; never in the text
	Err        error         // cause

	challenges []string      // WWW-Authenticate of a 401
	wait       time.Duration // before the next attempt
	retry      bool          // another attempt may help
	hasty      bool          // a caller with more time might not have got it; see flights
}

// OfQuery reports whether Dataverse refused only this query, because of what it costs
// its database: it holds the query back (kind Throttled), or the query timed out (kind
// Unavailable). It says nothing about other requests, of the same user either
// ("Query throttling", "Query anti-patterns",
// https://learn.microsoft.com/power-apps/developer/data-platform/query-throttling).
func (e *Error) OfQuery() bool { return e.Status != 0 && codeOf(e.Code).Query }

// MayPass reports whether the same request may be answered another time: an answer
// broke off, or something stood in its way for a moment.
func (e *Error) MayPass() bool { return e.retry }

// OfChanges reports whether the error is one of [Session.Changes].
func (e *Error) OfChanges() bool { return e.Table.Name != "" && e.Op == e.Table.op(opChanges) }

// Error returns one line without URL, token or value.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("dynamics: ")
	if e.Op != "" {
		b.WriteString(e.Op + ": ")
	}
	b.WriteString(strings.ReplaceAll(e.Kind.String(), "_", " "))
	if e.Status != 0 {
		fmt.Fprintf(&b, " (%d", e.Status)
		if e.Code != "" {
			b.WriteString(" " + e.Code)
		}
		b.WriteString(")")
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.RetryAfter > 0 {
		fmt.Fprintf(&b, "; retry after %s", e.RetryAfter)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// GoString returns the same text as Error, so that %#v shows no more.
func (e *Error) GoString() string { return e.Error() }

// LogValue returns the fields that are safe to log.
func (e *Error) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("kind", e.Kind.String()), slog.String("op", e.Op), slog.Int("status", e.Status),
		slog.String("code", e.Code), slog.String("message", e.Message),
		slog.Duration("retry_after", e.RetryAfter), slog.String("dynamics_request_id", e.RequestID))
}

// KindOf returns the kind of the [Error] in err's chain, and 0 if there is none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return 0
}

// refuse makes the error of a request that is wrong before it is sent.
func refuse(op, column, format string, args ...any) *Error {
	return &Error{Kind: Invalid, Op: op, Column: column, Message: fmt.Sprintf(format, args...)}
}

// unusable makes the error of an answer that cannot be used.
func unusable(op, message string, cause error) *Error {
	return &Error{Kind: Upstream, Op: op, Message: message, Err: cause}
}

// ended makes the error of a caller whose context is over.
func ended(ctx context.Context, op string) *Error {
	err := ctx.Err()
	if err == nil { // its deadline is now
		err = context.DeadlineExceeded
	}
	message := "the caller went away"
	if errors.Is(err, context.DeadlineExceeded) {
		message = "the deadline passed"
	}
	return &Error{Kind: Cancelled, Op: op, Message: message, Err: err}
}
