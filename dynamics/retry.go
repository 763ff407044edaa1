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
)

// Another attempt is made where it may cure the fault, since the package sends nothing
// but GETs and batches of one GET, which may be repeated; and only if the wait for it
// fits the caller's deadline and the configured bound. Dataverse lengthens the wait of
// clients that do not keep to it, so a longer one is reported, and is shortened only to
// MaxRetryAfter. The loop is in [Client.send].

// fits reports whether the caller will still be there after a wait.
func fits(ctx context.Context, wait time.Duration) bool { return fitsFrom(ctx, time.Now(), wait) }

func fitsFrom(ctx context.Context, now time.Time, wait time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() == nil && (!ok || deadline.Sub(now) > wait)
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
