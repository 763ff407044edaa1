package durable

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

// An effect is what an error means for its job.
type effect int

const (
	// ends: the job fails at once.
	ends effect = iota + 1
	// counts: it is run again later; after mostAttempts such executions it fails.
	counts
	// waits: it is run again later, and that counts as nothing.
	waits
)

// effects has what each code means for a job.
var effects = map[messages.Code]effect{
	messages.InvalidRequest:          ends,
	messages.InvalidState:            ends,
	messages.ReauthorizationRequired: ends,
	messages.PermissionDenied:        ends,
	messages.ConsentRequired:         ends,
	messages.ConnectionNotFound:      ends,
	messages.NotFound:                ends,
	messages.ConnectionExists:        ends,
	messages.IdentityMismatch:        ends,
	messages.CursorExpired:           ends,
	messages.TooLarge:                ends,
	messages.NotSupported:            ends,
	messages.Cancelled:               ends,
	messages.ConfigurationError:      ends,
	messages.Internal:                counts,
	messages.UpstreamError:           counts,
	messages.Unavailable:             counts,
	messages.DeadlineExceeded:        counts, // of a call: the job's own ends it, see execution.overdue
	messages.Throttled:               waits,
	messages.Overloaded:              waits,
}

const (
	// mostAttempts is how many executions without a new page end in an error that may pass.
	mostAttempts = 5
	// mostTakeovers is how many owners a job may lose without a new page.
	mostTakeovers = 8

	firstRetry = 5 * time.Second
	mostRetry  = 10 * time.Minute
	// waitRetry is when a job is run again that waits for something that names no time.
	waitRetry = 10 * time.Second
)

// A verdict is what becomes of a job after an execution that ended in an error.
type verdict struct {
	fault    *messages.Error
	final    bool
	attempts int           // from now on
	after    time.Duration // when it is run again, where it is not final
	// blocked: Dataverse wants nothing more of the connection's user until then.
	blocked bool
}

// judge says what an error means for a job that has had so many attempts.
func judge(fault *messages.Error, attempts int) verdict {
	v := verdict{fault: fault, attempts: attempts}
	what := effects[fault.Code]
	switch {
	case errors.Is(fault, errFinal):
		what = ends
	case errors.Is(fault, tokens.ErrRedis), errors.Is(fault, errWaits):
		what = waits
	}
	switch what {
	case waits:
		v.after = fault.RetryAfter()
		if v.after == 0 {
			v.after = jittered(waitRetry)
		}
		v.blocked = fault.Code == messages.Throttled && ofUser(fault)
	case counts:
		v.attempts++
		v.final = v.attempts >= mostAttempts
		v.after = jittered(min(firstRetry<<min(attempts, 20), mostRetry))
	default: // a code that is not known here is none that passes
		v.final = true
	}
	return v
}

// ofUser reports whether an error of throttling is about all that the user does, not one
// query alone.
func ofUser(fault *messages.Error) bool {
	said, ok := errors.AsType[*dynamics.Error](fault)
	return !ok || !said.OfQuery()
}

// jittered is d, less up to a quarter of it.
func jittered(d time.Duration) time.Duration { return d - rand.N(d/4+1) }

// Marks of an error's cause, beside its code.
var (
	// errFinal: the job ends with it whatever its code.
	errFinal = errors.New("this does not pass")
	// errWaits: the job waits, whatever the code.
	errWaits = errors.New("this passes by itself")
)

// marked is a cause with a mark; its text is the cause's.
type marked struct{ mark, cause error }

func (m marked) Error() string {
	if m.cause == nil {
		return m.mark.Error()
	}
	return m.cause.Error()
}

func (m marked) Unwrap() []error { return []error{m.mark, m.cause} }

// final marks an error with which the job ends, whatever its code.
func final(fault *messages.Error) *messages.Error {
	return fault.Because(marked{errFinal, fault.Unwrap()})
}

// patient marks an error that has the job wait, whatever its code.
func patient(fault *messages.Error) *messages.Error {
	return fault.Because(marked{errWaits, fault.Unwrap()})
}
