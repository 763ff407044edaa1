package tokens_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/tokens"
)

// Customers who have blocked the application slow the renewal of nobody else.
func TestBlockedCustomersSlowNobody(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: it waits for renewals")
	}
	t.Parallel()
	b := newBench(t, client(t, startRedis(t)))
	for i := range 8 {
		b.connect(fmt.Sprintf("good%d", i), 3600)
	}
	for i := range 3 {
		tenant := fmt.Sprintf("%08d-2222-3333-4444-555555555555", i)
		b.entra.set(func() { b.entra.tenant = tenant })
		b.discover = tenant
		b.connect(fmt.Sprintf("blocked%d", i), 3600)
	}
	var blocked atomic.Bool
	var renewed, refused atomic.Int64
	b.entra.set(func() {
		b.entra.answer = func(w http.ResponseWriter, _ url.Values, n int) bool {
			path := ""
			b.entra.set(func() { path = b.entra.paths[n-1] })
			if strings.HasPrefix(path, "/"+tenantA+"/") {
				renewed.Add(1)
				return false
			}
			if !blocked.Load() {
				return false
			}
			refused.Add(1)
			refuse(w, 400, "unauthorized_client", 700016)
			return true
		}
	})
	// Everything is due all the time.
	s := b.renewing(tokens.Renewal{KeepAlive: 100 * time.Millisecond, Look: 10 * time.Millisecond,
		Backfill: 50 * time.Millisecond, PerSecond: 100}, nil)
	defer s.Close(context.Background())
	patiently(t, 100*time.Millisecond, b.look, func(scale int) error {
		during := func(block bool) int64 {
			blocked.Store(block)
			before, asked := renewed.Load(), refused.Load()
			for end := time.Now().Add(time.Duration(scale) * 1500 * time.Millisecond); time.Now().Before(end) || block &&
				refused.Load() < asked+3; {
				time.Sleep(10 * time.Millisecond)
			}
			return renewed.Load() - before
		}
		await(t, "the first renewals", func() bool { return renewed.Load() > 0 })
		alone, beside := during(false), during(true)
		t.Logf("%d renewals, %d beside customers who are blocked, who were asked for %d times", alone, beside, refused.Load())
		if beside < alone/3 {
			return fmt.Errorf("%d renewals beside blocked customers, %d without", beside, alone)
		}
		return nil
	})
}
