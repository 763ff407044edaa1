package dynamics_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
)

// Whoever observes calls hears of each attempt when it is over, with the context of the call, when
// it was sent, and how long it had to wait before.
func TestTheObserverHearsOfEachAttempt(t *testing.T) {
	type key struct{}
	type heard struct {
		of   any
		call dynamics.Call
		at   time.Time
	}
	var mu sync.Mutex
	var all []heard
	r := newRig(t, answer(http.StatusServiceUnavailable, `{}`), func(c *dynamics.Config) {
		c.MaxAttempts = 2
		c.Observe = func(ctx context.Context, call dynamics.Call) {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, heard{ctx.Value(key{}), call, time.Now()})
		}
	})
	begun := time.Now()
	if _, err := r.open(t).WhoAmI(context.WithValue(t.Context(), key{}, "mine")); err == nil {
		t.Fatal("no error")
	}
	if len(all) != 2 {
		t.Fatalf("%d attempts are heard of, want 2", len(all))
	}
	for i, h := range all {
		if h.of != "mine" || h.call.Attempt != i+1 || h.call.Status != http.StatusServiceUnavailable {
			t.Errorf("attempt %d: %+v of %v", i+1, h.call, h.of)
		}
		if h.call.Begun.Before(begun) || h.call.Waited < 0 || h.call.Begun.Add(h.call.Duration).After(h.at) {
			t.Errorf("attempt %d: sent at %s after %s, for %s, and heard of at %s", i+1, h.call.Begun, h.call.Waited,
				h.call.Duration, h.at)
		}
	}
}
