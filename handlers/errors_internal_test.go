package handlers

import (
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/messages"
)

// What Dataverse says of one query reaches the requester as something to try again,
// with the time to wait, and in words about the query.
func TestAQueryThatCostsTooMuch(t *testing.T) {
	for _, c := range []struct {
		fault dynamics.Error
		code  messages.Code
		after time.Duration
	}{
		{dynamics.Error{Kind: dynamics.Throttled, Status: 400, Code: "0x80048744"}, messages.Throttled, throttledRetry},
		{dynamics.Error{Kind: dynamics.Throttled, Status: 503, Code: "0x80048544", RetryAfter: time.Minute}, messages.Throttled, time.Minute},
		{dynamics.Error{Kind: dynamics.Unavailable, Status: 500, Code: "0x80048575"}, messages.Unavailable, throttledRetry},
	} {
		usual := fromDynamics(&dynamics.Error{Kind: c.fault.Kind, Status: c.fault.Status})
		got := classify(t.Context(), false, &c.fault)
		if got.Code != c.code || !got.Retryable || got.RetryAfterMS != c.after.Milliseconds() || got.Message == usual.Message || got.Dynamics.Code != c.fault.Code {
			t.Errorf("%+v: %+v", c.fault, got)
		}
	}
}
