package dynamics

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
)

// attempts is the one retry policy: for GETs and for batches of one GET, since the
// package sends nothing else and both may be repeated, for faults that another
// attempt may cure, and only if the wait for it fits the caller's deadline and the
// configured bound. Dataverse lengthens the wait of
// clients that do not keep to it, so a longer one is reported, and is shortened only
// to MaxRetryAfter.
func (c *Client) attempts(ctx context.Context, try func(attempt int) error) error {
	made := 0
	policy := retrypolicy.NewBuilder[any]().
		WithMaxAttempts(c.config.MaxAttempts).
		HandleIf(func(_ any, err error) bool {
			e, ok := errors.AsType[*Error](err)
			if !ok || !e.retry || e.wait > c.config.MaxRetryWait {
				return false
			}
			e.hasty = made < c.config.MaxAttempts && !fits(ctx, e.wait)
			return !e.hasty
		}).
		WithDelayFunc(func(exec failsafe.ExecutionAttempt[any]) time.Duration {
			if e, ok := errors.AsType[*Error](exec.LastError()); ok {
				return e.wait
			}
			return 0
		}).
		ReturnLastFailure().
		Build()
	var last error
	err := failsafe.With(policy).WithContext(ctx).RunWithExecution(func(exec failsafe.Execution[any]) error {
		made = exec.Attempts()
		last = try(made)
		return last
	})
	if _, ok := errors.AsType[*Error](err); err == nil || ok || ctx.Err() == nil {
		return err // the TokenSource's are passed on as they are
	}
	e := ended(ctx, "") // the wait was interrupted
	if failed, ok := errors.AsType[*Error](last); ok {
		e.Op, e.RequestID = failed.Op, failed.RequestID
	}
	return e
}

func fits(ctx context.Context, wait time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() == nil && (!ok || time.Until(deadline) > wait)
}

// costly is how many times the usual wait comes before another try of a query that
// Dataverse holds back for what it costs.
const costly = 5

// wait gives the time before the attempt after this one.
func (c *Client) wait(attempt int, failure *Error) time.Duration {
	if after := failure.RetryAfter; after > 0 {
		return after + rand.N(min(after/10, 250*time.Millisecond)+1)
	}
	base := c.config.RetryDelay << min(attempt-1, 10)
	if failure.OfQuery() {
		base *= costly
	}
	return base/2 + rand.N(base+1)
}

// retryAfter reads seconds or an HTTP date (RFC 9110, 10.2.3), of which nothing lies
// further ahead than [MaxRetryAfter]. Nonsense, what is negative and what is past is 0.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if isDigits(text) {
		seconds, err := strconv.ParseUint(text, 10, 32)
		if err != nil { // more digits than the number has
			return MaxRetryAfter
		}
		return min(time.Duration(seconds)*time.Second, MaxRetryAfter)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), MaxRetryAfter)
	}
	return 0
}

// withoutURL drops *url.Error, whose text holds the whole URL with its query.
func withoutURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

func isCertificateFault(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}
