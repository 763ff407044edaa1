package dynamics

import (
	"cmp"
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"
)

// Principal is whom Dataverse's service protection limits count: one user of one
// organization, by whichever connection the calls come
// (https://learn.microsoft.com/power-apps/developer/data-platform/api-limits).
type Principal struct {
	// Environment is the canonical origin to which the calls go. A [Session] sets it,
	// whatever a [TokenSource] says: the ids are what an environment claims of itself,
	// and one that claims another's must share nothing with it.
	Environment string
	// Organization and User are ids as WhoAmI gave them, "" where they are not known.
	Organization, User string
}

// in binds what is known of a principal to the environment that says it.
func (p Principal) in(environment string) Principal {
	if p.known() {
		p.Environment = environment
	}
	return p
}

func (p Principal) known() bool { return p.Organization != "" || p.User != "" }

// Limit is one of the three service protection limits.
type Limit int

// The limits; NoLimit is an answer that is none of a limit's.
const (
	NoLimit          Limit = iota
	LimitRequests          // 6,000 requests in 300 s
	LimitTime              // 1,200 s of execution in 300 s
	LimitConcurrency       // 52 requests at once
	LimitUnknown           // 429 with another code or none
)

// String returns the limit as a word for logs and metric labels.
func (l Limit) String() string {
	if l < 0 || int(l) >= len(limitNames) {
		return "unknown"
	}
	return limitNames[l]
}

var limitNames = [...]string{"none", "requests", "time", "concurrency", "unknown"}

// MaxRetryAfter bounds what Retry-After may ask for. An environment that asks for more
// is asked once after this time, and that call's outcome decides: a wait must have an
// end that does not depend on what one answer said.
const MaxRetryAfter = 10 * time.Minute

// Answer is what a [Gate] learns from a call that is over.
type Answer struct {
	// Answered: Dataverse took the call or refused it for another reason than a limit.
	// False where nothing was sent, nothing came back, or only a gateway answered.
	Answered   bool
	Limit      Limit
	RetryAfter time.Duration // what Dataverse asked for with the limit, at most MaxRetryAfter
	Sent       bool          // it was sent, whatever came of it: it counts among the day's calls
}

// A Gate lets calls begin, so that a fleet keeps to the limits of a user together.
type Gate interface {
	// Enter waits until a call of the principal may begin, at most until ctx ends.
	// queue is the connection: the queues of a user are served in turn. Where [Background]
	// says that ctx is a job's, the call gives way to others of the user. The call's
	// answer must be reported once. The errors are an [*Error] of kind Throttled, with
	// RetryAfter, where Dataverse wants nothing for longer than a call may wait;
	// Overloaded where too many wait already; Cancelled where ctx ended.
	Enter(ctx context.Context, p Principal, queue string) (leave func(Answer), err error)
}

// A QuickGate is a [Gate] at which most calls begin at once.
type QuickGate interface {
	Gate
	// TryEnter is Enter for a call that need not wait: ok is false where it has to, or is to
	// be refused, and then it has not been counted. background is what [Background] says.
	TryEnter(p Principal, background bool) (slot Slot, ok bool)
}

// A Slot is what a call has that may begin.
type Slot interface {
	// Leave reports the call's answer and gives the slot back. It is called once, and the
	// slot is not used after it.
	Leave(Answer)
}

// leaver is a Slot of Enter's.
type leaver func(Answer)

func (l leaver) Leave(a Answer) { l(a) }

// A Prober is a [Gate] that can be told to try a principal who is blocked.
type Prober interface {
	// ProbeSoon lets the next call of the principal begin at once, where none may, and
	// its outcome decide on the others: somebody has connected again.
	ProbeSoon(ctx context.Context, p Principal)
}

// remaining reads a number as Dataverse writes it there: 7999 or 1,200.00.
func remaining(text string) float64 {
	if text == "" { // without an error to be made
		return -1
	}
	var space [32]byte // what is longer has an allocation of its own
	digits := space[:0]
	for i := range len(text) {
		if text[i] != ',' {
			digits = append(digits, text[i])
		}
	}
	n, err := strconv.ParseFloat(string(digits), 64)
	if err != nil || !(n >= 0) || math.IsInf(n, 0) {
		return -1
	}
	return n
}

// noGate ends a call that passed no gate.
func noGate(Answer) {}

// enter passes the gate, where there is one.
func (c *Client) enter(ctx context.Context, r *request) (Slot, error) {
	if c.config.Gate == nil || !r.principal.known() {
		return leaver(noGate), nil
	}
	if c.quick != nil && ctx.Err() == nil {
		if slot, ok := c.quick.TryEnter(r.principal, Background(ctx)); ok {
			return c.withinDay(r, slot)
		}
	}
	r.account.Idle()
	defer r.account.Resume()
	leave, err := c.config.Gate.Enter(ctx, r.principal, r.queue)
	if err == nil {
		return c.withinDay(r, leaver(leave))
	}
	if e, ok := errors.AsType[*Error](err); ok {
		own := *e
		own.Op = cmp.Or(e.Op, r.op)
		own.hasty = e.Kind == Overloaded || !fits(ctx, e.RetryAfter)
		return nil, &own
	}
	return nil, err
}

// limit is the limit that an answer of Dataverse is about.
func (e *Error) limit() Limit {
	if e.Kind != Throttled || e.Status == 0 || e.OfQuery() {
		return NoLimit
	}
	if limit := codeOf(e.Code).Limit; limit != NoLimit {
		return limit
	}
	return LimitUnknown
}

// answerTo is what an attempt's outcome tells a gate. A network that failed, and a
// gateway, tell nothing of limits; one query that is held back is none's.
func answerTo(err error) Answer {
	e, ok := errors.AsType[*Error](err)
	switch {
	case err == nil:
		return Answer{Answered: true}
	case ok && e.limit() != NoLimit:
		return Answer{Limit: e.limit(), RetryAfter: e.RetryAfter}
	}
	return Answer{Answered: ok && e.Status != 0 && e.Status < http.StatusInternalServerError}
}
