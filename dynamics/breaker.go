package dynamics

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"
)

// An environment that does not answer is not asked by every request anew: after
// breakAfter failures in a row, or while so many calls hang, its connection's calls
// are refused for breakFor. Then one call at a time is let through, and its outcome
// decides.
const (
	breakAfter = 10
	breakFor   = 2 * time.Second
	// hangAfter is from when on a call may count as one that hangs.
	hangAfter = 5 * time.Second
	// maxBreakers bounds the connections that are remembered.
	maxBreakers = 4096
)

// breakers has one circuit breaker a connection. It is no library's: those that were
// looked at cannot take a permit back without a verdict, and learn of a call when it is
// over, while what matters here are those that are not.
type breakers struct {
	bound time.Duration // of one attempt
	mu    sync.Mutex
	known map[circuitKey]*breaker
}

// circuitKey holds the environment too: a connection that is made again for another
// one finds no calls there that hang at the old one.
type circuitKey struct{ connection, environment string }

func (b *breakers) of(connection, environment string) *breaker {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := circuitKey{connection, environment}
	one := b.known[key]
	if one == nil {
		if b.known == nil || len(b.known) >= maxBreakers {
			b.known = map[circuitKey]*breaker{} // those of working environments hold nothing, the others learn again
		}
		one = &breaker{bound: b.bound}
		b.known[key] = one
	}
	return one
}

// admit lets an attempt through, or refuses it without anything sent. Its pass must be
// ended; a request of no connection has none that counts.
func (b *breakers) admit(ctx context.Context, r *request) error {
	if r.queue == "" {
		return nil
	}
	if r.circuit == nil {
		r.circuit = b.of(r.queue, r.environment)
	}
	return r.circuit.admit(ctx, &r.pass, r.op, r.now)
}

// A breaker is the circuit of one connection: closed while until is zero, open before
// until, half-open after it.
type breaker struct {
	bound time.Duration

	mu       sync.Mutex
	failures int // in a row
	until    time.Time
	probe    *pass     // the call that was let through to decide, nil: none is
	asked    time.Time // when it was let through
	inFlight passes
	waiting  passes        // for a call in flight that another made
	busy     time.Time     // since when there is one in flight
	answered time.Time     // when the environment last answered anything
	slowest  time.Duration // of the answers of late
}

// A pass is one attempt's permit. The methods of the zero value do nothing.
type pass struct {
	of      *breaker
	patient bool      // there is time enough for a slow answer
	begun   time.Time // when it was sent, zero before
	verdict verdict
	in      *passes // nil: in none
	at      int     // its index there
}

// passes are a set.
type passes []*pass

func (s *passes) add(p *pass) {
	p.in, p.at = s, len(*s)
	*s = append(*s, p)
}

// leave takes the pass out of the set that it is in.
func (p *pass) leave() {
	if p.in == nil {
		return
	}
	s, last := *p.in, len(*p.in)-1
	s[p.at] = s[last]
	s[p.at].at = p.at
	s[last] = nil
	*p.in, p.in = s[:last], nil
}

// A verdict is what an attempt says about its environment.
type verdict int

const (
	noVerdict verdict = iota // nothing: it was not sent, or its caller left
	reached                  // it is there
	unreached                // it cannot be reached
	costs                    // it answered, and says no more than that this query is too costly
)

// admit gives a permit. While the circuit is half-open only one call has one, and a
// call with time enough takes precedence: one that leaves early decides nothing.
func (b *breaker) admit(ctx context.Context, p *pass, op string, now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.notice(now)
	*p = pass{of: b, patient: fitsFrom(ctx, now, b.patience())}
	if b.until.IsZero() {
		return nil
	}
	switch since := now.Sub(b.until); {
	case since < 0:
		return p.refused(op, -since, false)
	case b.probe != nil && (b.probe.patient || !p.patient) && now.Sub(b.asked) < b.patience()+breakFor:
		return p.refused(op, breakFor, false)
	case !p.patient && since < breakFor:
		return p.refused(op, breakFor-since, true)
	}
	b.probe, b.asked = p, now
	return nil
}

// refused takes back the pass of a call that is not let through.
func (p *pass) refused(op string, wait time.Duration, hasty bool) *Error {
	*p = pass{}
	return refused(op, wait, hasty)
}

func refused(op string, wait time.Duration, hasty bool) *Error {
	return &Error{Kind: Unavailable, Op: op, RetryAfter: max(wait, 100*time.Millisecond), hasty: hasty,
		Message: "the environment has not answered the last requests, so this one was not sent"}
}

// broken reports whether calls are refused, or let through one by one.
func (b *breaker) broken(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.notice(now)
	return !b.until.IsZero()
}

// notice opens a closed circuit where the calls in flight hang.
func (b *breaker) notice(now time.Time) {
	if !b.until.IsZero() || len(b.inFlight) == 0 {
		return
	}
	silence := now.Sub(later(b.busy, b.answered))
	if silence < b.patience() {
		return
	}
	hanging := b.hanging(b.inFlight, now)
	if hanging > 0 { // otherwise they wait for a slot
		hanging += b.hanging(b.waiting, now)
	}
	switch {
	case hanging >= breakAfter:
		b.until = now.Add(breakFor)
	case hanging > 1 && silence >= b.bound/2:
		b.until = now // they may be slow queries: the next call may find out at once
	}
}

// hanging counts those that have waited for long, and all the time without any answer.
func (b *breaker) hanging(passes []*pass, now time.Time) (n int) {
	for _, p := range passes {
		if p.begun.After(b.answered) && now.Sub(p.begun) >= b.patience() {
			n++
		}
	}
	return n
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// patience is how long an environment may take: more than its slow answers do, so
// that one that is slow and works is not taken for one that hangs.
func (b *breaker) patience() time.Duration {
	return min(max(hangAfter, 2*b.slowest), b.bound/2)
}

// begin says that the attempt is sent now. It is refused where the circuit broke
// while it waited for its slot or token.
func (p *pass) begin(op string, now time.Time) error {
	b := p.of
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.notice(now)
	if !b.until.IsZero() && b.probe != p {
		return refused(op, max(b.until.Sub(now), breakFor), false)
	}
	p.begun = now
	if len(b.inFlight) == 0 {
		b.busy = now
	}
	b.inFlight.add(p)
	return nil
}

// watch counts somebody who waits for another's call, until the pass is ended.
func (b *breaker) watch() *pass {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := &pass{of: b, begun: time.Now()}
	b.waiting.add(p)
	return p
}

// learn draws the verdict from the outcome of an attempt that has just ended.
func (p *pass) learn(err error, now time.Time) {
	switch {
	case p.of == nil:
	case err == nil:
		p.verdict = reached
	default:
		p.verdict = judge(err, now.Sub(p.begun), p.of.bound)
	}
}

func judge(err error, took, bound time.Duration) verdict {
	e, ok := errors.AsType[*Error](err)
	switch {
	case !ok:
		return noVerdict
	case e.OfQuery(), strings.EqualFold(e.Code, sqlTimeout):
		return costs
	case e.Kind == Unavailable:
		return unreached
	case e.Kind == Cancelled:
		// Its caller left. That says something only where an answer was due.
		if errors.Is(e, context.DeadlineExceeded) && took >= bound/2 {
			return unreached
		}
		return noVerdict
	case e.Status == 0 && (e.Kind == Invalid || e.Kind == Overloaded):
		return noVerdict // it was not sent, or there was no room for its answer
	}
	return reached
}

// end gives the permit back and acts on the verdict on an attempt that ended then.
func (p *pass) end(now time.Time) {
	b := p.of
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	p.leave()
	decides := b.probe == p
	if decides {
		b.probe = nil
	}
	switch p.verdict {
	case reached:
		b.failures, b.until, b.probe, b.answered = 0, time.Time{}, nil, now
		b.slowest = max(now.Sub(p.begun), b.slowest-b.slowest/8)
	case costs:
		b.answered = now
	case unreached:
		b.fail(now, decides)
	}
}

func (b *breaker) fail(now time.Time, decides bool) {
	if b.until.IsZero() {
		b.failures++
	}
	if decides || b.until.IsZero() && b.failures >= breakAfter {
		b.until = now.Add(breakFor)
	}
}
