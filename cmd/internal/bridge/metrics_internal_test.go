package bridge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"

	"github.com/crmbridge/crmbridge/dynamics"
	"github.com/crmbridge/crmbridge/tokens"
)

// saidByRedis is an error that Redis answered with.
type saidByRedis string

func (e saidByRedis) Error() string { return string(e) }
func (saidByRedis) RedisError()     {}

func TestErrorsOfRedisAreCounted(t *testing.T) {
	for _, c := range []struct {
		err  error
		want float64
	}{
		{nil, 0},
		{redis.Nil, 0},
		{fmt.Errorf("read: %w", context.Canceled), 0},
		{saidByRedis("NOSCRIPT No matching script."), 0},
		{saidByRedis("NOPERM this user has no permissions"), 1},
		{context.DeadlineExceeded, 1},
		{errors.New("connection refused"), 1},
	} {
		counter := redisCounter{prometheus.NewCounter(prometheus.CounterOpts{Name: "x", Help: "x"})}
		ctx, cmd := t.Context(), redis.NewStatusCmd(t.Context())
		command := counter.ProcessHook(func(context.Context, redis.Cmder) error { return c.err })
		pipeline := counter.ProcessPipelineHook(func(context.Context, []redis.Cmder) error { return c.err })
		if err := errors.Join(command(ctx, cmd), pipeline(ctx, nil)); (err == nil) != (c.err == nil) {
			t.Errorf("%v: %v", c.err, err)
		}
		if got := testutil.ToFloat64(counter.errors); got != 2*c.want {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}

// What could not be read anew for a minute is not shown as if it were so now.
func TestOldFiguresOfTheFleetAreNotShown(t *testing.T) {
	f := newFleetMetrics(prometheus.NewRegistry())
	f.census = tokens.Census{Statuses: map[string]int{tokens.StatusActive: 3}, Blocked: 2}
	for _, c := range []struct {
		age             time.Duration
		active, blocked int
	}{{time.Second, 3, 2}, {2 * censusOld, 0, 0}} {
		f.read = time.Now().Add(-c.age)
		want := fmt.Sprintf(`
# HELP crmbridge_connections Connections by status. Every process shows the same, counted every 5 s to 5 min: use max(), not sum().
# TYPE crmbridge_connections gauge
crmbridge_connections{status="active"} %d
crmbridge_connections{status="pending"} 0
crmbridge_connections{status="reauthorization_required"} 0
crmbridge_connections{status="unreadable"} 0
# HELP crmbridge_users_blocked Users of active connections whom Dataverse's service protection limits keep out. Every process shows the same, counted every 5 s to 5 min: use max(), not sum().
# TYPE crmbridge_users_blocked gauge
crmbridge_users_blocked %d
`, c.active, c.blocked)
		if err := testutil.CollectAndCompare(f, strings.NewReader(want), "crmbridge_connections",
			"crmbridge_users_blocked"); err != nil {
			t.Error(err)
		}
	}
}

// What is counted of a call allocates nothing where nobody traces.
func TestCountingACallAllocatesNothing(t *testing.T) {
	m := newUpstreamMetrics(prometheus.NewRegistry(), nil)
	call := dynamics.Call{Op: "whoami", Duration: time.Millisecond, Bytes: 10}
	observe := spanHooks{}.besides(m.dataverse)
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		observe(ctx, call)
		m.queued(ctx, time.Millisecond)
		m.waited(ctx, time.Millisecond)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
