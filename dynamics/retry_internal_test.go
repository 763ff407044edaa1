package dynamics

import (
	"net/http"
	"testing"
	"time"
)

// Waits double, spread around their base by half of it; a query that Dataverse holds
// back waits longer, and what Retry-After asks for is never shortened.
func TestWaits(t *testing.T) {
	c := &Client{config: Config{RetryDelay: 100 * time.Millisecond}}
	costlyOne := &Error{Kind: Throttled, Status: http.StatusTooManyRequests, Code: "0x80048544"}
	for _, one := range []struct {
		attempt     int
		failure     *Error
		least, most time.Duration
	}{
		{1, &Error{}, 50 * time.Millisecond, 150 * time.Millisecond},
		{2, &Error{}, 100 * time.Millisecond, 300 * time.Millisecond},
		{3, &Error{}, 200 * time.Millisecond, 600 * time.Millisecond},
		{11, &Error{}, 51200 * time.Millisecond, 153600 * time.Millisecond},
		{100, &Error{}, 51200 * time.Millisecond, 153600 * time.Millisecond},
		{1, costlyOne, 250 * time.Millisecond, 750 * time.Millisecond},
		{1, &Error{RetryAfter: time.Second}, time.Second, 1100 * time.Millisecond},
		{9, &Error{RetryAfter: time.Minute}, time.Minute, time.Minute + 250*time.Millisecond},
	} {
		least, most := time.Hour, time.Duration(0)
		for range 500 {
			wait := c.wait(one.attempt, one.failure)
			least, most = min(least, wait), max(most, wait)
		}
		if least < one.least || most > one.most {
			t.Errorf("after attempt %d: %s to %s, want %s to %s", one.attempt, least, most, one.least, one.most)
		}
	}
}
