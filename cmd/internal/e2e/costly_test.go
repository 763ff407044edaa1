package e2e

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/cmd/internal/bridgetest"
	"github.com/crmbridge/crmbridge/dynamics/emulator"
	"github.com/crmbridge/crmbridge/messages"
)

// One query that costs Dataverse too much is told to wait, or to try again, whatever
// the status; the rest goes on, of the same user too, and no count reads page by page.
func TestOneCostlyQueryConcernsNobodyElse(t *testing.T) {
	t.Parallel()
	var pages atomic.Int64
	w := bridgetest.NewWrapped(t, emulator.Options{Accounts: 10}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/accounts") && !strings.Contains(r.URL.RawQuery, "apply") {
				pages.Add(1)
			}
			next.ServeHTTP(w, r)
		})
	})
	w.Bridge(w.Settings(true), nil)
	w.Connect("acme")
	client, _ := w.Client()
	target := messages.Target{Connection: "acme"}
	control := w.Emulator.Control()
	for _, c := range []struct {
		kind string
		code messages.Code
	}{{emulator.KindQueryThrottle, messages.Throttled}, {emulator.KindQueryTimeout, messages.Unavailable}} {
		for _, status := range []int{400, 429, 500, 503} {
			control.Fail(emulator.Fault{Kind: c.kind, Route: "accounts", Status: status, RetryAfter: 60, Times: -1})
			_, err := client.Search(t.Context(), messages.AccountsSearchRequest{Target: target, Fields: []string{"name"}})
			fault, ok := errors.AsType[*messages.Error](err)
			if !ok || fault.Code != c.code || !fault.Retryable || fault.RetryAfter() != time.Minute {
				t.Errorf("%s with %d, a search: %v", c.kind, status, err)
			}
			pages.Store(0)
			_, err = client.Count(t.Context(), messages.AccountsCountRequest{Target: target})
			if fault, ok = errors.AsType[*messages.Error](err); !ok || fault.Code != c.code || pages.Load() > 0 {
				t.Errorf("%s with %d, a count: %v, %d pages", c.kind, status, err, pages.Load())
			}
			if _, err := client.WhoAmI(t.Context(), "acme"); err != nil {
				t.Errorf("%s with %d, another request of the user: %v", c.kind, status, err)
			}
			control.Clear()
		}
	}
	if _, err := client.Search(t.Context(), messages.AccountsSearchRequest{Target: target}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
