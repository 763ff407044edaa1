package dynamics_test

import (
	"context"
	"testing"
	"time"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/dynamics/budget"
)

// TestASmallSearchAllocatesLittle counts what one small search allocates from Open to its
// page, over a transport in memory whose own answer is 3 of them and a query whose
// making is 6.
func TestASmallSearchAllocatesLittle(t *testing.T) {
	if dynamics.RaceDetector {
		t.Skip("pools are random under the race detector")
	}
	r := inMemory(t, smallPage(10))
	account, err := r.budget.Open(1 << 10)
	if err != nil {
		t.Fatal(err)
	}
	defer account.Close()
	ctx, cancel := context.WithTimeout(dynamics.WithRequestID(t.Context(), someID), 50*time.Second)
	defer cancel()
	ctx = budget.With(ctx, account)
	for range 10 {
		r.page(t, ctx)
	}
	if n := testing.AllocsPerRun(1000, func() { r.page(t, ctx) }); n > mostAllocs {
		t.Errorf("%g allocations, want %d at most", n, mostAllocs)
	}
}

// mostAllocs is 17 and one of the throttle's, which asks Redis meanwhile.
const mostAllocs = 18
