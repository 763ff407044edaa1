package durable

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/budget"
	"github.com/crmbridge/crmbridge/handlers/route"
	"github.com/crmbridge/crmbridge/messages"
	"github.com/crmbridge/crmbridge/tokens"
)

func TestEveryCodeHasAnEffect(t *testing.T) {
	for _, code := range messages.Codes() {
		if effects[code] == 0 {
			t.Errorf("%s has no effect", code)
		}
	}
	for code := range effects {
		if !slices.Contains(messages.Codes(), code) {
			t.Errorf("there is no %s", code)
		}
	}
}

func TestVerdicts(t *testing.T) {
	redis := &tokens.Error{Code: tokens.CodeUnavailable, Retryable: true, Err: tokens.ErrRedis}
	for name, c := range map[string]struct {
		err             error
		attempts        int
		final, blocked  bool
		counted         int
		shortest, whole time.Duration
	}{
		"refused": {err: messages.Errorf(messages.PermissionDenied, "no"), attempts: 2, final: true,
			counted: 2},
		"expired": {err: messages.Errorf(messages.CursorExpired, "no"), final: true},
		"a defect": {err: errors.New("oh"), counted: 1, shortest: 3750 * time.Millisecond,
			whole: 5 * time.Second},
		"the second": {err: errors.New("oh"), attempts: 1, counted: 2, shortest: 7500 * time.Millisecond,
			whole: 10 * time.Second},
		"the fourth": {err: errors.New("oh"), attempts: 3, counted: 4, shortest: 30 * time.Second,
			whole: 40 * time.Second},
		"the fifth": {err: errors.New("oh"), attempts: 4, counted: 5, final: true,
			shortest: 60 * time.Second, whole: 80 * time.Second},
		"a call's deadline": {err: messages.Errorf(messages.DeadlineExceeded, "late"), counted: 1,
			shortest: 3750 * time.Millisecond, whole: 5 * time.Second},
		"Dataverse is away": {err: &dynamics.Error{Kind: dynamics.Unavailable}, counted: 1,
			shortest: 3750 * time.Millisecond, whole: 5 * time.Second},
		"Redis is away": {err: redis, attempts: 3, counted: 3, shortest: 7500 * time.Millisecond,
			whole: 10 * time.Second},
		"Redis below a call": {err: &dynamics.Error{Kind: dynamics.Unavailable, Err: redis}, counted: 0,
			shortest: 7500 * time.Millisecond, whole: 10 * time.Second},
		"throttled": {err: &dynamics.Error{Kind: dynamics.Throttled, RetryAfter: time.Hour}, attempts: 4,
			counted: 4, blocked: true, shortest: time.Hour, whole: time.Hour},
		"one query": {err: &dynamics.Error{Kind: dynamics.Throttled, Status: 429, Code: "0x80048744",
			RetryAfter: time.Minute}, counted: 0, shortest: time.Minute, whole: time.Minute},
		"Entra throttles": {err: &tokens.Error{Code: tokens.CodeThrottled, Retryable: true,
			RetryAfter: time.Minute}, counted: 0, blocked: true, shortest: time.Minute, whole: time.Minute},
		"no memory": {err: &budget.Error{Cause: budget.ErrFull, After: time.Second}, attempts: 1, counted: 1,
			shortest: time.Second, whole: time.Second},
		"marked final": {err: final(messages.Errorf(messages.Internal, "so")), final: true},
		"marked patient": {err: patient(messages.Errorf(messages.Unavailable, "so").After(time.Minute)),
			counted: 0, shortest: time.Minute, whole: time.Minute},
		"a code of tomorrow": {err: messages.Errorf("moon_phase", "so"), final: true},
	} {
		t.Run(name, func(t *testing.T) {
			v := judge(route.Classify(t.Context(), false, c.err), c.attempts)
			if v.final != c.final || v.attempts != c.counted || v.blocked != c.blocked || v.after < c.shortest ||
				v.after > c.whole {
				t.Errorf("%+v", v)
			}
		})
	}
	for attempts := range 70 {
		if v := judge(messages.Errorf(messages.Internal, "so"), attempts); v.after > mostRetry ||
			v.after < 3*time.Second {
			t.Errorf("after %d attempts: %v", attempts, v.after)
		}
	}
}
