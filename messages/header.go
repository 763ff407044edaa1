package messages

import "time"

// Headers of requests and replies.
const (
	// HeaderRequestID correlates a request with its replies: 1 to 128 printable
	// ASCII characters without spaces. crmbridge makes a UUIDv7 where it is absent.
	HeaderRequestID = "Crm-Request-Id"
	// HeaderDeadline is the RFC 3339 time at which the requester stops waiting.
	HeaderDeadline = "Crm-Deadline"
	// HeaderTraceParent and HeaderTraceState are the W3C trace context.
	HeaderTraceParent = "traceparent"
	HeaderTraceState  = "tracestate"
	// HeaderPage numbers the messages of a multi-message answer from 1.
	HeaderPage = "Crm-Page"
	// HeaderLast is "true" on the last message of a multi-message answer.
	HeaderLast = "Crm-Last"
	// HeaderRows counts the rows of a job's results up to this message, HeaderTotal is how
	// many there will be, where that is known.
	HeaderRows  = "Crm-Rows"
	HeaderTotal = "Crm-Total"
	// HeaderCheckpoint is the sealed place from which crmbridge goes on with a job. It is
	// not for readers.
	HeaderCheckpoint = "Crm-Checkpoint"
	// HeaderIncarnation is the incarnation of the connection that a job's message belongs
	// to. Readers ignore messages of another one than the job's.
	HeaderIncarnation = "Crm-Incarnation"
	// HeaderContentEncoding is how a result's body is compressed: absent, or zstd.
	HeaderContentEncoding = "Content-Encoding"
	// HeaderOperation and HeaderAttempts are of a dead letter, beside the headers of an
	// error.
	HeaderOperation = "Crm-Operation"
	HeaderAttempts  = "Crm-Attempts"
	// HeaderRetryOf is, on a job, the job whose dead letter it runs again.
	HeaderRetryOf = "Crm-Retry-Of"
	// HeaderErrorCode carries the Code of an error reply.
	HeaderErrorCode = "Crm-Error-Code"
	// HeaderServiceErrorCode and HeaderServiceError are the names that NATS's
	// services API gives the number and the message of an error.
	HeaderServiceErrorCode = "Nats-Service-Error-Code"
	HeaderServiceError     = "Nats-Service-Error"
)

// Bounds of a request's life on the interactive lane.
const (
	// DefaultDeadline is what a request without HeaderDeadline gets, from receipt.
	DefaultDeadline = 30 * time.Second
	// MaxDeadline caps HeaderDeadline, from receipt.
	MaxDeadline = 5 * time.Minute
)

// MaxCheckpoint bounds HeaderCheckpoint in bytes: JetStream takes 64 KiB of headers.
const MaxCheckpoint = 32 << 10

// MaxRequestID is the longest HeaderRequestID in bytes.
const MaxRequestID = 128

// ValidRequestID reports whether id may be a HeaderRequestID.
func ValidRequestID(id string) bool {
	if id == "" || len(id) > MaxRequestID {
		return false
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return false
		}
	}
	return true
}
