package dynamics

import (
	"cmp"
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Principal is whom Dataverse's service protection limits count: one user of one
// organization, by whichever connection the calls come
// (https://learn.microsoft.com/power-apps/developer/data-platform/api-limits).
type Principal struct{ Organization, User string }

// Limit is one of the three service protection limits.
type Limit int

// The limits; NoLimit is an answer that is none of a limit's.
const (
	NoLimit          Limit = iota
	LimitRequests          // 6,000 requests in 300 s: 0x80072322
	LimitTime              // 1,200 s of execution in 300 s: 0x80072321
	LimitConcurrency       // 52 requests at once: 0x80072326
	LimitUnknown           // 429 with another code or none
)

// String returns the limit as a word for logs and metric labels.
func (l Limit) String() string {
	names := [...]string{"none", "requests", "time", "concurrency", "unknown"}
	if l < 0 || int(l) >= len(names) {
		return "unknown"
	}
	return names[l]
}

// Answer is what a [Gate] learns from a call that is over.
type Answer struct {
	Limit      Limit
	RetryAfter time.Duration // what Dataverse asked for with the limit
}

// A Gate lets calls begin, so that a fleet keeps to the limits of a user together.
type Gate interface {
	// Enter waits until a call of the principal may begin, at most until ctx ends.
	// lane is the connection: calls of several lanes take turns. The call's answer
	// must be reported once. The errors are an [*Error] of kind Throttled, with
	// RetryAfter, where Dataverse wants nothing for longer than a call may wait;
	// Overloaded where too many wait already; Cancelled where ctx ended.
	Enter(ctx context.Context, p Principal, lane string) (leave func(Answer), err error)
}

// remaining reads a number as Dataverse writes it there: 7999 or 1,200.00.
func remaining(h http.Header, name string) float64 {
	n, err := strconv.ParseFloat(strings.ReplaceAll(h.Get(name), ",", ""), 64)
	if err != nil || !(n >= 0) || math.IsInf(n, 0) {
		return -1
	}
	return n
}

// enter passes the gate, where there is one.
func (c *Client) enter(ctx context.Context, r request) (leave func(Answer), err error) {
	if c.config.Gate == nil || r.principal == (Principal{}) {
		return func(Answer) {}, nil
	}
	leave, err = c.config.Gate.Enter(ctx, r.principal, r.lane)
	if e, ok := errors.AsType[*Error](err); ok {
		own := *e
		own.Op = cmp.Or(e.Op, r.op)
		own.hasty = e.Kind == Overloaded || !fits(ctx, e.RetryAfter)
		return nil, &own
	}
	return leave, err
}

// answerTo is what an attempt's outcome tells a gate. A network that failed tells
// nothing of limits, and neither does one query that is held back.
func answerTo(err error) Answer {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Kind != Throttled || e.Status == 0 || e.OfQuery() {
		return Answer{}
	}
	limit, known := map[string]Limit{"0x80072322": LimitRequests, "0x80072321": LimitTime, "0x80072326": LimitConcurrency}[strings.ToLower(e.Code)]
	if !known {
		limit = LimitUnknown
	}
	return Answer{Limit: limit, RetryAfter: e.RetryAfter}
}
